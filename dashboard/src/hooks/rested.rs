//! What is typed, once nothing more is.

use gloo_timers::callback::Timeout;
use yew::prelude::*;

/// How long nothing changes before a value has come to rest.
const REST_MILLISECONDS: u32 = 600;

/// The value as it was when it last came to rest.
#[hook]
pub fn use_rested<T: Clone + PartialEq + 'static>(value: &T) -> T {
    let rested = use_state(|| value.clone());
    use_effect_with(value.clone(), {
        let rested = rested.clone();
        move |value| {
            let value = value.clone();
            let timeout = (*rested != value)
                .then(|| Timeout::new(REST_MILLISECONDS, move || rested.set(value)));
            move || drop(timeout)
        }
    });
    (*rested).clone()
}
