//! Links and addresses: a place with what stands in its query.

use yew::prelude::*;

use crate::hooks::place;
use crate::pairs::Pairs;
use crate::route::Route;

/// A place with what stands in its query.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    route: Route,
    query: Pairs,
}

impl Address {
    /// A place with a query; what is empty is left out.
    pub fn new<'a>(route: Route, query: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut address = Self::from(route);
        for (name, value) in query {
            if !value.is_empty() {
                address.query.set(name, Some(value));
            }
        }
        address
    }

    /// A place with a whole query.
    pub fn with(route: Route, query: Pairs) -> Self {
        Self { route, query }
    }

    /// As a browser writes it.
    pub fn href(&self) -> String {
        let mut text = self.route.to_path();
        for (place, (name, value)) in self.query.iter().enumerate() {
            text.push(if place == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            text.push_str(&String::from(js_sys::encode_uri_component(value)));
        }
        text
    }

    /// Goes there.
    pub fn go(&self) {
        place::go(&self.href(), true);
    }

    /// Goes there in place of where one is, which "back" then does not find.
    pub fn replace(&self) {
        place::go(&self.href(), false);
    }
}

impl From<Route> for Address {
    fn from(route: Route) -> Self {
        Self {
            route,
            query: Pairs::new(),
        }
    }
}

/// What a press on a link to `to` does: it stays in this page, unless another tab or window is asked for.
pub fn follow(to: Address) -> Callback<MouseEvent> {
    Callback::from(move |event: MouseEvent| {
        if !(event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key()) {
            event.prevent_default();
            to.go();
        }
    })
}

/// A link.
pub fn link(to: impl Into<Address>, class: impl Into<Classes>, words: Html) -> Html {
    anchor(to.into(), class.into(), false, words)
}

/// A link among others that lead beside where one is; `is_here` where this one does.
pub fn tab(to: impl Into<Address>, class: &'static str, is_here: bool, words: Html) -> Html {
    let active = is_here.then(|| format!("{class}-active"));
    anchor(to.into(), classes!(class, active), is_here, words)
}

fn anchor(to: Address, class: Classes, is_here: bool, words: Html) -> Html {
    html! { <a {class} href={to.href()} aria-current={is_here.then_some("page")} onclick={follow(to)}>{ words }</a> }
}
