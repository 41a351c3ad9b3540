//! An address that leads nowhere, or not for this role.

use yew::prelude::*;
use yew_router::prelude::*;

use crate::components::empty::Empty;
use crate::components::icon::Glyph;
use crate::route::Route;

/// One sentence and the way back.
#[component]
pub fn NotFound() -> Html {
    html! {
        <Empty glyph={Glyph::Search} title="There is no page at this address.">
            <Link<Route> to={Route::Overview} classes="button">{ "Go to the overview" }</Link<Route>>
        </Empty>
    }
}
