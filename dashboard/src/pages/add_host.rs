//! Another host: its agent pushes, or it is pulled.

use yew::prelude::*;

use super::collection_form::CollectionForm;
use crate::components::go::link;
use crate::route::Route;

/// The page of the form.
pub fn add_host() -> Html {
    html! {
        <>
            <nav class="crumbs" aria-label="Where this is">{ link(Route::Overview, "", html! { "Overview" }) }<span aria-hidden="true">{ "/" }</span></nav>
            <header class="page-head"><h1>{ Route::AddHost.title() }</h1></header>
            <CollectionForm />
        </>
    }
}
