//! What the pages of a section share: their tabs, their heading, the button that makes something new.

use infra_watch_client::types::Role;
use yew::prelude::*;

use crate::api::use_role;
use crate::components::go::tab;
use crate::components::icon::{Glyph, icon};
use crate::route::Route;

/// The pages of each section in the order of their tabs, with what their tabs say and the least role.
const TABS: [&[(Route, &str, Role)]; 2] = [
    &[
        (Route::Alerts, "Log", Role::Operator),
        (Route::AlertRules, "Rules", Role::Operator),
        (Route::Silences, "Silences", Role::Operator),
        (Route::Channels, "Channels", Role::Admin),
    ],
    &[
        (Route::Users, "Users", Role::Admin),
        (Route::EnrollmentKeys, "Enrolment keys", Role::Admin),
        (Route::CollectorTokens, "Collector tokens", Role::Admin),
        (Route::ApiTokens, "API tokens", Role::Admin),
        (Route::DriftRules, "Drift rules", Role::Admin),
        (Route::Audit, "Audit log", Role::Admin),
        (Route::System, "System", Role::Admin),
    ],
];

#[derive(PartialEq, Properties)]
pub struct SectionPageProps {
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
pub fn SectionPage(props: &SectionPageProps) -> Html {
    let role = use_role();
    let on_create = props.on_create.clone();
    let is_own = |(route, ..): &(Route, &str, Role)| *route == props.route;
    let section = TABS.iter().find(|tabs| tabs.iter().any(is_own));
    let tabs = section
        .into_iter()
        .flat_map(|tabs| tabs.iter())
        .filter(|(.., least_role)| *least_role <= role)
        .map(|(route, words, _)| {
            tab(
                route.clone(),
                "tab",
                *route == props.route,
                html! { *words },
            )
        });
    let tabs: Html = tabs.collect();
    html! {
        <>
            if role >= Role::Operator { <nav class="tabs" aria-label="Pages of this section">{ tabs }</nav> }
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
