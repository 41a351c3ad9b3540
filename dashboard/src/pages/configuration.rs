//! A host's configuration, now or at any time: by section, searched as one types.

use infra_watch_client::operations;
use infra_watch_client::types::SectionFreshness;
use uuid::Uuid;
use yew::prelude::*;

use super::snapshots::Snapshots;
use crate::change::value;
use crate::components::capped::Capped;
use crate::components::change::item_name;
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters};
use crate::components::fold::Fold;
use crate::components::go::{Address, link};
use crate::components::icon::{Glyph, icon};
use crate::components::secret::Copy;
use crate::components::time::time;
use crate::configuration::{Item, Side, Which, items, search};
use crate::format;
use crate::hooks::polled::use_polled;
use crate::hooks::query::{Query, use_query};
use crate::loaded::Shared;
use crate::route::Route;

/// How often the configuration that is in force is asked for.
const SNAPSHOT_SECONDS: u32 = 60;

/// A configuration, its items in order.
struct Looked {
    taken_at: chrono::DateTime<chrono::Utc>,
    freshness: Vec<SectionFreshness>,
    items: Shared<Vec<Item>>,
}

/// Says how a host comes to have a configuration here.
pub fn nothing_yet() -> Html {
    let next = html! {
        <>
            <p class="muted">{ "Agents send one soon after they start, and then once an hour. An agent of an older version sends none: update it, and look at what it would send:" }</p>
            <Copy label="On the host" value="infra-watch-agent report --pretty" />
        </>
    };
    empty(
        Glyph::Inventory,
        "No configuration has arrived from this host yet.",
        next,
    )
}

#[derive(PartialEq, Properties)]
pub struct ConfigurationTabProps {
    /// The host.
    pub host_id: Uuid,
}

/// Which one above, then its items.
#[component]
pub fn ConfigurationTab(props: &ConfigurationTabProps) -> Html {
    let host_id = props.host_id;
    let query = use_query();
    let which = Which::parse(query.get("snapshot").unwrap_or_default());
    let every = (which == Which::Latest).then_some(SNAPSHOT_SECONDS);
    let snapshot = use_polled((host_id, which.clone()), every, |api, (host_id, which)| {
        let asked = match &which {
            Which::At(seconds) => {
                operations::get_snapshot(host_id, "latest").at(seconds.to_string().as_str())
            }
            _ => operations::get_snapshot(host_id, &which.text()),
        };
        let answer = api.ask(asked);
        Box::pin(async move {
            let mut snapshot = answer.await?;
            Ok(Looked {
                taken_at: snapshot.taken_at,
                freshness: std::mem::take(&mut snapshot.freshness),
                items: Shared::new(items(snapshot)),
            })
        })
    });
    let on_change = {
        let query = query.clone();
        Callback::from(move |which: Which| {
            let text = (which != Which::Latest).then(|| which.text());
            query.push([("snapshot", text)]);
        })
    };
    let side = |which: Which| Side { host_id, which }.text();
    let compare = |right: Which, words: &'static str| {
        let to = Address::new(
            Route::Compare,
            [("left", side(right)), ("right", side(which.clone()))],
        );
        html! { { link(to, "button", html! { <>{ icon(Glyph::Compare) }{ words }</> }) } }
    };
    html! {
        <section aria-label="Configuration">
            <div class="filters-row">
                { filters(&query, &[Filter::text("q", "Search", "Key or value")], html! { <Snapshots {host_id} which={which.clone()} {on_change} /> }) }
                <div class="row-actions">
                    if which != Which::Latest { { compare(Which::Latest, "Compare with now") } }
                    if which != Which::Baseline { { compare(Which::Baseline, "Compare with the baseline") } }
                </div>
            </div>
            { snapshot.show(skeleton, |looked| content(looked, &query)) }
        </section>
    }
}

fn content(looked: &Looked, query: &Query) -> Html {
    let section = query.get("section");
    let words = query.get("q").unwrap_or_default();
    let places = search(&looked.items, section, words);
    let count = |section: &str| {
        let of_section = |item: &&Item| item.section == section;
        looked.items.iter().filter(of_section).count()
    };
    let tile = |name: Option<&str>, words: &str, count: usize, about: Html| {
        let is_chosen = section == name;
        let (query, name) = (query.clone(), name.map(str::to_owned));
        let onclick = move |_: MouseEvent| query.replace([("section", name.clone())]);
        html! {
            <button type="button" class="section-tile" data-section={words.to_owned()} aria-pressed={is_chosen.to_string()} {onclick}>
                <span class="section-name"><strong>{ words }</strong><span class="tile-count">{ format::number(count as f64) }</span></span>
                { about }
            </button>
        }
    };
    html! {
        <>
            <div class="section-tiles" role="group" aria-label="Sections">
                { tile(None, "everything", looked.items.len(), html! { <span class="muted">{ "taken " }{ time(Some(looked.taken_at)) }</span> }) }
                { for looked.freshness.iter().map(|fresh| tile(Some(&fresh.section), &fresh.section, count(&fresh.section), freshness(fresh))) }
            </div>
            { table(&looked.items, places) }
        </>
    }
}

/// How fresh a section is, and why it is not.
fn freshness(fresh: &SectionFreshness) -> Html {
    let error = fresh.error.as_deref().unwrap_or("it could not be read");
    match (fresh.is_stale, fresh.as_of) {
        (false, as_of) => html! { <span class="muted">{ time(as_of) }</span> },
        (true, Some(as_of)) => html! {
            <span class="section-stale">{ icon(Glyph::Warning) }<span>{ "stale since " }{ time(Some(as_of)) }{ format!(": {error}") }</span></span>
        },
        (true, None) => {
            html! { <span class="section-stale">{ icon(Glyph::Warning) }<span>{ format!("never read: {error}") }</span></span> }
        }
    }
}

/// The items as a table, as many as are looked at.
fn table(items: &Shared<Vec<Item>>, places: Vec<usize>) -> Html {
    let count = places.len();
    if count == 0 {
        return empty(
            Glyph::Search,
            "Nothing here has that in its key or value.",
            Html::default(),
        );
    }
    let items = items.clone();
    let view = Callback::from(move |shown| {
        html! {
            <div class="card table-card">
                <table class="table items">
                    <caption class="visually-hidden">{ "Items of the configuration" }</caption>
                    <thead><tr><th scope="col" class="cell-section">{ "Section" }</th><th scope="col">{ "Item" }</th><th scope="col">{ "Value" }</th></tr></thead>
                    <tbody>{ for places[..shown].iter().map(|place| row(&items[*place])) }</tbody>
                </table>
            </div>
        }
    });
    html! {
        <>
            <Capped {count} {view} />
            <p class="table-foot muted" role="status">{ format::count(count, "item") }</p>
        </>
    }
}

fn row(item: &Item) -> Html {
    html! {
        <tr key={format!("{} {}", item.section, item.key)} data-key={item.key.clone()}>
            <td class="cell-section muted" data-label="Section">{ &item.section }</td>
            <th scope="row">{ item_name(&item.section, &item.key) }</th>
            <td class="cell-value">{ whole_value(&item.value) }</td>
        </tr>
    }
}

/// A value; the text of a file is behind its first line.
pub fn whole_value(text: &str) -> Html {
    if !text.contains('\n') {
        return html! { <code title={text.to_owned()}>{ value(text) }</code> };
    }
    let whole = AttrValue::from(text.to_owned());
    let view = Callback::from(move |()| html! { <pre class="text" tabindex="0">{ &whole }</pre> });
    html! { <Fold title={html! { <code>{ value(text) }</code> }} {view} /> }
}

/// The layout with nothing in it yet.
pub fn skeleton() -> Html {
    html! { <div class="card table-card">{ for (0..6).map(|_| html! { <div class="skeleton-row"><span class="skeleton"></span><span class="skeleton"></span><span class="skeleton"></span></div> }) }</div> }
}
