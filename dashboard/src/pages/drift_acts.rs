//! What administrators may do about drift: let the baseline take it, or have it ignored from now on.

use std::collections::HashMap;

use infra_watch_client::operations;
use infra_watch_client::types::{self, DriftRuleKind, Host, ItemId, Selector};
use yew::prelude::*;

use super::drift::Chosen;
use crate::api::{ApiError, Pending, use_api};
use crate::components::dialog::Dialog;
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::labels;
use crate::format;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;

/// More rules than these at once are better said as one with a pattern.
const RULES_MAX: usize = 20;

/// What is to be done with some items.
#[derive(Clone, PartialEq)]
pub enum Act {
    /// The baseline takes what is now.
    Approve(Chosen),
    /// They do not matter.
    Ignore(Chosen),
}

#[derive(PartialEq, Properties)]
pub struct DriftDialogProps {
    /// Where they are.
    pub host: Shared<Host>,
    /// What is to be done.
    pub act: Act,
    /// It is done or given up.
    pub on_close: Callback<()>,
    /// It is done.
    pub on_done: Callback<()>,
}

/// Where, and why.
#[component]
pub fn DriftDialog(props: &DriftDialogProps) -> Html {
    let host = &props.host;
    let api = use_api();
    let reason = use_state(String::new);
    let scope = use_state(String::new);
    let submit = use_submit();
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let (items, title, action, words) = match &props.act {
        Act::Approve(items) => (
            items,
            format!("Approve {}?", format::count(items.len(), "item")),
            "Approve",
            "The baseline takes the values that hold now; from then on they are no drift.",
        ),
        Act::Ignore(items) => (
            items,
            format!("Ignore {}?", format::count(items.len(), "item")),
            "Ignore",
            "A rule is made for each: it stays visible, and does not count as drift. Rules can be removed again under Drift rules.",
        ),
    };
    let on_submit = {
        let (act, host, submit) = (props.act.clone(), host.clone(), submit.clone());
        let (reason, scope) = (reason.clone(), scope.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let selector = selector(&host, &scope);
            let (on_close, on_done) = (on_close.clone(), on_done.clone());
            let done = move |()| {
                on_done.emit(());
                on_close.emit(());
            };
            let asked: Result<Pending<()>, ApiError> = match &act {
                Act::Approve(items) => approval(items, selector, &reason).map(|body| {
                    let answer = api.ask(operations::approve_drift(&body));
                    Box::pin(async move { answer.await.map(drop) }) as Pending<()>
                }),
                Act::Ignore(items) => rules(items, &selector, &reason).map(|bodies| {
                    let api = api.clone();
                    Box::pin(async move {
                        for body in &bodies {
                            api.ask(operations::create_drift_rule(body)).await?;
                        }
                        Ok(())
                    }) as Pending<()>
                }),
            };
            match asked {
                Ok(asked) => submit.run(asked, done),
                Err(error) => submit.refuse(error),
            }
        })
    };
    html! {
            <Dialog {title} on_close={props.on_close.clone()}>
                { form(Action::new(action), submit.is_busy(), submit.whole(&["reason"]), on_submit, Some(props.on_close.clone()), html! {
    <>
                    <p>{ words }</p>
                    <ul class="chosen" tabindex="0" aria-label="Items">{ for items.iter().map(|(section, key)| html! { <li><code>{ key }</code><span class="muted">{ format!(" {section}") }</span></li> }) }</ul>
                    <TextField id="reason" label="Reason" value={(*reason).clone()} on_input={take(&reason)} error={submit.field("reason")} placeholder="Planned upgrade, ticket 4711" autofocus={true} />
                    { select_field("scope".into(), "Where", &scope, &scopes(host), take(&scope), None, None) }
                </>
    }) }
            </Dialog>
        }
}

/// This host, those that have a label of it, or all.
fn scopes(host: &Host) -> Vec<(AttrValue, AttrValue)> {
    let mut scopes = vec![(
        AttrValue::from(""),
        AttrValue::from(format!("On {} alone", host.name)),
    )];
    for (name, value) in labels::sorted(&host.labels) {
        let label = format!("{name}={value}");
        scopes.push((
            label.clone().into(),
            format!("On all hosts with {label}").into(),
        ));
    }
    scopes.push(("*".into(), "On all hosts".into()));
    scopes
}

fn selector(host: &Host, scope: &str) -> Selector {
    match scope.split_once('=') {
        Some((name, value)) => Selector {
            host_ids: None,
            // It is a label of a host, so it can be one of a selector.
            labels: value
                .parse()
                .ok()
                .map(|value| HashMap::from([(name.to_owned(), value)])),
        },
        None if scope == "*" => Selector::default(),
        None => Selector {
            host_ids: Some(vec![host.host_id]),
            labels: None,
        },
    }
}

fn approval(
    items: &Chosen,
    selector: Selector,
    reason: &str,
) -> Result<types::ApproveDrift, ApiError> {
    let item = |(section, key): &(String, String)| {
        Ok(ItemId {
            section: ApiError::checked("items", section)?,
            key: ApiError::checked("items", key)?,
        })
    };
    Ok(types::ApproveDrift {
        items: Some(items.iter().map(item).collect::<Result<_, ApiError>>()?),
        reason: ApiError::checked("reason", reason.trim())?,
        selector: Some(selector),
    })
}

fn rules(
    items: &Chosen,
    selector: &Selector,
    reason: &str,
) -> Result<Vec<types::CreateDriftRule>, ApiError> {
    if items.len() > RULES_MAX {
        return Err(ApiError::field(
            "items",
            format!(
                "more than {RULES_MAX} at once; make one rule with a pattern under Drift rules"
            ),
        ));
    }
    let rule = |(section, key): &(String, String)| {
        Ok(types::CreateDriftRule {
            kind: DriftRuleKind::Ignore,
            section: ApiError::checked("section", section)?,
            key: ApiError::checked("key", key)?,
            reason: ApiError::checked("reason", reason.trim())?,
            selector: Some(selector.clone()),
            from: None,
            to: None,
        })
    };
    items.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_needed_and_too_many_are_refused() {
        let items = |count: usize| -> Chosen {
            let mut items = Chosen::new();
            for number in 0..count {
                items.insert(("packages".to_owned(), format!("dpkg/{number}")));
            }
            items
        };
        let field = |error: Option<ApiError>| error.map(|error| error.fields[0].name.clone());
        let all = Selector::default();
        let approve = |reason| approval(&items(2), all.clone(), reason).err();
        assert_eq!(field(approve(" ")).as_deref(), Some("reason"));
        assert_eq!(field(approve("planned")), None);
        let ignore = |count, reason| rules(&items(count), &all, reason).err();
        assert_eq!(field(ignore(20, "planned")), None);
        assert_eq!(field(ignore(21, "planned")).as_deref(), Some("items"));
        assert_eq!(field(ignore(1, "")).as_deref(), Some("reason"));
    }
}
