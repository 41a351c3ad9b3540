//! A share of a hundred as a bar with its number in it.

use infra_watch_client::number::fixed;
use yew::prelude::*;

use crate::format;

/// From here on a bar warns.
const HIGH_PERCENT: f64 = 75.0;
/// From here on a bar alarms.
const FULL_PERCENT: f64 = 90.0;

/// The bar, drawn with SVG attributes, since the page's policy allows no style attribute; `label` says what it
/// measures to those who cannot see the column.
pub fn bar(label: &str, percent: Option<f64>) -> Html {
    let Some(percent) = percent else {
        return html! { <span class="bar bar-unknown" title={format!("{label}: not measured yet")}>{ format::NOTHING }</span> };
    };
    let level = match percent {
        FULL_PERCENT.. => "bar bar-full",
        HIGH_PERCENT.. => "bar bar-high",
        _ => "bar",
    };
    html! {
        <span class={level} title={format!("{label} {}", format::percent(percent))}>
            <svg width="100%" height="100%" aria-hidden="true" focusable="false">
                <rect class="bar-fill" width={format!("{}%", fixed(percent.clamp(0.0, 100.0), 1))} height="100%" />
            </svg>
            <span class="bar-number">{ format::whole_percent(percent) }</span>
        </span>
    }
}
