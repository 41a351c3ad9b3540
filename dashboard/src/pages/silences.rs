//! Silences: times in which nobody is told of some alerts.

use chrono::{DateTime, TimeDelta, Utc};
use infra_watch_client::operations;
use infra_watch_client::types::{self, AlertRule, Host, HostStatus, Role, Silence, SilenceState};
use uuid::Uuid;
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::alert;
use crate::api::{Api, ApiError, PAGE_ITEMS, use_role};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::empty::empty;
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::icon::Glyph;
use crate::components::status::mark;
use crate::components::time::time;
use crate::components::whom::whom_fields;
use crate::hooks::clock::{self, zone};
use crate::hooks::polled::use_polled;
use crate::hooks::query::{Query, use_query};
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::range;
use crate::route::Route;
use crate::whom::{Whom, Whose};

/// How often the silences are asked for: they begin and end by themselves.
const SILENCES_SECONDS: u32 = 30;
/// Lengths to choose from; the last is any.
const LENGTHS: [(&str, &str); 4] = [
    ("1h", "1 hour from now"),
    ("4h", "4 hours from now"),
    ("1d", "1 day from now"),
    ("", "between two times"),
];

/// The silences, and what they may name.
struct Known {
    silences: Vec<Silence>,
    hosts: Vec<Host>,
    rules: Vec<AlertRule>,
}

/// The list and what may be done with it.
#[component]
pub fn Silences() -> Html {
    let query = use_query();
    let is_admin = use_role() == Role::Admin;
    let known = use_polled((), Some(SILENCES_SECONDS), |api, ()| {
        let silences =
            api.all(|cursor| operations::list_silences().limit(PAGE_ITEMS).cursor(cursor));
        let hosts = api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor));
        let rules = api.all(|cursor| {
            operations::list_alert_rules()
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        });
        Box::pin(async move {
            Ok(Known {
                silences: silences.await?,
                hosts: hosts.await?,
                rules: rules.await?,
            })
        })
    });
    let deleting = use_state(|| None::<Silence>);
    let row = |silence: &Silence, known: &Known| {
        let (status, word, action) = match silence.state {
            SilenceState::Planned => (HostStatus::Pending, "planned", "Delete"),
            SilenceState::Active => (HostStatus::Late, "active", "End"),
            SilenceState::Ended => (HostStatus::Up, "ended", "Delete"),
        };
        let is_own = |rule: &&AlertRule| Some(rule.rule_id) == silence.rule_id;
        let rule = match (silence.rule_id, known.rules.iter().find(is_own)) {
            (None, _) => "all rules",
            (_, Some(rule)) => &rule.name,
            (_, None) => "a rule that is gone",
        };
        let delete = {
            let (deleting, silence) = (deleting.clone(), silence.clone());
            move |_: MouseEvent| deleting.set(Some(silence.clone()))
        };
        html! {
            <tr key={silence.silence_id.as_u128()} data-silence={word}>
                <th scope="row" class="rule-sentence">{ Whom::of(&silence.selector, &known.hosts).words() }{ ", " }{ rule }<p class="meaning">{ &silence.comment }</p></th>
                <td data-label="State">{ mark(status, word) }</td>
                <td data-label="From">{ time(Some(silence.from)) }</td>
                <td data-label="To">{ time(Some(silence.to)) }</td>
                <td data-label="By">{ &silence.created_by }</td>
                if is_admin {
                    <td class="row-actions"><button type="button" class="button" data-action="delete" aria-label={format!("{action} the silence for {rule}")} onclick={delete}>{ action }</button></td>
                }
            </tr>
        }
    };
    let open = |value: &'static str| {
        let query = query.clone();
        Callback::from(move |()| {
            query.replace([
                ("new", Some(value.to_owned())),
                ("host", None),
                ("rule", None),
            ]);
        })
    };
    let create = is_admin.then_some(AttrValue::from("New silence"));
    let is_new = is_admin && query.get("new").is_some();
    html! {
        <SectionPage route={Route::Silences} about="Nobody is told of what starts in a silence, unless it still fires at its end." {create} on_create={open("1h")}>
            { known.show(skeleton, |known| if known.silences.is_empty() {
                html! { <div class="card">{ empty(Glyph::Bell, "There is no silence.", html! { <p class="muted">{ "Make one for planned work; alerts are logged all the same." }</p> }) }</div> }
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table rules">
                            <caption class="visually-hidden">{ "Silences" }</caption>
                            <thead><tr>
                                <th scope="col">{ "Of what" }</th><th scope="col">{ "State" }</th><th scope="col">{ "From" }</th><th scope="col">{ "To" }</th><th scope="col">{ "By" }</th>
                                if is_admin { <th scope="col"><span class="visually-hidden">{ "Actions" }</span></th> }
                            </tr></thead>
                            <tbody>{ for known.silences.iter().rev().map(|silence| row(silence, known)) }</tbody>
                        </table>
                    </div>
                }
            }) }
            if let Some(data) = known.data().filter(|_| is_new) {
                <CreateSilence known={data.clone()} query={query.clone()} on_close={open("")} on_done={known.retry.clone()} />
            }
            if let Some(silence) = (*deleting).clone() {
                { delete_silence(&silence, &deleting, known.retry.clone()) }
            }
        </SectionPage>
    }
}

/// A silence as it is edited.
#[derive(Clone, PartialEq)]
struct Draft {
    whom: Whom,
    rule: String,
    length: String,
    from: String,
    to: String,
    comment: String,
}

impl Draft {
    /// What the address asks for.
    fn of(query: &Query) -> Self {
        let text = |name| query.get(name).unwrap_or_default().to_owned();
        let whose = match query.get("host") {
            Some(_) => Whose::Hosts,
            None => Whose::All,
        };
        Self {
            whom: Whom {
                whose,
                which: text("host"),
            },
            rule: text("rule"),
            length: text("new"),
            from: String::new(),
            to: String::new(),
            comment: String::new(),
        }
    }

    /// The request, or which field cannot be part of one.
    fn body(&self, hosts: &[Host], now: DateTime<Utc>) -> Result<types::CreateSilence, ApiError> {
        let zone = zone(now);
        let (from, to) = match alert::seconds(&self.length) {
            Some(seconds) => (None, Some(now + TimeDelta::seconds(seconds))),
            None => (
                range::moment("from", &self.from, zone)?,
                range::moment("to", &self.to, zone)?,
            ),
        };
        Ok(types::CreateSilence {
            selector: Some(self.whom.selector(hosts)?),
            rule_id: self.rule.parse::<Uuid>().ok(),
            from,
            to: to.ok_or_else(|| ApiError::field("to", "must not be empty"))?,
            comment: ApiError::checked("comment", self.comment.trim())?,
        })
    }
}

#[derive(PartialEq, Properties)]
struct CreateSilenceProps {
    known: Shared<Known>,
    query: Query,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// Whom, which rule, how long, why.
#[component]
fn CreateSilence(props: &CreateSilenceProps) -> Html {
    let draft = use_state(|| Draft::of(&props.query));
    let submit = use_submit();
    let take = |put: fn(&mut Draft, String)| {
        let draft = draft.clone();
        Callback::from(move |text| {
            let mut next = (*draft).clone();
            put(&mut next, text);
            draft.set(next);
        })
    };
    let on_whom = {
        let draft = draft.clone();
        Callback::from(move |whom| {
            let mut next = (*draft).clone();
            next.whom = whom;
            draft.set(next);
        })
    };
    let on_submit = {
        let (draft, submit, known) = (draft.clone(), submit.clone(), props.known.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| match draft.body(&known.hosts, clock::read()) {
            Err(error) => submit.refuse(error),
            Ok(body) => {
                let (on_close, on_done) = (on_close.clone(), on_done.clone());
                submit.send(operations::create_silence(&body), move |_| {
                    on_done.emit(());
                    on_close.emit(());
                });
            }
        })
    };
    let rule = |rule: &AlertRule| (rule.rule_id.to_string().into(), rule.name.clone().into());
    let all = ("".into(), "all rules".into());
    let rules = std::iter::once(all).chain(props.known.rules.iter().map(rule));
    let lengths = LENGTHS.map(|(value, words)| (value.into(), words.into()));
    let shown = ["selector", "rule_id", "from", "to", "comment"];
    html! {
            <Dialog title="New silence" on_close={props.on_close.clone()}>
                { form(Action::new("Create silence"), submit.is_busy(), submit.whole(&shown), on_submit, Some(props.on_close.clone()), html! {
    <>
                    { select_field("rule".into(), "Alerts of", &draft.rule, &rules.collect::<Vec<_>>(), take(|draft, text| draft.rule = text), None, submit.field("rule_id")) }
                    { whom_fields(&draft.whom, on_whom, submit.field("selector")) }
                    { select_field("length".into(), "How long", &draft.length, &lengths, take(|draft, text| draft.length = text), None, None) }
                    if draft.length.is_empty() {
                        <TextField id="from" label="From" kind="datetime-local" value={draft.from.clone()} on_input={take(|draft, text| draft.from = text)} error={submit.field("from")} help="Empty is from now on." />
                        <TextField id="to" label="To" kind="datetime-local" value={draft.to.clone()} on_input={take(|draft, text| draft.to = text)} error={submit.field("to")} />
                    }
                    <TextField id="comment" label="Why" value={draft.comment.clone()} on_input={take(|draft, text| draft.comment = text)} error={submit.field("comment")} placeholder="Planned work, ticket 4711" />
                </>
    }) }
            </Dialog>
        }
}

/// Asks before a silence goes.
fn delete_silence(
    silence: &Silence,
    deleting: &UseStateHandle<Option<Silence>>,
    on_done: Callback<()>,
) -> Html {
    let silence_id = silence.silence_id;
    let act = Callback::from(move |api: Api| api.ask(operations::delete_silence(silence_id)));
    let deleting = deleting.clone();
    let on_close = Callback::from(move |()| deleting.set(None));
    let (title, action, warning) = match silence.state {
        SilenceState::Active => (
            "End this silence?",
            "End silence",
            "What it kept back and still fires is told.",
        ),
        _ => (
            "Delete this silence?",
            "Delete silence",
            "It is gone from the list.",
        ),
    };
    html! { <Ask {title} {action} {act} {on_close} {on_done} {warning} /> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_beside_its_field() {
        let check = |change: fn(&mut Draft), expect: Option<&str>| {
            let mut draft = Draft {
                whom: Whom::all(),
                rule: String::new(),
                length: "1h".to_owned(),
                from: String::new(),
                to: String::new(),
                comment: "planned".to_owned(),
            };
            change(&mut draft);
            let error = draft.body(&[], DateTime::UNIX_EPOCH).err();
            let field = error.map(|error| error.fields[0].name.clone());
            assert_eq!(field.as_deref(), expect);
        };
        check(|_| {}, None);
        check(|draft| draft.comment.clear(), Some("comment"));
        check(|draft| draft.length.clear(), Some("to"));
        check(|draft| draft.whom.whose = Whose::Labels, Some("selector"));
    }
}
