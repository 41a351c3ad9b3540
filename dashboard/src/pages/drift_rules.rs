//! Rules that say which changes are expected, and which do not matter.

use infra_watch_client::operations;
use infra_watch_client::types::{self, DriftRule, DriftRuleKind, Host};
use uuid::Uuid;
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::api::{Api, ApiError, PAGE_ITEMS};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::empty::empty;
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::icon::Glyph;
use crate::components::time::{time, time_or};
use crate::components::whom::whom_fields;
use crate::hooks::clock::{use_now, zone};
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::range;
use crate::route::Route;
use crate::whom::{Whom, or};

/// What is being done.
#[derive(Clone, PartialEq)]
enum Doing {
    Nothing,
    Create,
    Delete(Uuid, AttrValue),
}

/// The rules, and the hosts that they may name.
struct Known {
    rules: Vec<DriftRule>,
    hosts: Shared<Vec<Host>>,
}

/// The list and what may be done with it.
#[component]
pub fn DriftRules() -> Html {
    let known = use_polled((), None, |api, ()| {
        let rules = api.all(|cursor| {
            operations::list_drift_rules()
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        });
        let hosts = api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor));
        Box::pin(async move {
            Ok(Known {
                rules: rules.await?,
                hosts: Shared::new(hosts.await?),
            })
        })
    });
    let now = use_now();
    let doing = use_state(|| Doing::Nothing);
    let start = |next: Doing| {
        let doing = doing.clone();
        Callback::from(move |()| doing.set(next.clone()))
    };
    let row = |rule: &DriftRule, hosts: &[Host]| {
        let sentence = AttrValue::from(Draft::of(rule, hosts).sentence());
        let delete = start(Doing::Delete(rule.rule_id, sentence.clone()));
        let is_over = rule.to.is_some_and(|to| to < now);
        html! {
            <tr key={rule.rule_id.as_u128()} data-rule={rule.key.clone()}>
                <th scope="row" class="rule-sentence">{ sentence }if is_over { <span class="badge badge-ignored">{ "over" }</span> }<p class="meaning">{ &rule.reason }</p></th>
                <td data-label="From">{ time(rule.from) }</td>
                <td data-label="To">{ time_or(rule.to, "for ever") }</td>
                <td data-label="By">{ &rule.created_by }</td>
                <td class="row-actions"><button type="button" class="button" data-action="delete" aria-label={format!("Delete the rule for {}", rule.key)} onclick={move |_| delete.emit(())}>{ "Delete" }</button></td>
            </tr>
        }
    };
    let close = start(Doing::Nothing);
    html! {
        <SectionPage route={Route::DriftRules} about="What is expected or does not matter. Rules mark changes; they hide none." create={Some(AttrValue::from("New rule"))} on_create={start(Doing::Create)}>
            { known.show(skeleton, |known| if known.rules.is_empty() {
                html! { <div class="card">{ empty(Glyph::Change, "There is no rule.", html! { <p class="muted">{ "Every change counts as drift until its baseline is approved." }</p> }) }</div> }
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table rules">
                            <thead><tr><th scope="col">{ "Rule" }</th><th scope="col">{ "From" }</th><th scope="col">{ "To" }</th><th scope="col">{ "By" }</th><th scope="col"><span class="visually-hidden">{ "Actions" }</span></th></tr></thead>
                            <tbody>{ for known.rules.iter().map(|rule| row(rule, &known.hosts)) }</tbody>
                        </table>
                    </div>
                }
            }) }
            { match ((*doing).clone(), known.data()) {
                (Doing::Create, Some(data)) => html! { <CreateRule hosts={data.hosts.clone()} on_close={close} on_done={known.retry.clone()} /> },
                (Doing::Delete(rule_id, sentence), _) => delete_rule(rule_id, &sentence, close, known.retry.clone()),
                _ => Html::default(),
            } }
        </SectionPage>
    }
}

/// A rule as it is edited.
#[derive(Clone, Debug, PartialEq)]
struct Draft {
    is_expected: bool,
    section: String,
    key: String,
    whom: Whom,
    from: String,
    to: String,
    reason: String,
}

impl Draft {
    fn new() -> Self {
        Self {
            is_expected: false,
            section: "packages".to_owned(),
            key: String::new(),
            whom: Whom::all(),
            from: String::new(),
            to: String::new(),
            reason: String::new(),
        }
    }

    /// A rule as it would have been edited; its times stand elsewhere.
    fn of(rule: &DriftRule, hosts: &[Host]) -> Self {
        Self {
            is_expected: rule.kind == DriftRuleKind::Expected,
            section: rule.section.clone(),
            key: rule.key.clone(),
            whom: Whom::of(&rule.selector, hosts),
            ..Self::new()
        }
    }

    /// What it says: "Ignore LC_* in environment on all hosts".
    fn sentence(&self) -> String {
        let verb = if self.is_expected {
            "Expect changes of"
        } else {
            "Ignore"
        };
        format!(
            "{verb} {} in {} on {}",
            or(&self.key, "…"),
            or(&self.section, "…"),
            self.whom.words()
        )
    }

    /// The request, or which field cannot be part of one.
    fn body(
        &self,
        hosts: &[Host],
        zone: chrono::FixedOffset,
    ) -> Result<types::CreateDriftRule, ApiError> {
        Ok(types::CreateDriftRule {
            kind: if self.is_expected {
                DriftRuleKind::Expected
            } else {
                DriftRuleKind::Ignore
            },
            section: ApiError::checked("section", self.section.trim())?,
            key: ApiError::checked("key", self.key.trim())?,
            reason: ApiError::checked("reason", self.reason.trim())?,
            selector: Some(self.whom.selector(hosts)?),
            from: range::moment("from", &self.from, zone)?,
            to: range::moment("to", &self.to, zone)?,
        })
    }
}

#[derive(PartialEq, Properties)]
struct CreateRuleProps {
    hosts: Shared<Vec<Host>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// The fields, and above them what the rule says.
#[component]
fn CreateRule(props: &CreateRuleProps) -> Html {
    let draft = use_state(Draft::new);
    let submit = use_submit();
    let zone = zone(use_now());
    let take = |put: fn(&mut Draft, String)| {
        let draft = draft.clone();
        Callback::from(move |text| {
            let mut next = (*draft).clone();
            put(&mut next, text);
            draft.set(next);
        })
    };
    let on_submit = {
        let (draft, submit, hosts) = (draft.clone(), submit.clone(), props.hosts.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| match draft.body(&hosts, zone) {
            Err(error) => submit.refuse(error),
            Ok(body) => {
                let (on_close, on_done) = (on_close.clone(), on_done.clone());
                submit.send(operations::create_drift_rule(&body), move |_| {
                    on_done.emit(());
                    on_close.emit(());
                });
            }
        })
    };
    let words = |(value, words): (&'static str, &'static str)| (value.into(), words.into());
    let kinds = [
        ("ignore", "does not matter: ignore it"),
        ("expected", "is planned: expect it"),
    ];
    let on_whom = {
        let draft = draft.clone();
        Callback::from(move |whom| {
            let mut next = (*draft).clone();
            next.whom = whom;
            draft.set(next);
        })
    };
    let shown = ["section", "key", "reason", "selector", "from", "to"];
    html! {
            <Dialog title="New rule" on_close={props.on_close.clone()}>
                { form(Action::new("Create rule"), submit.is_busy(), submit.whole(&shown), on_submit, Some(props.on_close.clone()), html! {
    <>
                    <p class="note rule-draft" aria-live="polite">{ draft.sentence() }{ "." }</p>
                    { select_field("kind".into(), "What changes", if draft.is_expected { "expected" } else { "ignore" }, &kinds.map(words), take(|draft, text| draft.is_expected = text == "expected"), None, None) }
                    <TextField id="section" label="Section" value={draft.section.clone()} on_input={take(|draft, text| draft.section = text)} error={submit.field("section")} help="packages, os, services, files, environment, or a pattern with * and ?." />
                    <TextField id="key" label="Item" value={draft.key.clone()} on_input={take(|draft, text| draft.key = text)} error={submit.field("key")} placeholder="dpkg/nginx*" help="The whole key, or a pattern with * and ?." autofocus={true} />
                    { whom_fields(&draft.whom, on_whom, submit.field("selector")) }
                    if draft.is_expected {
                        <TextField id="from" label="From" kind="datetime-local" value={draft.from.clone()} on_input={take(|draft, text| draft.from = text)} error={submit.field("from")} help="Empty is from now on." />
                        <TextField id="to" label="To" kind="datetime-local" value={draft.to.clone()} on_input={take(|draft, text| draft.to = text)} error={submit.field("to")} help="Empty is for ever." />
                    }
                    <TextField id="reason" label="Reason" value={draft.reason.clone()} on_input={take(|draft, text| draft.reason = text)} error={submit.field("reason")} placeholder="Planned upgrade, ticket 4711" />
                </>
    }) }
            </Dialog>
        }
}

/// Asks before the rule goes.
fn delete_rule(
    rule_id: Uuid,
    sentence: &str,
    on_close: Callback<()>,
    on_done: Callback<()>,
) -> Html {
    let act = Callback::from(move |api: Api| api.ask(operations::delete_drift_rule(rule_id)));
    html! {
        <Ask title="Delete this rule?" action="Delete rule" {act} {on_close} {on_done}
            warning={format!("“{sentence}” holds no longer: what it marked now counts as drift again. The history of changes keeps its marks.")} />
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whom::Whose;

    fn draft() -> Draft {
        Draft {
            key: "LC_*".to_owned(),
            section: "environment".to_owned(),
            reason: "set by whoever logs in".to_owned(),
            ..Draft::new()
        }
    }

    #[test]
    fn a_rule_reads_as_a_sentence() {
        assert_eq!(
            draft().sentence(),
            "Ignore LC_* in environment on all hosts"
        );
        let planned = Draft {
            is_expected: true,
            key: String::new(),
            whom: Whom {
                whose: Whose::Labels,
                which: "role=web".to_owned(),
            },
            ..draft()
        };
        assert_eq!(
            planned.sentence(),
            "Expect changes of … in environment on hosts with role=web"
        );
    }

    #[test]
    fn what_is_wrong_is_said_beside_its_field() {
        let zone = chrono::FixedOffset::east_opt(0).unwrap();
        let check = |change: fn(&mut Draft), expect: Option<&str>| {
            let mut draft = draft();
            change(&mut draft);
            let error = draft.body(&[], zone).err();
            let field = error.map(|error| error.fields[0].name.clone());
            assert_eq!(field.as_deref(), expect, "{draft:?}");
        };
        check(|_| {}, None);
        check(|draft| draft.key = " ".to_owned(), Some("key"));
        check(|draft| draft.reason.clear(), Some("reason"));
        check(|draft| draft.to = "2026-11-23T09:00".to_owned(), None);
        check(|draft| draft.to = "soon".to_owned(), Some("to"));
        check(|draft| draft.whom.whose = Whose::Labels, Some("selector"));
    }
}
