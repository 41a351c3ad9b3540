//! An address that leads nowhere, or not for this role.

use yew::prelude::*;

use crate::components::empty::Empty;
use crate::components::go::link;
use crate::components::icon::Glyph;
use crate::route::Route;

/// One sentence and the way back.
#[component]
pub fn NotFound() -> Html {
    html! {
        <Empty glyph={Glyph::Search} title="There is no page at this address.">
            { link(Route::Overview, "button", html! { <>{ "Go to the overview" }</> }) }
        </Empty>
    }
}
