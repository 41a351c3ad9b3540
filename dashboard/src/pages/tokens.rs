//! Tokens for programs: one's own, for those that act for one, and those of collectors.

use chrono::{DateTime, TimeDelta, Utc};
use infra_watch_client::operations;
use infra_watch_client::types::{self, Host, Role};
use uuid::Uuid;
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::api::{Api, ApiError, PAGE_ITEMS, Pending, use_role};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::empty::empty;
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::icon::Glyph;
use crate::components::secret::{origin, shown_once};
use crate::components::time::time;
use crate::components::whom::whom_fields;
use crate::hooks::clock;
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::route::Route;
use crate::whom::Whom;

/// Lives of a token: days and words.
const LIVES: [(&str, &str); 3] = [("30", "30 days"), ("90", "90 days"), ("365", "1 year")];

/// Whose tokens they are.
#[derive(Clone, Copy, PartialEq)]
pub enum Whose {
    /// One's own.
    Own,
    /// Those of collectors.
    Collectors,
}

/// A token in the list.
struct Token {
    token_id: Uuid,
    name: String,
    /// Its role, or which hosts it is for.
    reach: String,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

/// The tokens, and the hosts that they may be for.
struct Known {
    tokens: Vec<Token>,
    hosts: Vec<Host>,
}

/// What is being done.
#[derive(Clone, PartialEq)]
enum Doing {
    Nothing,
    Create,
    Show(String),
    Delete(Uuid, String),
}

fn fetch(api: &Api, whose: Whose) -> Pending<Known> {
    if whose == Whose::Own {
        let tokens = api.all(|cursor| {
            operations::list_api_tokens()
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        });
        return Box::pin(async move {
            let token = |token: types::ApiToken| Token {
                token_id: token.token_id,
                name: token.name,
                reach: token.role.to_string(),
                expires_at: token.expires_at,
                created_at: token.created_at,
            };
            Ok(Known {
                tokens: tokens.await?.into_iter().map(token).collect(),
                hosts: Vec::new(),
            })
        });
    }
    let tokens = api.all(|cursor| {
        operations::list_collector_tokens()
            .limit(PAGE_ITEMS)
            .cursor(cursor)
    });
    let hosts = api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor));
    Box::pin(async move {
        let hosts = hosts.await?;
        let token = |token: types::CollectorToken| Token {
            token_id: token.token_id,
            name: token.name,
            reach: Whom::of(&token.selector, &hosts).words(),
            expires_at: token.expires_at,
            created_at: token.created_at,
        };
        let tokens = tokens.await?.into_iter().map(token).collect();
        Ok(Known { tokens, hosts })
    })
}

#[derive(PartialEq, Properties)]
pub struct TokensProps {
    /// Whose.
    pub whose: Whose,
}

/// The list and what may be done with it.
#[component]
pub fn Tokens(props: &TokensProps) -> Html {
    let whose = props.whose;
    let known = use_polled(whose, None, |api, whose| fetch(&api, whose));
    let doing = use_state(|| Doing::Nothing);
    let start = |next: Doing| {
        let doing = doing.clone();
        Callback::from(move |()| doing.set(next.clone()))
    };
    let created = {
        let (doing, refresh) = (doing.clone(), known.retry.clone());
        Callback::from(move |token: String| {
            doing.set(Doing::Show(token));
            refresh.emit(());
        })
    };
    let (route, about, reach, nothing, next) = match whose {
        Whose::Own => (
            Route::ApiTokens,
            "Your own tokens, for programs that act for you.",
            "Role",
            "You have no API token.",
            "Make one for a program that reads metrics or manages hosts for you.",
        ),
        Whose::Collectors => (
            Route::CollectorTokens,
            "A collector is a program near hosts that cannot be reached from here: it fetches their reports and brings them.",
            "Collects",
            "There is no collector token yet.",
            "Make one to start a collector in another network.",
        ),
    };
    let row = |token: &Token| {
        let delete = start(Doing::Delete(token.token_id, token.name.clone()));
        html! {
            <tr key={token.token_id.as_u128()} data-token={token.name.clone()}>
                <th scope="row">{ &token.name }</th>
                <td data-label={reach}>{ &token.reach }</td>
                <td data-label="Ends">{ time(Some(token.expires_at)) }</td>
                <td data-label="Made">{ time(Some(token.created_at)) }</td>
                <td class="row-actions"><button type="button" class="button" data-action="delete" aria-label={format!("Delete {}", token.name)} onclick={move |_| delete.emit(())}>{ "Delete" }</button></td>
            </tr>
        }
    };
    let close = start(Doing::Nothing);
    html! {
        <SectionPage {route} {about} create={Some(AttrValue::from("New token"))} on_create={start(Doing::Create)}>
            { known.show(skeleton, |known| if known.tokens.is_empty() {
                html! { <div class="card">{ empty(Glyph::Shield, nothing, html! { <p class="muted">{ next }</p> }) }</div> }
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table">
                            <thead><tr><th scope="col">{ "Name" }</th><th scope="col">{ reach }</th><th scope="col">{ "Ends" }</th><th scope="col">{ "Made" }</th><th scope="col"><span class="visually-hidden">{ "Actions" }</span></th></tr></thead>
                            <tbody>{ for known.tokens.iter().map(row) }</tbody>
                        </table>
                    </div>
                }
            }) }
            { match ((*doing).clone(), known.data()) {
                (Doing::Create, Some(known)) => html! { <CreateToken {whose} known={known.clone()} on_close={close} on_done={created} /> },
                (Doing::Show(token), _) => show(whose, token, close),
                (Doing::Delete(token_id, name), _) => delete_token(whose, token_id, name, close, known.retry.clone()),
                _ => Html::default(),
            } }
        </SectionPage>
    }
}

#[derive(PartialEq, Properties)]
struct CreateTokenProps {
    whose: Whose,
    known: Shared<Known>,
    on_close: Callback<()>,
    on_done: Callback<String>,
}

/// Name, role or hosts, life.
#[component]
fn CreateToken(props: &CreateTokenProps) -> Html {
    let whose = props.whose;
    let own = use_role();
    let name = use_state(String::new);
    let role = use_state(|| Role::Viewer.to_string());
    let whom = use_state(Whom::all);
    let days = use_state(|| if whose == Whose::Own { "90" } else { "365" }.to_owned());
    let submit = use_submit();
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let on_whom = {
        let whom = whom.clone();
        Callback::from(move |next| whom.set(next))
    };
    let on_submit = {
        let (name, role, whom, days) = (name.clone(), role.clone(), whom.clone(), days.clone());
        let (submit, known) = (submit.clone(), props.known.clone());
        let on_done = props.on_done.clone();
        Callback::from(move |()| {
            let on_done = on_done.clone();
            let expires_at = ends(&days);
            match whose {
                Whose::Own => match own_token(&name, &role, expires_at) {
                    Err(error) => submit.refuse(error),
                    Ok(body) => submit.send(operations::create_api_token(&body), move |made| {
                        on_done.emit(made.token);
                    }),
                },
                Whose::Collectors => match collector(&name, &whom, &known.hosts, expires_at) {
                    Err(error) => submit.refuse(error),
                    Ok(body) => {
                        submit.send(operations::create_collector_token(&body), move |made| {
                            on_done.emit(made.token);
                        });
                    }
                },
            }
        })
    };
    let roles = [Role::Viewer, Role::Operator, Role::Admin]
        .into_iter()
        .filter(|role| *role <= own);
    let roles = roles
        .map(|role| (role.to_string().into(), role.to_string().into()))
        .collect::<Vec<_>>();
    let lives = LIVES.map(|(days, words)| (AttrValue::from(days), AttrValue::from(words)));
    let (title, help, reach) = match whose {
        Whose::Own => (
            "New API token",
            "Which program it is for.",
            select_field(
                "role".into(),
                "Role",
                &role,
                &roles,
                take(&role),
                Some("Never more than your own."),
                submit.field("role"),
            ),
        ),
        Whose::Collectors => (
            "New collector token",
            "What the collector is called.",
            whom_fields(&whom, on_whom, submit.field("selector")),
        ),
    };
    let fields = html! {
        <>
            <TextField id="name" label="Name" value={(*name).clone()} on_input={take(&name)} error={submit.field("name")} {help} autofocus={true} />
            { reach }
            { select_field("life".into(), "Ends after", &days, &lives, take(&days), None, submit.field("expires_at")) }
        </>
    };
    let error = submit.whole(&["name", "role", "selector", "expires_at"]);
    let on_cancel = Some(props.on_close.clone());
    html! {
        <Dialog {title} on_close={props.on_close.clone()}>
            { form(Action::new("Create token"), submit.is_busy(), error, on_submit, on_cancel, fields) }
        </Dialog>
    }
}

fn ends(days: &str) -> Option<DateTime<Utc>> {
    let days = days.parse().ok();
    days.map(|days| clock::read() + TimeDelta::days(days))
}

/// The request for one's own, or which field cannot be part of one.
fn own_token(
    name: &str,
    role: &str,
    expires_at: Option<DateTime<Utc>>,
) -> Result<types::CreateApiToken, ApiError> {
    Ok(types::CreateApiToken {
        name: ApiError::checked("name", name.trim())?,
        role: ApiError::checked("role", role)?,
        expires_at,
    })
}

/// The request for a collector's, or which field cannot be part of one.
fn collector(
    name: &str,
    whom: &Whom,
    hosts: &[Host],
    expires_at: Option<DateTime<Utc>>,
) -> Result<types::CreateCollectorToken, ApiError> {
    Ok(types::CreateCollectorToken {
        name: ApiError::checked("name", name.trim())?,
        selector: whom.selector(hosts)?,
        expires_at,
    })
}

/// The token, this once, and what a collector does with it.
fn show(whose: Whose, token: String, on_close: Callback<()>) -> Html {
    let (title, command) = match whose {
        Whose::Own => ("The new API token", None),
        Whose::Collectors => (
            "The new collector token",
            Some(format!(
                "infra-watch collect --server {} --token-file FILE --every 30s",
                origin()
            )),
        ),
    };
    shown_once(title, "Token", token, command, on_close)
}

/// Asks for the name before the token goes.
fn delete_token(
    whose: Whose,
    token_id: Uuid,
    name: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
) -> Html {
    let act = Callback::from(move |api: Api| match whose {
        Whose::Own => api.ask(operations::delete_api_token(token_id)),
        Whose::Collectors => api.ask(operations::delete_collector_token(token_id)),
    });
    let warning = match whose {
        Whose::Own => "Programs that use it are refused at once.",
        Whose::Collectors => {
            "The collector that uses it is refused at once; hosts that it alone reaches are not collected any more."
        }
    };
    html! {
        <Ask title={format!("Delete the token {name}?")} {name} action="Delete token" {act} {on_close} {on_done} {warning} />
    }
}
