//! A moment in words, the exact time with its zone on hover.

use chrono::{DateTime, Utc};
use yew::prelude::*;

use crate::format;
use crate::hooks::clock::{use_now, zone};

#[derive(PartialEq, Properties)]
struct TimeProps {
    /// The moment, if there is one.
    at: Option<DateTime<Utc>>,
    /// What stands there without one.
    otherwise: &'static str,
    /// Whether the exact time stands beside the words instead of behind them.
    exact: bool,
}

/// `3 min ago`, or `in 3 d`.
#[component]
fn Time(props: &TimeProps) -> Html {
    let now = use_now();
    let Some(at) = props.at else {
        return html! { <span class="muted">{ props.otherwise }</span> };
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

/// `3 min ago`, or `in 3 d`, or what stands for nothing.
pub fn time(at: Option<DateTime<Utc>>) -> Html {
    time_or(at, format::NOTHING)
}

/// The same with other words for nothing.
pub fn time_or(at: Option<DateTime<Utc>>, otherwise: &'static str) -> Html {
    html! { <Time {at} {otherwise} exact={false} /> }
}

/// The same with the exact time beside it.
pub fn exact_time(at: Option<DateTime<Utc>>, otherwise: &'static str) -> Html {
    html! { <Time {at} {otherwise} exact={true} /> }
}
