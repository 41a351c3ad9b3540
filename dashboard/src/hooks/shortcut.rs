//! Keys that work anywhere on the page.

use gloo_events::{EventListener, EventListenerOptions};
use wasm_bindgen::JsCast as _;
use web_sys::{HtmlElement, KeyboardEvent};
use yew::prelude::*;

/// Calls back for `/` outside of fields, and for Ctrl-K or ⌘K anywhere.
#[hook]
pub fn use_search_keys(on_search: Callback<()>) {
    use_effect_with(on_search, |on_search| {
        let on_search = on_search.clone();
        let listener = web_sys::window().map(|window| {
            EventListener::new_with_options(
                &window,
                "keydown",
                EventListenerOptions::enable_prevent_default(),
                move |event| {
                    let Some(event) = event.dyn_ref::<KeyboardEvent>() else {
                        return;
                    };
                    let by_slash = event.key() == "/"
                        && !in_field(event)
                        && !event.ctrl_key()
                        && !event.meta_key();
                    let by_k = event.key().eq_ignore_ascii_case("k")
                        && (event.ctrl_key() || event.meta_key());
                    if by_slash || by_k {
                        event.prevent_default();
                        on_search.emit(());
                    }
                },
            )
        });
        move || drop(listener)
    });
}

/// Whether the key goes into a field.
fn in_field(event: &KeyboardEvent) -> bool {
    let element = event
        .target()
        .and_then(|target| target.dyn_into::<HtmlElement>().ok());
    element.is_some_and(|element| {
        matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
            || element.is_content_editable()
    })
}
