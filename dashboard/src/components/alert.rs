//! How bad an alert is and how it stands, as colour, shape and word.

use infra_watch_client::types::{Alert, AlertState, HostStatus, Severity};
use yew::prelude::*;

use super::status::mark;
use crate::alert;

/// Shape and word in the colour of a severity: an octagon for critical, a triangle for a warning.
pub fn severity_mark(severity: Severity) -> Html {
    let name = alert::severity(severity);
    let path = match severity {
        Severity::Critical => {
            "M3.700.500h4.600l3.200 3.200v4.600l-3.200 3.200h-4.600l-3.200-3.200v-4.600z"
        }
        Severity::Warning => "M6 .800l5.700 10.400h-11.400z",
    };
    html! {
        <span class={format!("status severity-{name}")}>
            <svg class="status-shape" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false"><path d={path} fill="currentColor" /></svg>
            { name }
        </span>
    }
}

/// How an alert stands.
pub fn state_mark(state: AlertState) -> Html {
    let status = match state {
        AlertState::Firing => HostStatus::Down,
        AlertState::Pending => HostStatus::Pending,
        AlertState::Resolved => HostStatus::Up,
    };
    mark(status, alert::state(state))
}

/// Who took it on, and whether nobody is told of it.
pub fn notes(alert: &Alert) -> Html {
    html! {
        <>
            if let Some(known) = &alert.acknowledgement {
                <span class="badge badge-expected" title={known.comment.clone()}>{ format!("taken on by {}", known.by) }</span>
            }
            if alert.is_silenced { <span class="badge badge-ignored" title="A silence keeps it from being told">{ "silenced" }</span> }
        </>
    }
}
