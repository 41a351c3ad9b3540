//! The query of the address, where filters, ranges and tabs live.

use std::collections::BTreeMap;

use yew::prelude::*;
use yew_router::prelude::*;

use crate::route::Route;

/// The query as it stands.
#[derive(Clone, PartialEq)]
pub struct Query {
    values: BTreeMap<String, String>,
    route: Option<Route>,
    navigator: Option<Navigator>,
}

/// The query of the address, again whenever it changes.
#[hook]
pub fn use_query() -> Query {
    let values = use_location()
        .and_then(|location| location.query::<BTreeMap<String, String>>().ok())
        .unwrap_or_default();
    Query {
        values,
        route: use_route(),
        navigator: use_navigator(),
    }
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
        let (Some(route), Some(navigator)) = (&self.route, &self.navigator) else {
            return;
        };
        // Text pairs can always be written into an address.
        let _ = navigator.replace_with_query(route, self.changed(changes));
    }

    /// Changes names as a step that "back" undoes.
    pub fn push<'a>(&self, changes: impl IntoIterator<Item = (&'a str, Option<String>)>) {
        let (Some(route), Some(navigator)) = (&self.route, &self.navigator) else {
            return;
        };
        let _ = navigator.push_with_query(route, self.changed(changes));
    }

    fn changed<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) -> BTreeMap<String, String> {
        let mut values = self.values.clone();
        for (name, value) in changes {
            match value.filter(|value| !value.is_empty()) {
                Some(value) => values.insert(name.to_owned(), value),
                None => values.remove(name),
            };
        }
        values
    }
}
