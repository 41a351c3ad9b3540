//! The query of the address, where filters, ranges and tabs live.

use yew::prelude::*;

use super::place::use_place;
use crate::components::go::Address;
use crate::pairs::Pairs;
use crate::route::Route;

/// The query as it stands.
#[derive(Clone, PartialEq)]
pub struct Query {
    values: Pairs,
    route: Route,
}

/// The query of the address, again whenever it changes.
#[hook]
pub fn use_query() -> Query {
    let (route, query) = use_place();
    Query {
        values: parse(&query),
        route,
    }
}

/// Names and values as a browser writes them; what cannot be read is left out.
fn parse(text: &str) -> Pairs {
    let mut values = Pairs::new();
    let pairs = text.split('&');
    for (name, value) in pairs.filter_map(|pair| pair.split_once('=')) {
        if let Ok(value) = js_sys::decode_uri_component(&value.replace('+', " ")) {
            values.set(name, Some(value.into()));
        }
    }
    values
}

impl Query {
    /// The value of a name, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).filter(|value| !value.is_empty())
    }

    /// Changes names in place, so that "back" leaves the page; `None` takes a name out.
    pub fn replace<'a>(&self, changes: impl IntoIterator<Item = (&'a str, Option<String>)>) {
        self.changed(changes).replace();
    }

    /// Changes names as a step that "back" undoes.
    pub fn push<'a>(&self, changes: impl IntoIterator<Item = (&'a str, Option<String>)>) {
        self.changed(changes).go();
    }

    fn changed<'a>(&self, changes: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Address {
        let mut values = self.values.clone();
        for (name, value) in changes {
            values.set(name, value.filter(|value| !value.is_empty()));
        }
        Address::with(self.route.clone(), values)
    }
}
