//! How one host is collected: what is to be done on it, how it goes, and what administrators may do about it.

use infra_watch_client::operations;
use infra_watch_client::types::{
    Collection, CollectionKind, CollectionSettings, ConfirmHostKey, Host, Role, UpdateHost,
};
use uuid::Uuid;
use yew::prelude::*;

use super::collection_form::CollectionForm;
use super::collection_steps::{Said, result, steps};
use crate::api::{Api, Pending, use_api, use_role};
use crate::collection;
use crate::components::ask::Ask;
use crate::components::fact::fact;
use crate::components::go::{Address, link};
use crate::components::icon::{Glyph, icon};
use crate::components::secret::Copy;
use crate::components::time::time_or;
use crate::format;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::route::Route;

#[derive(PartialEq, Properties)]
pub struct CollectionTabProps {
    /// The host.
    pub host: Shared<Host>,
    /// Whether the address asks for the form.
    pub is_editing: bool,
    /// Asks for the host anew.
    pub refresh: Callback<()>,
}

/// The tab of a host's collection, or the form in it.
pub fn tab_of(host_id: Uuid, is_editing: bool) -> Address {
    let edit = if is_editing { "collection" } else { "" };
    Address::new(
        Route::Host { host_id },
        [("tab", "collection".to_owned()), ("edit", edit.to_owned())],
    )
}

/// What is done by hand.
enum Act {
    Test,
    Collect,
    /// Confirms the key with this fingerprint, then tests.
    Confirm(String),
}

/// What is asked before it is done.
#[derive(Clone, PartialEq)]
enum Asked {
    Nothing,
    Stop,
    /// To believe in the key that is shown.
    Accept(String),
}

/// What is known of a host's collection, with the buttons of those who may act.
#[component]
pub fn CollectionTab(props: &CollectionTabProps) -> Html {
    let host = &props.host;
    let known = &host.collection;
    let is_admin = use_role() == Role::Admin;
    let api = use_api();
    let submit = use_submit();
    let said = use_state(|| Said::Nothing);
    let asked = use_state(|| Asked::Nothing);
    if is_admin && props.is_editing {
        return html! { <CollectionForm host={host.clone()} on_done={props.refresh.clone()} /> };
    }
    if known.kind == CollectionKind::Push {
        return pushed(host.host_id, is_admin);
    }
    let act = {
        let (submit, said, host_id) = (submit.clone(), said.clone(), host.host_id);
        let refresh = props.refresh.clone();
        Callback::from(move |act: Act| {
            if submit.is_busy() {
                return;
            }
            let begun = if matches!(act, Act::Collect) {
                Said::Collecting
            } else {
                Said::Testing
            };
            said.set(begun);
            let (said, refresh) = (said.clone(), refresh.clone());
            submit.run(answer(&api, host_id, act), move |answer| {
                said.set(answer);
                refresh.emit(());
            });
        })
    };
    let ask = |next: Asked| {
        let asked = asked.clone();
        Callback::from(move |()| asked.set(next.clone()))
    };
    let is_new = known.last_success_at.is_none();
    let preparations = if is_admin {
        collection::preparations(known)
    } else {
        Vec::new()
    };
    let tested = match &*said {
        Said::Traced(trace) => steps(trace, known.kind),
        _ => Html::default(),
    };
    html! {
        <div class="collection" data-kind={known.kind.to_string()}>
            { for known.changed_host_key.as_ref().map(|shown| changed(known, shown, is_admin.then(|| ask(Asked::Accept(shown.clone()))))) }
            { for known.offered_host_key.as_ref().map(|key| offered(known, key, is_admin.then_some(&act))) }
            if !preparations.is_empty() {
                <details class="card alert-part prepare" open={is_new}>
                    <summary><h2>{ "What the host needs" }</h2></summary>
                    { for preparations.iter().map(|(whither, line)| html! { <Copy label={whither.clone()} value={line.clone()} /> }) }
                    <p class="muted">{ "Then test the connection." }</p>
                </details>
            }
            <section class="card alert-part">
                <div class="host-title">
                    <h2>{ "How it goes" }</h2>
                    if is_admin { { buttons(host, is_new, submit.is_busy(), &act, ask(Asked::Stop)) } }
                </div>
                { result(&said, known.kind, submit.is_busy(), submit.whole(&[])) }
                { tested }
                if said.is_good().is_none() { { for failure(known) } }
                <dl class="facts facts-whole">{ facts(known) }</dl>
            </section>
            { match (*asked).clone() {
                Asked::Nothing => Html::default(),
                Asked::Stop => stop(host, ask(Asked::Nothing), props.refresh.clone()),
                Asked::Accept(shown) => accept(host, shown, ask(Asked::Nothing), act.reform(|()| Act::Test)),
            } }
        </div>
    }
}

/// Does what is to be done by hand; nothing is sent before this is awaited.
fn answer(api: &Api, host_id: Uuid, act: Act) -> Pending<Said> {
    let trace = api.ask(operations::trace_collection(host_id));
    let before = match act {
        Act::Collect => {
            let collected = api.ask(operations::collect_host(host_id));
            return Box::pin(async move { Ok(Said::Collected(collected.await?)) });
        }
        Act::Confirm(fingerprint) => {
            let body = ConfirmHostKey { fingerprint };
            Some(api.ask(operations::confirm_host_key(host_id, &body)))
        }
        Act::Test => None,
    };
    Box::pin(async move {
        if let Some(before) = before {
            before.await?;
        }
        Ok(Said::Traced(trace.await?))
    })
}

/// A host whose agent pushes.
fn pushed(host_id: Uuid, is_admin: bool) -> Html {
    html! {
        <section class="card alert-part collection" data-kind="push">
            <div class="host-title">
                <p>{ "Its agent pushes." }</p>
                if is_admin { <div class="host-actions">{ link(tab_of(host_id, true), "button", html! { "Also pull…" }) }</div> }
            </div>
        </section>
    }
}

fn buttons(
    host: &Host,
    is_new: bool,
    is_busy: bool,
    act: &Callback<Act>,
    stop: Callback<()>,
) -> Html {
    let button = |name: &'static str,
                  words: &'static str,
                  is_first: bool,
                  onclick: Callback<MouseEvent>| {
        html! { <button type="button" class={classes!("button", is_first.then_some("button-primary"))} data-action={name} aria-disabled={is_busy.to_string()} {onclick}>{ words }</button> }
    };
    html! {
        <div class="host-actions">
            { button("test", "Test connection", is_new, act.reform(|_| Act::Test)) }
            { button("collect", "Collect now", false, act.reform(|_| Act::Collect)) }
            { link(tab_of(host.host_id, true), "button", html! { <>{ icon(Glyph::Pencil) }{ "Edit" }</> }) }
            if host.collection.is_pushed { { button("stop", "Stop pulling", false, stop.reform(|_| ())) } }
        </div>
    }
}

/// Why the last did not succeed.
fn failure(known: &Collection) -> Option<Html> {
    let error = known.last_error.as_ref()?;
    let step = known
        .last_error_step
        .map_or("", |step| collection::step(step, known.kind));
    Some(
        html! { <p class="notice last-error">{ icon(Glyph::Warning) }<span>{ format!("The last failed at “{step}”: {error}.") }</span></p> },
    )
}

fn facts(known: &Collection) -> Html {
    let took = known
        .duration_seconds
        .map_or_else(|| format::NOTHING.to_owned(), format::duration);
    let by = known.last_collector.as_ref().map_or_else(
        || "the backend".to_owned(),
        |name| format!("the collector {name}"),
    );
    let mode = known.mode.map(|mode| format!("by {mode}"));
    let key = if known.kind == CollectionKind::Ssh {
        &known.host_key
    } else {
        &known.certificate_fingerprint
    };
    html! {
        <>
            { fact("Last collected", time_or(known.last_success_at, "never")) }
            { fact("Last try", html! { <>{ time_or(known.last_attempt_at, "none yet") }if known.last_attempt_at.is_some() { <span class="muted">{ format!(" · took {took}, {by}") }</span> }</> }) }
            { fact("Next", time_or(known.next_at, "when it is asked for")) }
            { fact("Failures in a row", html! { known.failures.unwrap_or_default() }) }
            { fact("Reached at", html! { <>{ collection::place(known) }<span class="muted">{ for mode.map(|mode| format!(" · {mode}")) }</span></> }) }
            { fact("Collected by", html! { collection::collectors(known) }) }
            { fact(if known.kind == CollectionKind::Ssh { "Host key" } else { "Certificate" }, html! { match key { Some(key) => html! { <code>{ key }</code> }, None => html! { <span class="muted">{ "not pinned" }</span> } } }) }
        </>
    }
}

/// Something about a key that somebody has to look at.
fn band(class: &'static str, title: String, content: Html) -> Html {
    html! {
        <section class={classes!("notice", "notice-block", class)} role="alert">
            <p class="notice-title">{ icon(Glyph::Warning) }<strong>{ title }</strong></p>
            { content }
        </section>
    }
}

/// A key that waits to be confirmed.
fn offered(known: &Collection, key: &str, act: Option<&Callback<Act>>) -> Html {
    let is_jump = known.is_offered_by_jump == Some(true);
    let who = if is_jump { "the jump host" } else { "the host" };
    let algorithm = known
        .offered_host_key_algorithm
        .as_deref()
        .unwrap_or_default();
    let confirm = act.map(|act| {
        let fingerprint = key.to_owned();
        let onclick = act.reform(move |_: MouseEvent| Act::Confirm(fingerprint.clone()));
        html! {
            <>
                <p>{ format!("Compare it with what {who} itself says:") }</p>
                <Copy label="On that machine" value={collection::key_command(algorithm)} />
                <div><button type="button" class="button button-primary" data-action="confirm" {onclick}>{ "Confirm this key" }</button></div>
            </>
        }
    });
    let title =
        format!("Offered by {who}: a host key that nobody has confirmed. Nobody logs in before.");
    let content = html! {
        <>
            <p>{ algorithm }{ " " }<code class="fingerprint">{ key }</code></p>
            { for confirm }
        </>
    };
    band("key-offered", title, content)
}

/// Another key or certificate than the one that is known.
fn changed(known: &Collection, shown: &str, accept: Option<Callback<()>>) -> Html {
    let (before, _) = collection::changed_key(known, shown);
    let what = if known.kind == CollectionKind::Ssh {
        "host key"
    } else {
        "certificate"
    };
    let accept = accept.map(|accept| {
        let onclick = accept.reform(|_: MouseEvent| ());
        html! { <div><button type="button" class="button button-danger" data-action="accept" {onclick}>{ "Accept the new key" }</button></div> }
    });
    let title = format!("Another {what} than the known one is shown. Nothing is collected.");
    let content = html! {
        <>
            <dl>
                <div><dt>{ "Known" }</dt><dd><code>{ before }</code></dd></div>
                <div><dt>{ "Shown" }</dt><dd><code class="fingerprint">{ shown }</code></dd></div>
            </dl>
            <p>{ "That is so after a new installation, and when somebody stands in between." }</p>
            { for accept }
        </>
    };
    band("key-changed", title, content)
}

/// Says what it means to believe in another key, and does it.
fn accept(host: &Host, shown: String, on_close: Callback<()>, on_done: Callback<()>) -> Html {
    let host_id = host.host_id;
    let warning = format!(
        "From now on whoever has the key {shown} is taken for this host, and for no other reason. Accept it only when you know why it changed and have compared it on the host itself."
    );
    let (_, settings) = collection::changed_key(&host.collection, &shown);
    let act = Callback::from(move |api: Api| update(&api, host_id, settings.clone()));
    html! { <Ask title={format!("Accept the new key of {}?", host.name)} name={host.name.clone()} action="Accept the new key" {act} {on_close} {on_done} {warning} /> }
}

/// Ends pulling beside an agent that pushes.
fn stop(host: &Host, on_close: Callback<()>, on_done: Callback<()>) -> Html {
    let host_id = host.host_id;
    let act = Callback::from(move |api: Api| {
        update(&api, host_id, collection::settings(CollectionKind::Push))
    });
    html! { <Ask title={format!("Stop pulling {}?", host.name)} action="Stop pulling" {act} {on_close} {on_done} warning="Its agent goes on to push. How it was pulled is forgotten, secrets and keys included." /> }
}

fn update(api: &Api, host_id: Uuid, settings: CollectionSettings) -> Pending<()> {
    let body = UpdateHost {
        collection: Some(settings),
        ..UpdateHost::default()
    };
    let answer = api.ask(operations::update_host(host_id, &body));
    Box::pin(async move { answer.await.map(drop) })
}
