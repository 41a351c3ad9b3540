//! The keys with which agents join.

use chrono::TimeDelta;
use infra_watch_client::operations;
use infra_watch_client::types::{self, EnrollmentKey};
use uuid::Uuid;
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::api::{Api, ApiError, PAGE_ITEMS};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::empty::empty;
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::go::link;
use crate::components::icon::Glyph;
use crate::components::labels::{self, label_chips};
use crate::components::secret::{Copy, origin, shown_once};
use crate::components::time::{time, time_or};
use crate::hooks::clock;
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::route::Route;

/// Lives of a key: days and words; none means for ever.
const LIVES: [(&str, &str); 4] = [
    ("1", "1 day"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("", "No end"),
];

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
pub fn EnrollmentKeys() -> Html {
    let keys = use_polled((), None, |api, ()| {
        api.all(|cursor| {
            operations::list_enrollment_keys()
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
        let (doing, refresh) = (doing.clone(), keys.retry.clone());
        Callback::from(move |key: String| {
            doing.set(Doing::Show(key));
            refresh.emit(());
        })
    };
    let row = |key: &EnrollmentKey| {
        let delete = start(Doing::Delete(key.key_id, key.name.clone()));
        let uses = match key.max_uses {
            Some(max_uses) => format!("{} of {max_uses}", key.uses),
            None => key.uses.to_string(),
        };
        html! {
            <tr key={key.key_id.as_u128()}>
                <th scope="row">{ &key.name }</th>
                <td data-label="Uses" class="number">{ uses }</td>
                <td data-label="Labels">{ label_chips(&labels::sorted(&key.labels)) }</td>
                <td data-label="Ends">{ time_or(key.expires_at, "never") }</td>
                <td data-label="Made">{ time(Some(key.created_at)) }</td>
                <td class="row-actions"><button type="button" class="button" aria-label={format!("Delete {}", key.name)} onclick={move |_| delete.emit(())}>{ "Delete" }</button></td>
            </tr>
        }
    };
    let close = start(Doing::Nothing);
    html! {
        <SectionPage route={Route::EnrollmentKeys} about="An agent that starts with one of these keys joins the fleet." create={Some(AttrValue::from("New key"))} on_create={start(Doing::Create)}>
            { keys.show(skeleton, |keys| if keys.is_empty() {
                html! { <div class="card">{ empty(Glyph::Machine, "There is no enrolment key yet.", html! { <p class="muted">{ "Make one to let agents join." }</p> }) }</div> }
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table">
                            <thead><tr><th scope="col">{ "Name" }</th><th scope="col" class="number">{ "Uses" }</th><th scope="col">{ "Labels" }</th><th scope="col">{ "Ends" }</th><th scope="col">{ "Made" }</th><th scope="col"><span class="visually-hidden">{ "Actions" }</span></th></tr></thead>
                            <tbody>{ for keys.iter().map(row) }</tbody>
                        </table>
                    </div>
                }
            }) }
            { match (*doing).clone() {
                Doing::Nothing => Html::default(),
                Doing::Create => html! { <CreateKey on_close={close} on_done={created} /> },
                Doing::Show(key) => {
                    let command = Some(command_line(&key));
                    shown_once("The new enrolment key", "Key", key, command, close)
                }
                Doing::Delete(key_id, name) => delete_key(key_id, name, close, keys.retry.clone()),
            } }
        </SectionPage>
    }
}

#[derive(PartialEq, Properties)]
struct CreateKeyProps {
    on_close: Callback<()>,
    on_done: Callback<String>,
}

/// Name, life, uses, labels.
#[component]
fn CreateKey(props: &CreateKeyProps) -> Html {
    let name = use_state(String::new);
    let days = use_state(|| "7".to_owned());
    let uses = use_state(String::new);
    let text = use_state(String::new);
    let submit = use_submit();
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let on_submit = {
        let (name, days, uses, text, submit, on_done) = (
            name.clone(),
            days.clone(),
            uses.clone(),
            text.clone(),
            submit.clone(),
            props.on_done.clone(),
        );
        Callback::from(move |()| match body(&name, &days, &uses, &text) {
            Err(error) => submit.refuse(error),
            Ok(body) => {
                let on_done = on_done.clone();
                submit.send(operations::create_enrollment_key(&body), move |created| {
                    on_done.emit(created.key);
                });
            }
        })
    };
    let lives = LIVES
        .iter()
        .map(|(days, words)| (AttrValue::from(*days), AttrValue::from(*words)))
        .collect::<Vec<_>>();
    html! {
            <Dialog title="New enrolment key" on_close={props.on_close.clone()}>
                { form(Action::new("Create key"), submit.is_busy(), submit.whole(&["name", "expires_at", "max_uses", "labels"]), on_submit, Some(props.on_close.clone()), html! {
    <>
                    <TextField id="name" label="Name" value={(*name).clone()} on_input={take(&name)} error={submit.field("name")} placeholder="Web servers" help="What the key is for." autofocus={true} />
                    { select_field("life".into(), "Ends after", &days, &lives, take(&days), None, submit.field("expires_at")) }
                    <TextField id="max_uses" label="Uses at most" value={(*uses).clone()} on_input={take(&uses)} error={submit.field("max_uses")} help="How many hosts may enrol with it. Empty is no limit." />
                    <TextField id="labels" label="Labels" value={(*text).clone()} on_input={take(&text)} error={submit.field("labels")} placeholder="role=web, env=prod" help="Hosts that enrol with it start with these." />
                </>
    }) }
            </Dialog>
        }
}

/// The request, or which field cannot be part of one.
fn body(
    name: &str,
    days: &str,
    uses: &str,
    text: &str,
) -> Result<types::CreateEnrollmentKey, ApiError> {
    let labels = labels::from_text(text).map_err(|message| ApiError::field("labels", message))?;
    let labels = labels
        .into_iter()
        .map(|(name, value)| Ok((name, ApiError::checked("labels", &value)?)));
    let max_uses = match uses.trim() {
        "" => None,
        uses => Some(
            uses.parse()
                .map_err(|_| ApiError::field("max_uses", "must be a whole number above zero"))?,
        ),
    };
    Ok(types::CreateEnrollmentKey {
        name: ApiError::checked("name", name.trim())?,
        expires_at: days
            .parse()
            .ok()
            .map(|days| clock::read() + TimeDelta::days(days)),
        max_uses,
        labels: Some(labels.collect::<Result<_, ApiError>>()?),
    })
}

/// How an agent joins with a key.
fn command_line(key: &str) -> String {
    format!(
        "infra-watch-agent run --server {} --enrollment-key {key}",
        origin()
    )
}

/// How a machine whose agent pushes becomes a host.
pub fn enrol() -> Html {
    html! {
        <>
            <p class="muted">{ "Make an enrolment key, then start the agent on a machine:" }</p>
            <Copy label="Command line" value={command_line("KEY")} />
            { link(Route::EnrollmentKeys, "button button-primary", html! { "Enrolment keys" }) }
        </>
    }
}

/// Asks for the name before the key goes.
fn delete_key(key_id: Uuid, name: String, on_close: Callback<()>, on_done: Callback<()>) -> Html {
    let act = Callback::from(move |api: Api| api.ask(operations::delete_enrollment_key(key_id)));
    html! {
        <Ask title={format!("Delete the key {name}?")} {name} action="Delete key" {act} {on_close} {on_done} warning="No further host can enrol with it; those that have stay." />
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_checked_before_it_is_sent() {
        let check = |uses, labels, expect: Option<&str>| {
            let error = body("web", "", uses, labels)
                .err()
                .and_then(|error| error.fields.first().map(|field| field.name.clone()));
            assert_eq!(error.as_deref(), expect, "{uses} {labels}");
        };
        check("", "", None);
        check("5", "role=web", None);
        check("0", "", Some("max_uses"));
        check("many", "", Some("max_uses"));
        check("", "role", Some("labels"));
    }
}
