//! Who is there, and what they get to see.

use infra_watch_client::types::Role;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{Api, Session, SessionState};
use crate::frame::Frame;
use crate::hooks::clock::Clock;
use crate::hooks::place::Placed;
use crate::hooks::theme::Themed;
use crate::loaded::failure;
use crate::pages::add_host::add_host;
use crate::pages::alert::AlertPage;
use crate::pages::alert_rules::AlertRules;
use crate::pages::alerts::alerts;
use crate::pages::audit::Audit;
use crate::pages::changes::Changes;
use crate::pages::channels::Channels;
use crate::pages::compare::Compare;
use crate::pages::drift_rules::DriftRules;
use crate::pages::enrollment_keys::EnrollmentKeys;
use crate::pages::host::HostPage;
use crate::pages::inventory::Inventory;
use crate::pages::login::Login;
use crate::pages::not_found::not_found;
use crate::pages::overview::Overview;
use crate::pages::silences::Silences;
use crate::pages::system::SystemPage;
use crate::pages::tokens::{Tokens, Whose};
use crate::pages::users::Users;
use crate::route::Route;

/// Everything.
#[component]
pub fn App() -> Html {
    let state = use_state(|| SessionState::Resuming);
    let session = use_memo((), {
        let state = state.setter();
        move |()| Session::new(Callback::from(move |next| state.set(next)))
    });
    let resume = {
        let session = (*session).clone();
        move |()| {
            let session = session.clone();
            spawn_local(async move { session.resume().await });
        }
    };
    use_effect_with((), {
        let resume = resume.clone();
        move |()| resume(())
    });
    let content = match &*state {
        SessionState::Resuming => {
            html! { <div class="splash" aria-busy="true" aria-label="Loading"></div> }
        }
        SessionState::Unreachable(error) => html! {
            <main id="main" class="splash">{ failure(error, Callback::from(resume)) }</main>
        },
        SessionState::LoggedOut { ended } => {
            html! { <Login session={(*session).clone()} ended={*ended} /> }
        }
        SessionState::LoggedIn(me) => html! {
            <ContextProvider<Api> context={Api::new((*session).clone())}>
                <ContextProvider<Role> context={me.role}>
                    <Frame session={(*session).clone()} username={me.username.clone()} />
                </ContextProvider<Role>>
            </ContextProvider<Api>>
        },
    };
    html! { <Placed><Themed><Clock>{ content }</Clock></Themed></Placed> }
}

/// The page at an address, as far as a role may see it.
pub fn page(role: Role, route: &Route) -> Html {
    match *route {
        Route::Overview | Route::Login => html! { <Overview /> },
        Route::Host { host_id } => {
            html! { <HostPage key={host_id.as_u128()} {host_id} /> }
        }
        Route::AddHost if role == Role::Admin => add_host(),
        Route::Changes if role >= Role::Operator => html! { <Changes /> },
        Route::Inventory if role >= Role::Operator => html! { <Inventory /> },
        Route::Compare if role >= Role::Operator => html! { <Compare /> },
        Route::Alerts if role >= Role::Operator => alerts(),
        Route::Alert { alert_id } if role >= Role::Operator => {
            html! { <AlertPage key={alert_id.as_u128()} {alert_id} /> }
        }
        Route::AlertRules if role >= Role::Operator => html! { <AlertRules /> },
        Route::Silences if role >= Role::Operator => html! { <Silences /> },
        Route::Channels if role == Role::Admin => html! { <Channels /> },
        Route::DriftRules if role == Role::Admin => html! { <DriftRules /> },
        Route::Users if role == Role::Admin => html! { <Users /> },
        Route::EnrollmentKeys if role == Role::Admin => html! { <EnrollmentKeys /> },
        Route::CollectorTokens if role == Role::Admin => {
            html! { <Tokens key="collectors" whose={Whose::Collectors} /> }
        }
        Route::Audit if role == Role::Admin => html! { <Audit /> },
        Route::System if role == Role::Admin => html! { <SystemPage /> },
        Route::ApiTokens => html! { <Tokens key="own" whose={Whose::Own} /> },
        _ => not_found(),
    }
}
