//! Machines that report with the identity of a host: what they say they are, and what administrators may decide.

use infra_watch_client::operations;
use infra_watch_client::types::{Host, Role, SetAsideMachine};
use yew::prelude::*;

use crate::api::{Api, use_role};
use crate::components::ask::Ask;
use crate::components::icon::{Glyph, icon};
use crate::components::time::time;
use crate::format;
use crate::loaded::Shared;

/// What is to be decided: about which machine, and whether it is to be let in.
type Decision = (usize, bool);

#[derive(PartialEq, Properties)]
pub struct SetAsideProps {
    /// The host.
    pub host: Shared<Host>,
    /// Something was decided.
    pub on_done: Callback<()>,
}

/// The machines, one a line.
#[component]
pub fn SetAside(props: &SetAsideProps) -> Html {
    let host = &props.host;
    let role = use_role();
    let decision = use_state(|| None::<Decision>);
    let close = {
        let decision = decision.clone();
        Callback::from(move |()| decision.set(None))
    };
    let machine = |place: usize, machine: &SetAsideMachine| {
        let button = |accept: bool, words: &'static str| {
            let decision = decision.clone();
            html! { <button type="button" class="button" data-action={if accept { "accept" } else { "forget" }} onclick={move |_| decision.set(Some((place, accept)))}>{ words }</button> }
        };
        html! {
            <li key={machine.set_aside_id.as_u128()} class="set-aside">
                <dl>
                    <div><dt>{ "Hostname" }</dt><dd>{ said(&machine.hostname) }</dd></div>
                    <div><dt>{ "Addresses" }</dt><dd>{ said(&machine.addresses.join(", ")) }</dd></div>
                    <div><dt>{ "Machine id" }</dt><dd><code>{ said(&machine.machine_id) }</code></dd></div>
                    <div><dt>{ "Boot id" }</dt><dd><code>{ said(&machine.boot_id) }</code></dd></div>
                    <div><dt>{ "First seen" }</dt><dd>{ time(Some(machine.first_seen_at)) }</dd></div>
                    <div><dt>{ "Last seen" }</dt><dd>{ time(Some(machine.last_seen_at)) }</dd></div>
                </dl>
                if role == Role::Admin {
                    <div class="set-aside-acts">{ button(true, "Let it be this host") }{ button(false, "Forget it") }</div>
                }
            </li>
        }
    };
    let title = match host.set_aside.len() {
        1 => "Another machine reports as this host, and is not let in.".to_owned(),
        count => format!("{count} other machines report as this host, and are not let in."),
    };
    html! {
        <section class="notice notice-block" aria-label="Machines set aside">
            <p class="notice-title">{ icon(Glyph::Warning) }<strong>{ title }</strong></p>
            <p>{ "That happens when a machine is copied together with its agent's state. Give the copy a state directory of its own, or say which of them is the host." }</p>
            <ul>{ for host.set_aside.iter().enumerate().map(|(place, found)| machine(place, found)) }</ul>
            if let Some((place, accept)) = *decision {
                if place < host.set_aside.len() {
                    { decide(host, place, accept, close, props.on_done.clone()) }
                }
            }
        </section>
    }
}

fn said(text: &str) -> &str {
    if text.is_empty() {
        format::NOTHING
    } else {
        text
    }
}

/// Says what will happen, and does it.
fn decide(
    host: &Host,
    place: usize,
    accept: bool,
    on_close: Callback<()>,
    on_done: Callback<()>,
) -> Html {
    let machine = &host.set_aside[place];
    let name = if machine.hostname.is_empty() {
        "this machine".to_owned()
    } else {
        format!("“{}”", machine.hostname)
    };
    let (title, action, warning) = if accept {
        (
            format!("Let {name} be the host {}?", host.name),
            "Let it be this host",
            "From now on its reports are kept as those of this host, and the machine that was this host until now is set aside in its place. What was measured stays.",
        )
    } else {
        (
            format!("Forget {name}?"),
            "Forget it",
            "It is taken off this list, and still not let in: if it reports again with the same identity, it is back here.",
        )
    };
    let (host_id, id) = (host.host_id, machine.set_aside_id);
    let act = Callback::from(move |api: Api| {
        if accept {
            api.ask(operations::accept_set_aside_machine(host_id, id))
        } else {
            api.ask(operations::forget_set_aside_machine(host_id, id))
        }
    });
    html! { <Ask {title} {action} {warning} {act} {on_close} {on_done} /> }
}
