//! A list of which only the first rows exist until more are asked for: thousands at once would make the page slow.

use yew::prelude::*;

use crate::format;

/// Rows that are drawn at first, and again with each press.
const STEP_ROWS: usize = 200;

#[derive(PartialEq, Properties)]
pub struct CappedProps {
    /// How many rows there are.
    pub count: usize,
    /// Draws so many of them.
    pub view: Callback<usize, Html>,
}

/// The first rows, and the button for more.
#[component]
pub fn Capped(props: &CappedProps) -> Html {
    let allowed = use_state(|| STEP_ROWS);
    let rest = props.count.saturating_sub(*allowed);
    let next = rest.min(STEP_ROWS);
    let more = *allowed + STEP_ROWS;
    html! {
        <>
            { props.view.emit(props.count.min(*allowed)) }
            if rest > 0 {
                <div class="more"><button type="button" class="button" onclick={move |_| allowed.set(more)}>
                    { format!("Show {next} more of {}", format::number(rest as f64)) }
                </button></div>
            }
        </>
    }
}
