//! The dashboard of Infra-Watch.
//!
//! - `app` who is there, `route` every address, `frame` what surrounds a page
//! - `api` the generated client with its session, `loaded` loading, fresh, stale or failed
//! - `pages` sentences made of `components`, which take props and never fetch; `hooks` what they remember and listen to
//! - `format`, `range`, `fleet`, `panel`, `change`, `configuration`, `markers`, `alert`, `collection`, `whom`, `order`, `pairs` pure decisions, tested natively; `chart` the binding to uPlot

mod alert;
mod api;
mod app;
mod change;
mod chart;
mod collection;
mod components;
mod configuration;
mod date;
mod fleet;
mod format;
mod frame;
mod hooks;
mod loaded;
mod markers;
mod order;
mod pages;
mod pairs;
mod panel;
mod range;
mod route;
mod whom;

fn main() {
    yew::Renderer::<app::App>::new().render();
}
