//! A list of which only the first rows exist until more are asked for: thousands at once would make the page slow.

use yew::prelude::*;

use crate::format;

/// Rows that are drawn at first, and again with each press.
const STEP_ROWS: usize = 200;

/// How many of `count` rows are drawn, and the button for more.
#[hook]
pub fn use_capped(count: usize) -> (usize, Html) {
    let allowed = use_state(|| STEP_ROWS);
    let rest = count.saturating_sub(*allowed);
    let button = if rest == 0 {
        Html::default()
    } else {
        let words = format!("Show {} of {} more", rest.min(STEP_ROWS), rest);
        let words = if rest <= STEP_ROWS {
            format!("Show {} more", format::number(rest as f64))
        } else {
            words
        };
        let onclick = {
            let allowed = allowed.clone();
            move |_: MouseEvent| allowed.set(*allowed + STEP_ROWS)
        };
        html! { <div class="more"><button type="button" class="button" {onclick}>{ words }</button></div> }
    };
    (count.min(*allowed), button)
}
