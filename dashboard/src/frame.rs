//! What surrounds every page: name, sections, search, theme, the user's menu.

use infra_watch_client::operations;
use infra_watch_client::types::{AlertState, Role};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{PAGE_ITEMS, Session, use_role};
use crate::app::page;
use crate::components::go::{Address, link, tab};
use crate::components::icon::{Glyph, icon};
use crate::components::menu::Menu;
use crate::components::palette::{Palette, Place};
use crate::hooks::place::use_place;
use crate::hooks::polled::use_polled;
use crate::hooks::shortcut::use_search_keys;
use crate::hooks::theme::{Theme, ThemeHandle, use_theme};
use crate::pages::password::Password;
use crate::route::Route;

/// How often the alerts that fire are counted, and up to how many.
const FIRING_SECONDS: u32 = 15;
const FIRING_COUNTED: u64 = 100;

/// A section of the dashboard.
struct Section {
    name: &'static str,
    glyph: Glyph,
    route: Route,
    least_role: Role,
}

/// The sections in the order of the bar; a later one is one more line here.
const SECTIONS: [Section; 5] = [
    Section {
        name: "Overview",
        glyph: Glyph::Overview,
        route: Route::Overview,
        least_role: Role::Viewer,
    },
    Section {
        name: "Changes",
        glyph: Glyph::Change,
        route: Route::Changes,
        least_role: Role::Operator,
    },
    Section {
        name: "Inventory",
        glyph: Glyph::Inventory,
        route: Route::Inventory,
        least_role: Role::Operator,
    },
    Section {
        name: "Alerts",
        glyph: Glyph::Bell,
        route: Route::Alerts,
        least_role: Role::Operator,
    },
    Section {
        name: "Administration",
        glyph: Glyph::Shield,
        route: Route::Users,
        least_role: Role::Admin,
    },
];

/// Pages that can be searched for.
const PAGES: [(Route, Glyph, Role); 16] = [
    (Route::Overview, Glyph::Overview, Role::Viewer),
    (Route::AddHost, Glyph::Plus, Role::Admin),
    (Route::Changes, Glyph::Change, Role::Operator),
    (Route::Inventory, Glyph::Inventory, Role::Operator),
    (Route::Compare, Glyph::Compare, Role::Operator),
    (Route::Alerts, Glyph::Bell, Role::Operator),
    (Route::AlertRules, Glyph::Bell, Role::Operator),
    (Route::Silences, Glyph::Bell, Role::Operator),
    (Route::Channels, Glyph::Bell, Role::Admin),
    (Route::Users, Glyph::Shield, Role::Admin),
    (Route::EnrollmentKeys, Glyph::Shield, Role::Admin),
    (Route::CollectorTokens, Glyph::Shield, Role::Admin),
    (Route::ApiTokens, Glyph::Shield, Role::Viewer),
    (Route::DriftRules, Glyph::Shield, Role::Admin),
    (Route::Audit, Glyph::Shield, Role::Admin),
    (Route::System, Glyph::Shield, Role::Admin),
];

impl Section {
    fn holds(&self, route: &Route) -> bool {
        match self.route {
            Route::Overview => {
                matches!(route, Route::Overview | Route::Host { .. } | Route::AddHost)
            }
            Route::Inventory => matches!(route, Route::Inventory | Route::Compare),
            Route::Alerts => matches!(
                route,
                Route::Alerts
                    | Route::Alert { .. }
                    | Route::AlertRules
                    | Route::Silences
                    | Route::Channels
            ),
            Route::Users => matches!(
                route,
                Route::Users
                    | Route::EnrollmentKeys
                    | Route::CollectorTokens
                    | Route::DriftRules
                    | Route::Audit
                    | Route::System
                    | Route::ApiTokens
            ),
            _ => *route == self.route,
        }
    }
}

#[derive(PartialEq, Properties)]
pub struct FrameProps {
    /// The session, to be left.
    pub session: Session,
    /// Who is logged in.
    pub username: AttrValue,
}

/// The bars and the page between them.
#[component]
pub fn Frame(props: &FrameProps) -> Html {
    let role = use_role();
    let (route, _) = use_place();
    let theme = use_theme();
    let searching = use_state(|| false);
    let changing_password = use_state(|| false);
    let on_search = {
        let searching = searching.setter();
        use_callback((), move |(), ()| searching.set(true))
    };
    use_search_keys(on_search);
    use_effect_with(route.clone(), |route| {
        if let Some(document) = web_sys::window().and_then(|window| window.document()) {
            document.set_title(&format!("{} · Infra-Watch", route.title()));
        }
        // Who is logged in has no use for the form.
        if *route == Route::Login {
            Address::from(Route::Overview).replace();
        }
    });
    let open = |state: &UseStateHandle<bool>, value: bool| {
        let state = state.clone();
        Callback::from(move |()| state.set(value))
    };
    let search = open(&searching, true);
    let firing = use_firing(role);
    let badge = |section: &Section| match &firing {
        Some(words) if section.route == Route::Alerts => html! {
            <span class="section-badge">{ words }<span class="visually-hidden">{ " firing" }</span></span>
        },
        _ => Html::default(),
    };
    let links = SECTIONS.iter().filter(|section| section.least_role <= role).map(|section| {
        html! {
            { tab(section.route.clone(), "section", section.holds(&route), html! { <>{ icon(section.glyph) }<span>{ section.name }</span>{ badge(section) }</> }) }
        }
    });
    let links: Vec<Html> = links.collect();
    html! {
        <>
            <a class="skip" href="#main">{ "Skip to the page" }</a>
            <header class="bar-top">
                { link(Route::Overview, "brand", html! { <>{ mark() }{ "Infra-Watch" }</> }) }
                <nav class="sections" aria-label="Sections">{ links.clone() }</nav>
                <button type="button" class="search-button" onclick={move |_| search.emit(())} aria-label="Search hosts and pages" aria-keyshortcuts="/ Control+K">
                    { icon(Glyph::Search) }<span>{ "Search" }</span><kbd>{ "/" }</kbd>
                </button>
                { theme_button(theme) }
                { user_menu(role, props, open(&changing_password, true)) }
            </header>
            <main id="main" class="page" tabindex="-1">{ page(role, &route) }</main>
            <nav class="bar-bottom" aria-label="Sections, below">{ links }</nav>
            if *searching { <Search on_close={open(&searching, false)} /> }
            if *changing_password { <Password on_close={open(&changing_password, false)} /> }
        </>
    }
}

/// How many alerts fire, if any do, for those who may know.
#[hook]
fn use_firing(role: Role) -> Option<AttrValue> {
    let firing = use_polled(
        role >= Role::Operator,
        Some(FIRING_SECONDS),
        |api, may_see| {
            if !may_see {
                return Box::pin(async { Ok((0, false)) });
            }
            let firing = operations::list_alerts().state(AlertState::Firing);
            let firing = api.ask(firing.limit(FIRING_COUNTED));
            Box::pin(async move {
                let firing = firing.await?;
                Ok((firing.items.len(), firing.next_cursor.is_some()))
            })
        },
    );
    let (count, has_more) = **firing.data()?;
    let more = if has_more { "+" } else { "" };
    (count > 0).then(|| format!("{count}{more}").into())
}

/// Our mark: a pulse in a rounded square.
pub fn mark() -> Html {
    html! {
        <svg class="mark" viewBox="0 0 32 32" width="24" height="24" aria-hidden="true" focusable="false">
            <rect width="32" height="32" rx="8" />
            <path d="M5 17h5l3-8 6 14 3-6h5" />
        </svg>
    }
}

/// Light or dark.
fn theme_button(handle: ThemeHandle) -> Html {
    let (label, glyph) = match handle.theme {
        Theme::Light => ("Switch to the dark theme", Glyph::Moon),
        Theme::Dark => ("Switch to the light theme", Glyph::Sun),
    };
    let onclick = move |_| handle.choose.emit(handle.theme.other());
    html! { <button type="button" class="button-icon" aria-label={label} title={label} data-action="theme" {onclick}>{ icon(glyph) }</button> }
}

/// Who one is, and what one may do about it.
fn user_menu(role: Role, props: &FrameProps, on_password: Callback<()>) -> Html {
    let logout = {
        let session = props.session.clone();
        move |_| {
            let session = session.clone();
            spawn_local(async move { session.logout().await });
        }
    };
    // The style makes it upper case.
    let initial = props.username.chars().next();
    html! {
        <Menu label={format!("Account of {}", props.username)} action="user-menu" face={html! { <span class="avatar" aria-hidden="true">{ for initial }</span> }}>
            <p class="menu-title"><strong>{ &props.username }</strong><span class="muted">{ role.to_string() }</span></p>
            <button type="button" class="menu-entry" onclick={move |_| on_password.emit(())}>{ "Change password" }</button>
            { link(Route::ApiTokens, "menu-entry", html! { <>{ "API tokens" }</> }) }
            <button type="button" class="menu-entry" data-action="logout" onclick={logout}>{ "Log out" }</button>
        </Menu>
    }
}

#[derive(PartialEq, Properties)]
struct SearchProps {
    on_close: Callback<()>,
}

/// The palette with this user's pages and every host.
#[component]
fn Search(props: &SearchProps) -> Html {
    let role = use_role();
    let hosts = use_polled((), None, |api, ()| {
        api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor))
    });
    let mut places: Vec<Place> = PAGES
        .iter()
        .filter(|(.., least_role)| *least_role <= role)
        .map(|(route, glyph, _)| Place {
            name: route.title().into(),
            kind: "Page".into(),
            glyph: *glyph,
            route: route.clone(),
        })
        .collect();
    places.extend(
        hosts
            .data()
            .into_iter()
            .flat_map(|hosts| hosts.iter())
            .map(|host| Place {
                name: host.name.clone().into(),
                kind: host.os.clone().into(),
                glyph: Glyph::Machine,
                route: Route::Host {
                    host_id: host.host_id,
                },
            }),
    );
    let on_go = {
        let on_close = props.on_close.clone();
        Callback::from(move |route: Route| {
            on_close.emit(());
            Address::from(route).go();
        })
    };
    html! { <Palette {places} {on_go} on_close={props.on_close.clone()} /> }
}
