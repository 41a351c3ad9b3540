//! A host's status as colour, shape and word.

use infra_watch_client::types::HostStatus;
use yew::prelude::*;

/// What the address and the stylesheet call a status.
pub fn name(status: HostStatus) -> &'static str {
    match status {
        HostStatus::Up => "up",
        HostStatus::Late => "late",
        HostStatus::Down => "down",
        HostStatus::Pending => "pending",
    }
}

/// Shape and word in the status's colour.
pub fn status_mark(status: HostStatus) -> Html {
    mark(status, name(status))
}

/// The shape and colour of a status beside another word: of a job, say, that ended well.
pub fn mark(status: HostStatus, word: &str) -> Html {
    html! { <span class={classes!("status", format!("status-{}", name(status)))}>{ status_shape(status) }{ word }</span> }
}

/// The shape alone: ● up, ◐ late, ■ down, ○ pending.
pub fn status_shape(status: HostStatus) -> Html {
    let shape = match status {
        HostStatus::Up => html! { <circle cx="6" cy="6" r="5" fill="currentColor" /> },
        HostStatus::Late => html! {
            <>
                <circle cx="6" cy="6" r="4.25" fill="none" stroke="currentColor" stroke-width="1.5" />
                <path d="M6 1.500a4.500 4.500 0 0 0 0 9z" fill="currentColor" />
            </>
        },
        HostStatus::Down => {
            html! { <rect x="1.5" y="1.5" width="9" height="9" rx="1" fill="currentColor" /> }
        }
        HostStatus::Pending => {
            html! { <circle cx="6" cy="6" r="4.25" fill="none" stroke="currentColor" stroke-width="1.5" /> }
        }
    };
    html! {
        <svg class={classes!("status-shape", format!("status-{}", name(status)))} viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false">
            { shape }
        </svg>
    }
}
