//! Who may log in, and as what.

use infra_watch_client::operations;
use infra_watch_client::types::{self, Role, User};
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::api::{Api, ApiError, PAGE_ITEMS};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::time::time;
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::route::Route;

/// What each role may do.
const ROLES: [(Role, &str); 3] = [
    (Role::Viewer, "Viewer: sees hosts and metrics"),
    (Role::Operator, "Operator: sees all data"),
    (Role::Admin, "Admin: manages everything"),
];

/// What is being done.
#[derive(Clone)]
enum Doing {
    Nothing,
    Create,
    Edit(User),
    Delete(User),
}

/// The list and what may be done with it.
#[component]
pub fn Users() -> Html {
    let users = use_polled((), None, |api, ()| {
        api.all(|cursor| operations::list_users().limit(PAGE_ITEMS).cursor(cursor))
    });
    let doing = use_state(|| Doing::Nothing);
    let start = |next: Doing| {
        let doing = doing.clone();
        Callback::from(move |()| doing.set(next.clone()))
    };
    let (close, refresh) = (start(Doing::Nothing), users.retry.clone());
    let row = |user: &User| {
        let (edit, delete) = (
            start(Doing::Edit(user.clone())),
            start(Doing::Delete(user.clone())),
        );
        html! {
            <tr key={user.user_id.as_u128()}>
                <th scope="row">{ &user.username }</th>
                <td data-label="Role">{ user.role.to_string() }</td>
                <td data-label="State">{ if user.disabled { html! { <span class="muted">{ "disabled" }</span> } } else { html! { "enabled" } } }</td>
                <td data-label="Made">{ time(Some(user.created_at)) }</td>
                <td class="row-actions">
                    <button type="button" class="button" aria-label={format!("Edit {}", user.username)} onclick={move |_| edit.emit(())}>{ "Edit" }</button>
                    <button type="button" class="button" aria-label={format!("Delete {}", user.username)} onclick={move |_| delete.emit(())}>{ "Delete" }</button>
                </td>
            </tr>
        }
    };
    html! {
        <SectionPage route={Route::Users} about="Who may log in, and as what." create={Some(AttrValue::from("New user"))} on_create={start(Doing::Create)}>
            { users.show(skeleton, |users| html! {
                <div class="card table-card">
                    <table class="table">
                        <thead><tr><th scope="col">{ "Name" }</th><th scope="col">{ "Role" }</th><th scope="col">{ "State" }</th><th scope="col">{ "Made" }</th><th scope="col"><span class="visually-hidden">{ "Actions" }</span></th></tr></thead>
                        <tbody>{ for users.iter().map(row) }</tbody>
                    </table>
                </div>
            }) }
            { match (*doing).clone() {
                Doing::Nothing => Html::default(),
                Doing::Create => html! { <EditUser on_close={close} on_done={refresh} /> },
                Doing::Edit(user) => html! { <EditUser user={Some(Given(user))} on_close={close} on_done={refresh} /> },
                Doing::Delete(user) => delete_user(&user, close, refresh),
            } }
        </SectionPage>
    }
}

/// A user as a property.
#[derive(Clone)]
struct Given(User);

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.0.user_id == other.0.user_id
    }
}

#[derive(PartialEq, Properties)]
struct EditUserProps {
    /// Who is changed; without it somebody new is made.
    #[prop_or_default]
    user: Option<Given>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// Name, password, role, and whether the account is open.
#[component]
fn EditUser(props: &EditUserProps) -> Html {
    let known = props.user.as_ref().map(|given| &given.0);
    let username = use_state(|| known.map(|user| user.username.clone()).unwrap_or_default());
    let password = use_state(String::new);
    let role = use_state(|| known.map_or(Role::Viewer, |user| user.role).to_string());
    let state = use_state(|| {
        if known.is_some_and(|user| user.disabled) {
            "disabled"
        } else {
            "enabled"
        }
        .to_owned()
    });
    let submit = use_submit();
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let on_submit = {
        let (username, password, role, state, submit) = (
            username.clone(),
            password.clone(),
            role.clone(),
            state.clone(),
            submit.clone(),
        );
        let (user, on_close, on_done) = (
            props.user.clone(),
            props.on_close.clone(),
            props.on_done.clone(),
        );
        Callback::from(move |()| {
            let (on_close, on_done) = (on_close.clone(), on_done.clone());
            let done = move |_: User| {
                on_done.emit(());
                on_close.emit(());
            };
            let form = Typed {
                username: username.trim(),
                password: &password,
                role: &role,
                disabled: *state == "disabled",
            };
            match &user {
                None => match form.create() {
                    Err(error) => submit.refuse(error),
                    Ok(body) => {
                        submit.send(operations::create_user(&body), done);
                    }
                },
                Some(Given(user)) => match form.update(user) {
                    Err(error) => submit.refuse(error),
                    Ok(body) => {
                        let user_id = user.user_id;
                        submit.send(operations::update_user(user_id, &body), done);
                    }
                },
            }
        })
    };
    let (title, action, password_help) = match known {
        None => ("New user", "Create user", "8 to 128 characters."),
        Some(_) => (
            "Edit user",
            "Save",
            "Empty leaves it as it is; a new one ends the user's sessions.",
        ),
    };
    let roles = ROLES
        .iter()
        .map(|(role, words)| (role.to_string().into(), AttrValue::from(*words)))
        .collect::<Vec<_>>();
    let states = vec![
        ("enabled".into(), "Enabled".into()),
        ("disabled".into(), "Disabled: cannot log in".into()),
    ];
    html! {
            <Dialog {title} on_close={props.on_close.clone()}>
                { form(Action::new(action), submit.is_busy(), submit.whole(&["username", "password", "role", "disabled"]), on_submit, Some(props.on_close.clone()), html! {
    <>
                    <TextField id="username" label="User name" value={(*username).clone()} on_input={take(&username)} error={submit.field("username")} autofocus={true} />
                    <TextField id="password" label="Password" kind="password" autocomplete="new-password" value={(*password).clone()} on_input={take(&password)}
                        error={submit.field("password")} help={password_help} />
                    { select_field("role".into(), "Role", &role, &roles, take(&role), None, submit.field("role")) }
                    { select_field("state".into(), "State", &state, &states, take(&state), None, submit.field("disabled")) }
                </>
    }) }
            </Dialog>
        }
}

/// What was typed.
struct Typed<'a> {
    username: &'a str,
    password: &'a str,
    role: &'a str,
    disabled: bool,
}

impl Typed<'_> {
    /// The request for a new user, or which field cannot be part of one.
    fn create(&self) -> Result<types::CreateUser, ApiError> {
        Ok(types::CreateUser {
            username: ApiError::checked("username", self.username)?,
            password: ApiError::checked("password", self.password)?,
            role: ApiError::checked("role", self.role)?,
            disabled: Some(self.disabled),
        })
    }

    /// The request for what is different now, or which field cannot be part of one.
    fn update(&self, user: &User) -> Result<types::UpdateUser, ApiError> {
        let role: Role = ApiError::checked("role", self.role)?;
        Ok(types::UpdateUser {
            username: (self.username != user.username)
                .then(|| ApiError::checked("username", self.username))
                .transpose()?,
            password: (!self.password.is_empty())
                .then(|| ApiError::checked("password", self.password))
                .transpose()?,
            role: (role != user.role).then_some(role),
            disabled: (self.disabled != user.disabled).then_some(self.disabled),
        })
    }
}

/// Asks for the name before the user goes.
fn delete_user(user: &User, on_close: Callback<()>, on_done: Callback<()>) -> Html {
    let (user_id, name) = (user.user_id, user.username.clone());
    let act = Callback::from(move |api: Api| api.ask(operations::delete_user(user_id)));
    html! {
        <Ask title={format!("Delete {name}?")} {name} action="Delete user" {act} {on_close} {on_done} warning="The user's sessions and API tokens end at once." />
    }
}
