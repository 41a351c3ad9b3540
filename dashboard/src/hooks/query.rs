//! The query of the address, where filters, ranges and tabs live.

use std::collections::BTreeMap;

use yew::prelude::*;
use yew_router::prelude::*;

use crate::components::go::Address;
use crate::route::Route;

/// The query as it stands.
#[derive(Clone, PartialEq)]
pub struct Query {
    values: BTreeMap<String, String>,
    route: Route,
}

/// The query of the address, again whenever it changes.
#[hook]
pub fn use_query() -> Query {
    let location = use_location();
    Query {
        values: location.map_or_else(BTreeMap::new, |location| parse(location.query_str())),
        route: use_route().unwrap_or(Route::NotFound),
    }
}

/// Names and values as a browser writes them; what cannot be read is left out.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let pairs = text.trim_start_matches('?').split('&');
    for (name, value) in pairs.filter_map(|pair| pair.split_once('=')) {
        if let Ok(value) = js_sys::decode_uri_component(&value.replace('+', " ")) {
            values.insert(name.to_owned(), value.into());
        }
    }
    values
}

impl Query {
    /// The value of a name, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
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
            match value.filter(|value| !value.is_empty()) {
                Some(value) => values.insert(name.to_owned(), value),
                None => values.remove(name),
            };
        }
        Address::with(self.route.clone(), values)
    }
}
