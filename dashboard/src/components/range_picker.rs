//! Which span of time charts show: a preset, or two dates.

use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::hooks::clock::{self, zone};
use crate::range::{self, PRESETS, Range};

#[derive(PartialEq, Properties)]
pub struct RangePickerProps {
    /// What holds.
    pub range: Range,
    /// Another was chosen.
    pub on_change: Callback<Range>,
}

/// Presets as a row of buttons, two dates behind the last.
#[component]
pub fn RangePicker(props: &RangePickerProps) -> Html {
    let open = use_state(|| false);
    let free = *open || !props.range.is_live();
    let preset = |index: usize| {
        let (on_change, open) = (props.on_change.clone(), open.clone());
        let (name, _, words) = PRESETS[index];
        let onclick = move |_| {
            open.set(false);
            on_change.emit(Range::Preset(index));
        };
        let pressed = props.range == Range::Preset(index) && !free;
        html! { <button type="button" aria-pressed={pressed.to_string()} title={format!("The {words}")} {onclick}>{ name }</button> }
    };
    let show = {
        let open = open.clone();
        move |_| open.set(true)
    };
    html! {
        <div class="range">
            <div class="segments" role="group" aria-label="Span of time">
                { for (0..PRESETS.len()).map(preset) }
                <button type="button" aria-pressed={free.to_string()} title="Between two dates" onclick={show}>{ "Dates" }</button>
            </div>
            if free {
                { dates(props) }
            }
        </div>
    }
}

/// Two dates; a change of either is taken at once.
fn dates(props: &RangePickerProps) -> Html {
    let now = clock::read();
    let zone = zone(now);
    let (from, to) = props.range.bounds(now.timestamp());
    let field = |label: &'static str, seconds: i64, other: i64| {
        let on_change = props.on_change.clone();
        let onchange = move |event: Event| {
            let text = event
                .target_dyn_into::<HtmlInputElement>()
                .map(|input| input.value())
                .unwrap_or_default();
            if let Some(seconds) = range::from_field(&text, zone) {
                on_change.emit(Range::between(seconds, other));
            }
        };
        html! { <label>{ label }<input type="datetime-local" value={range::to_field(seconds, zone)} {onchange} /></label> }
    };
    html! { <div class="dates">{ field("From", from, to) }{ field("To", to, from) }</div> }
}
