//! What the pages of the administration share: their tabs, their heading, the button that makes something new.

use infra_watch_client::types::Role;
use yew::prelude::*;

use crate::api::use_role;
use crate::components::go::tab;
use crate::components::icon::{Glyph, icon};
use crate::route::Route;

/// The pages in the order of their tabs.
const TABS: [Route; 6] = [
    Route::Users,
    Route::EnrollmentKeys,
    Route::ApiTokens,
    Route::DriftRules,
    Route::Audit,
    Route::System,
];

#[derive(PartialEq, Properties)]
pub struct AdministrationProps {
    /// The page's address.
    pub route: Route,
    /// One sentence on what the page is for.
    pub about: AttrValue,
    /// What the button that makes something new says; no button without it.
    #[prop_or_default]
    pub create: Option<AttrValue>,
    /// That button was pressed.
    #[prop_or_default]
    pub on_create: Callback<()>,
    /// The list.
    pub children: Html,
}

/// Tabs, heading and button around a list.
#[component]
pub fn Administration(props: &AdministrationProps) -> Html {
    let role = use_role();
    let on_create = props.on_create.clone();
    html! {
        <>
            if role == Role::Admin {
                <nav class="tabs" aria-label="Administration">
                    { for TABS.iter().map(|route| html! {
                        { tab(route.clone(), "tab", *route == props.route, html! { route.title() }) }
                    }) }
                </nav>
            }
            <header class="page-head">
                <div>
                    <h1>{ props.route.title() }</h1>
                    <p class="muted">{ &props.about }</p>
                </div>
                if let Some(create) = &props.create {
                    <button type="button" class="button button-primary" data-action="create" onclick={move |_| on_create.emit(())}>
                        { icon(Glyph::Plus) }{ create }
                    </button>
                }
            </header>
            { props.children.clone() }
        </>
    }
}

/// The lines of a list before they are there.
pub fn skeleton() -> Html {
    html! { <div class="card table-card">{ for (0..5).map(|_| html! { <div class="skeleton-row"><span class="skeleton"></span><span class="skeleton"></span><span class="skeleton"></span></div> }) }</div> }
}
