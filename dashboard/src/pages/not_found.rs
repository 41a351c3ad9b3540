//! An address that leads nowhere, or not for this role.

use yew::prelude::*;

use crate::components::empty::empty;
use crate::components::go::link;
use crate::components::icon::Glyph;
use crate::route::Route;

/// One sentence and the way back.
pub fn not_found() -> Html {
    let back = link(Route::Overview, "button", html! { "Go to the overview" });
    empty(Glyph::Search, "There is no page at this address.", back)
}
