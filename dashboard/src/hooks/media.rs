//! Questions to the browser about the screen.

use gloo_events::EventListener;
use yew::prelude::*;

/// Whether a media query holds, again whenever its answer changes.
#[hook]
pub fn use_media(query: &'static str) -> bool {
    let holds = use_state_eq(|| asks(query).is_some_and(|list| list.matches()));
    use_effect_with((), {
        let holds = holds.clone();
        move |()| {
            let listener = asks(query).map(|list| {
                EventListener::new(&list.clone(), "change", move |_| holds.set(list.matches()))
            });
            move || drop(listener)
        }
    });
    *holds
}

fn asks(query: &str) -> Option<web_sys::MediaQueryList> {
    web_sys::window().and_then(|window| window.match_media(query).ok().flatten())
}
