//! The form of how a host is collected: for a new one, or for one that is there.

use infra_watch_client::operations;
use infra_watch_client::types::{CollectionKind, Host};
use yew::prelude::*;

use super::collection::tab_of;
use super::enrollment_keys::enrol;
use crate::collection::{BACKEND_KEY, Draft, LOGIN, OWN_KEY};
use crate::components::field::{TextField, choices, select_field, text_area};
use crate::components::form::{Action, form};
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;

/// The ways, with words and a sentence.
const WAYS: [(&str, &str, &str); 3] = [
    (
        "push",
        "Agent that pushes",
        "An agent on the machine sends its reports here.",
    ),
    (
        "http",
        "Agent's endpoint (HTTP)",
        "The backend or a collector asks an agent that listens.",
    ),
    (
        "ssh",
        "SSH",
        "The backend or a collector logs in for each report; nothing has to run there.",
    ),
];
/// The ways to get a report over SSH, with words and a sentence.
const MODES: [(&str, &str, &str); 3] = [
    (
        "command",
        "Command",
        "The agent is started for one report; the key may do nothing else.",
    ),
    (
        "tunnel",
        "Tunnel",
        "An agent that listens on the host's loopback is asked through the connection.",
    ),
    (
        "upload",
        "Upload",
        "The agent is copied to the host once and started for one report; nothing is to be installed.",
    ),
];
/// Fields in the open part beside which something may be wrong.
const SHOWN: [&str; 11] = [
    "name",
    "labels",
    "interval_seconds",
    "collection.url",
    "collection.token",
    "collection.certificate_fingerprint",
    "collection.address",
    "collection.port",
    "collection.user",
    "collection.mode",
    "collection.host_key",
];
/// Those behind "More".
const FOLDED: [&str; 8] = [
    "collection.agent_path",
    "collection.state_dir",
    "collection.endpoint",
    "collection.private_key",
    "collection.collected_by",
    "collection.jump.address",
    "collection.jump.port",
    "collection.jump.user",
];

#[derive(PartialEq, Properties)]
pub struct CollectionFormProps {
    /// The host; a new one without.
    #[prop_or_default]
    pub host: Option<Shared<Host>>,
    /// It is kept.
    #[prop_or_default]
    pub on_done: Callback<()>,
}

/// The ways to choose from, and the fields of the one that is chosen.
#[component]
pub fn CollectionForm(props: &CollectionFormProps) -> Html {
    let host = props.host.as_ref();
    let draft = use_state(|| host.map_or_else(Draft::new, |host| Draft::of(host)));
    let submit = use_submit();
    let put = |name: &'static str| {
        let draft = draft.clone();
        Callback::from(move |text: String| {
            let mut next = (*draft).clone();
            next.set(name, &text);
            draft.set(next);
        })
    };
    let on_submit = {
        let (draft, submit) = (draft.clone(), submit.clone());
        let (host, on_done) = (props.host.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let on_done = on_done.clone();
            let done = move |host: Host| {
                on_done.emit(());
                tab_of(host.host_id, false).go();
            };
            match &host {
                None => match draft.create() {
                    Err(error) => submit.refuse(error),
                    Ok(body) => submit.send(operations::create_host(&body), done),
                },
                Some(host) => match draft.update(&host.collection) {
                    Err(error) => submit.refuse(error),
                    Ok(body) => submit.send(operations::update_host(host.host_id, &body), done),
                },
            }
        })
    };
    let line = |name: &'static str, label: &'static str, kind: &'static str, help: String| {
        let autocomplete = if kind == "password" {
            "new-password"
        } else {
            "off"
        };
        html! { <TextField id={name} {label} {kind} {autocomplete} value={draft.get(name).to_owned()} on_input={put(name)} error={submit.field(name)} help={(!help.is_empty()).then_some(help)} /> }
    };
    let text = |name, label, help: &'static str| line(name, label, "text", help.to_owned());
    let kept = |name, label, help: &str| {
        let help = if host.is_some() {
            format!("{help} Kept if empty; another place needs it again.")
        } else {
            help.to_owned()
        };
        line(name, label, "password", help)
    };
    let select =
        |name: &'static str, label: &'static str, options: &[(&'static str, &'static str)]| {
            let words =
                |(value, words): &(&'static str, &'static str)| ((*value).into(), (*words).into());
            select_field(
                name.into(),
                label,
                draft.get(name),
                &options.iter().map(words).collect::<Vec<_>>(),
                put(name),
                None,
                submit.field(name),
            )
        };
    let kind = draft.get("kind");
    let mode = draft.get("collection.mode");
    // What is wrong behind the fold opens it.
    let is_open = FOLDED.iter().any(|name| submit.field(name).is_some());
    let ways = if host.is_none() { &WAYS } else { &WAYS[1..] };
    let is_pulled = host.is_some_and(|host| host.collection.kind != CollectionKind::Push);
    let action = match host {
        None => "Add host",
        Some(_) if is_pulled => "Save",
        Some(_) => "Pull this host",
    };
    let on_cancel = host.map(|host| {
        let to = tab_of(host.host_id, false);
        Callback::from(move |()| to.go())
    });
    let shown = [&SHOWN[..], &FOLDED].concat();
    let fields = || {
        html! {
                    { form(Action::new(action), submit.is_busy(), submit.whole(&shown), on_submit, on_cancel, html! {
        <>
                        if host.is_none() {
                            { text("name", "Name", "What it is called here.") }
                            <div class="field-pair">
                                { text("labels", "Labels", "Of the form role=web, env=prod.") }
                                { text("interval_seconds", "Each", "Time between two reports: 30s, 5m.") }
                            </div>
                        } else {
                            { text("interval_seconds", "Each", "Time between two reports: 30s, 5m.") }
                        }
                        if kind == "http" {
                            { text("collection.url", "URL", "Whole, with /report: https://web-1:7421/report.") }
                            { kept("collection.token", "Token", "What the agent has in its token file.") }
                            { text("collection.certificate_fingerprint", "Certificate's fingerprint", "SHA-256, if only this certificate is to be believed, whoever signed it.") }
                        } else {
                            <div class="field-pair">
                                { text("collection.address", "Address", "Name or IP address.") }
                                { text("collection.port", "Port", "") }
                            </div>
                            { text("collection.user", "User", "Best one that exists for this alone.") }
                            { choices("collection.mode", "How a report is got", mode, &MODES, &put("collection.mode")) }
                            if mode == "tunnel" { { kept("collection.token", "Token", "What the agent has in its token file.") } }
                            { text("collection.host_key", "Host key's fingerprint", "SHA256:… Without it you confirm the key that is offered.") }
                        }
                        <details class="unfold" open={is_open}>
                                <summary>{ "More" }</summary>
                                <div class="form fold-fields">
                                    if kind != "http" {
                                        if mode == "command" { { text("collection.agent_path", "Agent's command", "A path, unless the login finds it by its name.") } }
                                        if mode == "tunnel" {
                                            { text("collection.endpoint", "Agent's endpoint", "Where it listens on the host.") }
                                        } else {
                                            { text("collection.state_dir", "Agent's state directory", "Its own choice if empty.") }
                                        }
                                        { select(LOGIN, "Log in with", &[(BACKEND_KEY, "the backend's own key"), (OWN_KEY, "a key for this host")]) }
                                        if draft.get(LOGIN) == OWN_KEY {
                                            { text_area("collection.private_key", "Private key", draft.get("collection.private_key"), put("collection.private_key"),
                                                if is_pulled { "In OpenSSH's format, without a passphrase. Kept if empty." } else { "In OpenSSH's format, without a passphrase." },
                                                submit.field("collection.private_key")) }
                                        }
                                        { text("collection.jump.address", "Jump host", "A machine through which it is reached; empty for none.") }
                                        <div class="field-pair">
                                            { text("collection.jump.port", "Its port", "") }
                                            { text("collection.jump.user", "User there", "") }
                                        </div>
                                    }
                                    { select("collection.collected_by", "Who collects", &[("any", "the backend and collectors, whoever is first"), ("backend", "the backend alone"), ("collector", "collectors alone")]) }
                                </div>
                            </details>
                    </>
        }) }
                }
    };
    html! {
        <div class="card editor-form collection-form">
            { choices("kind", "How its reports come in", kind, ways, &put("kind")) }
            if kind == "push" { <div class="way-push">{ enrol() }</div> } else { { fields() } }
        </div>
    }
}
