//! The present, passed to whoever says "3 min ago".

use chrono::{DateTime, FixedOffset, Local, TimeZone as _, Utc};
use gloo_timers::callback::Interval;
use yew::prelude::*;

/// How often words such as "3 min ago" are looked at again.
const TICK_MILLISECONDS: u32 = 5000;

/// The present as the page last saw it.
#[derive(Clone, Copy, PartialEq)]
struct Now(DateTime<Utc>);

#[derive(PartialEq, Properties)]
pub struct ClockProps {
    /// Everything that may ask for the time.
    pub children: Html,
}

/// Hands the present to everything in it.
#[component]
pub fn Clock(props: &ClockProps) -> Html {
    let now = use_state(|| Now(read()));
    use_effect_with((), {
        let now = now.clone();
        move |()| {
            let interval = Interval::new(TICK_MILLISECONDS, move || now.set(Now(read())));
            move || drop(interval)
        }
    });
    html! { <ContextProvider<Now> context={*now}>{ props.children.clone() }</ContextProvider<Now>> }
}

/// The present, again every few seconds.
#[hook]
pub fn use_now() -> DateTime<Utc> {
    use_context::<Now>().map_or_else(read, |now| now.0)
}

/// The present at this moment.
pub fn read() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(js_sys::Date::now() as i64).unwrap_or_default()
}

/// The viewer's zone at a moment: it differs between summer and winter.
pub fn zone(at: DateTime<Utc>) -> FixedOffset {
    chrono::Offset::fix(&Local.offset_from_utc_datetime(&at.naive_utc()))
}
