//! Who has what: hosts by name, version or value of something they have.

use infra_watch_client::operations;
use infra_watch_client::types::InventoryItem;
use yew::prelude::*;

use super::configuration::skeleton;
use crate::change::key_pattern;
use crate::components::change::{item_name, item_value};
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters, labels};
use crate::components::go::{Address, link};
use crate::components::icon::{Glyph, icon};
use crate::format;
use crate::hooks::paged::use_paged;
use crate::hooks::query::use_query;
use crate::route::Route;

/// Results of a page.
const RESULTS: u64 = 100;
/// What a search is made of, as it stands in the address; the section alone asks for nothing.
const ASKED: [&str; 5] = ["key", "below", "from", "value", "label"];

/// The search and what it found.
#[component]
pub fn Inventory() -> Html {
    let query = use_query();
    let asked = ASKED.map(|name| query.get(name).map(str::to_owned));
    let section = query.get("section").unwrap_or("packages").to_owned();
    let fields = vec![
        Filter::text("key", "Name or pattern", "openssl, lib*"),
        Filter::section(("", "packages")),
        Filter::text("below", "Version below", "3.0.14"),
        Filter::text("from", "Version from", "3.0.0"),
        Filter::text("value", "Value", "enabled"),
        Filter::text("label", "Hosts with", "role=web"),
    ];
    html! {
        <>
            <header class="page-head">
                <div><h1>{ "Inventory" }</h1><p class="muted">{ "Which hosts have what, by the ordering of each package manager." }</p></div>
                { link(Address::new(Route::Compare, []), "button", html! { <>{ icon(Glyph::Compare) }{ "Compare hosts" }</> }) }
            </header>
            <div class="filters-row">{ filters(&query, &fields, Html::default()) }</div>
            if asked.iter().any(Option::is_some) {
                <Found {section} {asked} />
            } else {
                <div class="card">{ empty(Glyph::Inventory, "What are you looking for?", html! { <p class="muted">{ "A name finds that package on every host; with a version below, only those that are older." }</p> }) }</div>
            }
        </>
    }
}

#[derive(PartialEq, Properties)]
struct FoundProps {
    section: String,
    asked: [Option<String>; 5],
}

/// The results, page by page.
#[component]
fn Found(props: &FoundProps) -> Html {
    let key = (props.section.clone(), props.asked.clone());
    let found = use_paged(key, None, |(section, asked), cursor| {
        let [key, below, from, value, label] = asked;
        operations::search_inventory()
            .section(section.as_str())
            .key(key.as_deref())
            .version_below(below.as_deref())
            .version_from(from.as_deref())
            .value(value.as_deref().and_then(key_pattern).as_deref())
            .label(&labels(label.as_deref()))
            .limit(RESULTS)
            .cursor(cursor)
    });
    html! {
        <>
            { found.list.show(skeleton, |pages| if pages.items.is_empty() {
                html! { <div class="card">{ empty(Glyph::Search, "No host has that.", Html::default()) }</div> }
            } else {
                html! { <>{ table(&pages.items) }{ foot(&pages.items, pages.has_more) }</> }
            }) }
            { found.more() }
        </>
    }
}

fn table(items: &[InventoryItem]) -> Html {
    let row = |item: &InventoryItem| {
        let route = Route::Host {
            host_id: item.host_id,
        };
        let to = Address::new(
            route,
            [
                ("tab", "configuration".to_owned()),
                ("section", item.section.clone()),
                ("q", item.key.clone()),
            ],
        );
        html! {
            <tr key={format!("{} {}", item.host_id, item.key)} data-host={item.host_name.clone()}>
                <th scope="row">{ link(to, "host-link", html! { <>{ &item.host_name }</> }) }</th>
                <td>{ item_name(&item.section, &item.key) }</td>
                <td>{ item_value(&item.version) }</td>
            </tr>
        }
    };
    html! {
        <div class="card table-card">
            <table class="table inventory">
                <caption class="visually-hidden">{ "What was found" }</caption>
                <thead><tr><th scope="col">{ "Host" }</th><th scope="col">{ "Item" }</th><th scope="col">{ "Version or value" }</th></tr></thead>
                <tbody>{ for items.iter().map(row) }</tbody>
            </table>
        </div>
    }
}

/// How many there are, as far as they are known.
fn foot(items: &[InventoryItem], has_more: bool) -> Html {
    // They come by host, so those of a host stand together.
    let mut hosts: Vec<_> = items.iter().map(|item| item.host_id).collect();
    hosts.dedup();
    let words = format!(
        "{} on {}{}",
        format::count(items.len(), "result"),
        format::count(hosts.len(), "host"),
        if has_more { ", and there are more" } else { "" }
    );
    html! { <p class="table-foot muted" role="status">{ words }</p> }
}
