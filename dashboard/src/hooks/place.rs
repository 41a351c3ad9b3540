//! Where one is: the address of the page, passed to whoever looks at it.

use gloo_events::EventListener;
use wasm_bindgen::JsValue;
use web_sys::{Event, History};
use yew::prelude::*;

use crate::route::Route;

/// What browsers say when one goes back or forth; we say it too when a page goes elsewhere.
const MOVED: &str = "popstate";

/// Path and query, as they stand in the address.
#[derive(Clone, PartialEq)]
struct Place {
    path: String,
    query: String,
}

#[derive(PartialEq, Properties)]
pub struct PlacedProps {
    /// Everything that may ask where one is.
    pub children: Html,
}

/// Hands the place to everything in it.
#[component]
pub fn Placed(props: &PlacedProps) -> Html {
    let place = use_state_eq(read);
    use_effect_with((), {
        let place = place.setter();
        move |()| {
            let listener = web_sys::window()
                .map(|window| EventListener::new(&window, MOVED, move |_| place.set(read())));
            move || drop(listener)
        }
    });
    html! { <ContextProvider<Place> context={(*place).clone()}>{ props.children.clone() }</ContextProvider<Place>> }
}

/// The route of the address, and its query without the mark before it; again whenever either changes.
#[hook]
pub fn use_place() -> (Route, String) {
    let place = use_context().unwrap_or_else(read);
    (Route::at(&place.path), place.query)
}

fn read() -> Place {
    let location = web_sys::window().map(|window| window.location());
    let part = |read: fn(&web_sys::Location) -> Result<String, JsValue>| {
        let part = location.as_ref().and_then(|location| read(location).ok());
        part.unwrap_or_default()
    };
    Place {
        path: part(web_sys::Location::pathname),
        query: part(web_sys::Location::search)
            .trim_start_matches('?')
            .to_owned(),
    }
}

/// Goes to an address, as a step that "back" undoes or in place of where one is.
pub fn go(href: &str, is_step: bool) {
    let Some(window) = web_sys::window() else {
        return;
    };
    let put = if is_step {
        History::push_state_with_url
    } else {
        History::replace_state_with_url
    };
    let moved = window
        .history()
        .and_then(|history| put(&history, &JsValue::NULL, "", Some(href)))
        .and_then(|()| window.dispatch_event(&Event::new(MOVED)?));
    // A browser that keeps no history loads the page instead.
    if moved.is_err() {
        drop(window.location().set_href(href));
    }
}
