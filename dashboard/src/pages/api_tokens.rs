//! One's own tokens, for programs that act for one.

use chrono::TimeDelta;
use infra_watch_client::operations;
use infra_watch_client::types::{self, ApiToken, Role};
use uuid::Uuid;
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::api::{Api, ApiError, PAGE_ITEMS, use_role};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::empty::Empty;
use crate::components::field::{SelectField, TextField};
use crate::components::form::Form;
use crate::components::icon::Glyph;
use crate::components::secret::Copy;
use crate::components::time::Time;
use crate::hooks::clock;
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::route::Route;

/// Lives of a token: days and words.
const LIVES: [(&str, &str); 3] = [("30", "30 days"), ("90", "90 days"), ("365", "1 year")];

/// What is being done.
#[derive(Clone, PartialEq)]
enum Doing {
    Nothing,
    Create,
    Show(String),
    Delete(Uuid, String),
}

/// The list and what may be done with it.
#[component]
pub fn ApiTokens() -> Html {
    let tokens = use_polled((), None, |api, ()| {
        api.all(|cursor| {
            operations::list_api_tokens()
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        })
    });
    let doing = use_state(|| Doing::Nothing);
    let start = |next: Doing| {
        let doing = doing.clone();
        Callback::from(move |()| doing.set(next.clone()))
    };
    let created = {
        let (doing, refresh) = (doing.clone(), tokens.retry.clone());
        Callback::from(move |token: String| {
            doing.set(Doing::Show(token));
            refresh.emit(());
        })
    };
    let row = |token: &ApiToken| {
        let delete = start(Doing::Delete(token.token_id, token.name.clone()));
        html! {
            <tr key={token.token_id.as_u128()}>
                <th scope="row">{ &token.name }</th>
                <td data-label="Role">{ token.role.to_string() }</td>
                <td data-label="Ends"><Time at={Some(token.expires_at)} /></td>
                <td data-label="Made"><Time at={Some(token.created_at)} /></td>
                <td class="row-actions"><button type="button" class="button" aria-label={format!("Delete {}", token.name)} onclick={move |_| delete.emit(())}>{ "Delete" }</button></td>
            </tr>
        }
    };
    let close = start(Doing::Nothing);
    html! {
        <SectionPage route={Route::ApiTokens} about="Your own tokens, for programs that act for you." create={Some(AttrValue::from("New token"))} on_create={start(Doing::Create)}>
            { tokens.show(skeleton, |tokens| if tokens.is_empty() {
                html! { <div class="card"><Empty glyph={Glyph::Shield} title="You have no API token."><p class="muted">{ "Make one for a program that reads metrics or manages hosts for you." }</p></Empty></div> }
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table">
                            <thead><tr><th scope="col">{ "Name" }</th><th scope="col">{ "Role" }</th><th scope="col">{ "Ends" }</th><th scope="col">{ "Made" }</th><th scope="col"><span class="visually-hidden">{ "Actions" }</span></th></tr></thead>
                            <tbody>{ for tokens.iter().map(row) }</tbody>
                        </table>
                    </div>
                }
            }) }
            { match (*doing).clone() {
                Doing::Nothing => Html::default(),
                Doing::Create => html! { <CreateToken on_close={close} on_done={created} /> },
                Doing::Show(token) => html! { <ShowToken {token} on_close={close} /> },
                Doing::Delete(token_id, name) => delete_token(token_id, name, close, tokens.retry.clone()),
            } }
        </SectionPage>
    }
}

#[derive(PartialEq, Properties)]
struct CreateTokenProps {
    on_close: Callback<()>,
    on_done: Callback<String>,
}

/// Name, role, life.
#[component]
fn CreateToken(props: &CreateTokenProps) -> Html {
    let own = use_role();
    let name = use_state(String::new);
    let role = use_state(|| Role::Viewer.to_string());
    let days = use_state(|| "90".to_owned());
    let submit = use_submit();
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let on_submit = {
        let (name, role, days, submit, on_done) = (
            name.clone(),
            role.clone(),
            days.clone(),
            submit.clone(),
            props.on_done.clone(),
        );
        Callback::from(move |()| {
            let on_done = on_done.clone();
            match body(&name, &role, &days) {
                Err(error) => submit.refuse(error),
                Ok(body) => submit.send(operations::create_api_token(&body), move |created| {
                    on_done.emit(created.token);
                }),
            }
        })
    };
    let roles = [Role::Viewer, Role::Operator, Role::Admin]
        .into_iter()
        .filter(|role| *role <= own);
    let roles = roles
        .map(|role| (role.to_string().into(), role.to_string().into()))
        .collect::<Vec<_>>();
    let lives = LIVES
        .iter()
        .map(|(days, words)| (AttrValue::from(*days), AttrValue::from(*words)))
        .collect::<Vec<_>>();
    html! {
        <Dialog title="New API token" on_close={props.on_close.clone()}>
            <Form {on_submit} action="Create token" busy={submit.is_busy()} error={submit.whole(&["name", "role", "expires_at"])} on_cancel={Some(props.on_close.clone())}>
                <TextField id="name" label="Name" value={(*name).clone()} on_input={take(&name)} error={submit.field("name")} help="Which program it is for." autofocus={true} />
                <SelectField id="role" label="Role" value={(*role).clone()} options={roles} on_change={take(&role)} error={submit.field("role")} help="Never more than your own." />
                <SelectField id="life" label="Ends after" value={(*days).clone()} options={lives} on_change={take(&days)} error={submit.field("expires_at")} />
            </Form>
        </Dialog>
    }
}

/// The request, or which field cannot be part of one.
fn body(name: &str, role: &str, days: &str) -> Result<types::CreateApiToken, ApiError> {
    Ok(types::CreateApiToken {
        name: ApiError::checked("name", name.trim())?,
        role: ApiError::checked("role", role)?,
        expires_at: days
            .parse()
            .ok()
            .map(|days| clock::read() + TimeDelta::days(days)),
    })
}

#[derive(PartialEq, Properties)]
struct ShowTokenProps {
    token: AttrValue,
    on_close: Callback<()>,
}

/// The token, this once.
#[component]
fn ShowToken(props: &ShowTokenProps) -> Html {
    let on_close = props.on_close.clone();
    html! {
        <Dialog title="The new API token" on_close={props.on_close.clone()}>
            <p class="note">{ "This is the only time it is shown. Copy it now." }</p>
            <Copy label="Token" value={props.token.clone()} />
            <div class="form-buttons"><button type="button" class="button button-primary" onclick={move |_| on_close.emit(())}>{ "Done" }</button></div>
        </Dialog>
    }
}

/// Asks for the name before the token goes.
fn delete_token(
    token_id: Uuid,
    name: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
) -> Html {
    let act = Callback::from(move |api: Api| api.ask(operations::delete_api_token(token_id)));
    html! {
        <Ask title={format!("Delete the token {name}?")} {name} action="Delete token" {act} {on_close} {on_done} warning="Programs that use it are refused at once." />
    }
}
