//! A fact: a name and what is known.

use yew::prelude::*;

/// One of a list of facts.
pub fn fact(name: &'static str, value: Html) -> Html {
    html! { <div class="fact"><dt>{ name }</dt><dd>{ value }</dd></div> }
}
