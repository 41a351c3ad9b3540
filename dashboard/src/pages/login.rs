//! The login form; who logs in stays at the address that was asked for.

use infra_watch_client::types;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{ApiError, Session};
use crate::components::field::TextField;
use crate::components::form::{Action, form};
use crate::frame::mark;

#[derive(PartialEq, Properties)]
pub struct LoginProps {
    /// The session to begin.
    pub session: Session,
    /// Whether an earlier session ended by itself.
    pub ended: bool,
}

/// Name and password.
#[component]
pub fn Login(props: &LoginProps) -> Html {
    let username = use_state(String::new);
    let password = use_state(String::new);
    let busy = use_state(|| false);
    let error = use_state(|| None::<ApiError>);
    use_effect_with((), |()| {
        if let Some(document) = web_sys::window().and_then(|window| window.document()) {
            document.set_title("Log in · Infra-Watch");
        }
    });
    let on_submit = {
        let (session, username, password, busy, error) = (
            props.session.clone(),
            username.clone(),
            password.clone(),
            busy.clone(),
            error.clone(),
        );
        Callback::from(move |()| {
            if *busy {
                return;
            }
            let body = match body(&username, &password) {
                Ok(body) => body,
                Err(problem) => return error.set(Some(problem)),
            };
            busy.set(true);
            let (session, busy, error) = (session.clone(), busy.clone(), error.clone());
            spawn_local(async move {
                if let Err(problem) = session.login(body).await {
                    busy.set(false);
                    error.set(Some(problem));
                }
            });
        })
    };
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let field = |name: &str| {
        let field = error
            .as_ref()?
            .fields
            .iter()
            .find(|field| field.name == name)?;
        Some(AttrValue::from(crate::format::capitalised(&field.message)))
    };
    let whole = error
        .as_ref()
        .filter(|error| error.fields.is_empty())
        .map(|error| AttrValue::from(error.to_string()));
    html! {
            <main id="main" class="login">
                <section class="card login-card">
                    <h1 class="login-brand">{ mark() }{ "Infra-Watch" }</h1>
                    if props.ended && error.is_none() {
                        <p class="login-note" role="status">{ "The session has ended. Log in to go on where you were." }</p>
                    }
                    { form(Action::new("Log in"), *busy, whole, on_submit, None, html! {
    <>
                        <TextField id="username" label="User name" value={(*username).clone()} on_input={take(&username)} error={field("username")}
                            autocomplete="username" required={true} autofocus={true} />
                        <TextField id="password" label="Password" kind="password" value={(*password).clone()} on_input={take(&password)} error={field("password")}
                            autocomplete="current-password" required={true} />
                    </>
    }) }
                </section>
            </main>
        }
}

/// The request, or which field cannot be part of one.
fn body(username: &str, password: &str) -> Result<types::Login, ApiError> {
    Ok(types::Login {
        username: ApiError::checked("username", username.trim())?,
        password: ApiError::checked("password", password)?,
    })
}
