//! A moment in words, the exact time with its zone on hover.

use chrono::{DateTime, Utc};
use yew::prelude::*;

use crate::format;
use crate::hooks::clock::{use_now, zone};

#[derive(PartialEq, Properties)]
pub struct TimeProps {
    /// The moment, if there is one.
    pub at: Option<DateTime<Utc>>,
    /// What stands there without one.
    #[prop_or(format::NOTHING.into())]
    pub otherwise: AttrValue,
    /// Whether the exact time stands beside the words instead of behind them.
    #[prop_or_default]
    pub exact: bool,
}

/// `3 min ago`, or `in 3 d`.
#[component]
pub fn Time(props: &TimeProps) -> Html {
    let now = use_now();
    let Some(at) = props.at else {
        return html! { <span class="muted">{ &props.otherwise }</span> };
    };
    let words = format::ahead_or_ago(at, now);
    let exact = format::moment(at, zone(at));
    html! {
        <time datetime={at.to_rfc3339()} title={exact.clone()}>
            if props.exact {
                { &exact[..19] }<span class="muted">{ format!(" · {words}") }</span>
            } else {
                { words }
            }
        </time>
    }
}
