//! Links to addresses with a query.

use std::collections::BTreeMap;

use yew::prelude::*;
use yew_router::prelude::*;

use crate::route::Route;

/// A place with what stands in its query.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// The place.
    pub route: Route,
    /// The query.
    pub query: BTreeMap<String, String>,
}

impl Address {
    /// A place with a query; what is empty is left out.
    pub fn new<'a>(route: Route, query: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut values = BTreeMap::new();
        for (name, value) in query {
            if !value.is_empty() {
                values.insert(name.to_owned(), value);
            }
        }
        Self {
            route,
            query: values,
        }
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
    pub fn go(&self, navigator: &Navigator) {
        // Text pairs can always be written into an address.
        let _ = navigator.push_with_query(&self.route, &self.query);
    }
}

/// What a press on a link to `address` does: it stays in this page, unless another tab or window is asked for.
pub fn follow(address: Address, navigator: Option<Navigator>) -> Callback<MouseEvent> {
    Callback::from(move |event: MouseEvent| {
        let is_special = event.ctrl_key() || event.meta_key() || event.shift_key();
        if let Some(navigator) = navigator.as_ref().filter(|_| !is_special) {
            event.prevent_default();
            address.go(navigator);
        }
    })
}

#[derive(PartialEq, Properties)]
pub struct GoProps {
    /// Where to.
    pub to: Address,
    /// Classes.
    #[prop_or_default]
    pub class: Classes,
    /// Whether one is there.
    #[prop_or_default]
    pub current: bool,
    /// What it is called, where its words say too little.
    #[prop_or_default]
    pub label: Option<AttrValue>,
    /// The words.
    pub children: Html,
}

/// A link.
#[component]
pub fn Go(props: &GoProps) -> Html {
    let onclick = follow(props.to.clone(), use_navigator());
    html! {
        <a class={props.class.clone()} href={props.to.href()} aria-current={props.current.then_some("page")} aria-label={props.label.clone()} {onclick}>
            { props.children.clone() }
        </a>
    }
}
