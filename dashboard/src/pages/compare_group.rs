//! The hosts of a group against a golden one, or against what most of them have; outliers first.

use infra_watch_client::operations;
use infra_watch_client::types::{ComparedWith, GroupMember, Host};
use uuid::Uuid;
use yew::prelude::*;

use super::compare::host_choice;
use super::configuration::skeleton;
use crate::components::change::ChangeList;
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters, labels};
use crate::components::fold::Fold;
use crate::components::icon::Glyph;
use crate::format;
use crate::hooks::paged::use_paged;
use crate::hooks::query::Query;
use crate::loaded::Shared;

/// Hosts of a page.
const MEMBERS: u64 = 50;

#[derive(PartialEq, Properties)]
pub struct GroupProps {
    /// Every host.
    pub hosts: Shared<Vec<Host>>,
    /// The address: label and golden host.
    pub query: Query,
}

/// The choice of the group, then its hosts.
#[component]
pub fn Group(props: &GroupProps) -> Html {
    let query = &props.query;
    let golden: Option<Uuid> = query.get("golden").and_then(|id| id.parse().ok());
    let key = (labels(query.get("label")), golden);
    let members = use_paged(key, None, |(labels, golden), cursor| {
        operations::compare_group()
            .label(labels)
            .golden(*golden)
            .limit(MEMBERS)
            .cursor(cursor)
    });
    let on_golden = {
        let query = query.clone();
        Callback::from(move |golden: Option<Uuid>| {
            query.push([("golden", golden.map(|id| id.to_string()))]);
        })
    };
    html! {
        <>
            <div class="filters-row">
                { filters(query, &[Filter::text("label", "Hosts with", "role=web")], html! {
                    <label class="filter-field"><span>{ "Compared with" }</span>{ host_choice(&props.hosts, golden, "what most of them have", on_golden) }</label>
                }) }
            </div>
            { members.list.show(skeleton, |pages| if pages.items.is_empty() {
                html! { <div class="card">{ empty(Glyph::Search, "No host has these labels.", Html::default()) }</div> }
            } else {
                html! { <div class="card groups">{ for pages.items.iter().map(member) }</div> }
            }) }
            { members.more() }
        </>
    }
}

fn member(member: &GroupMember) -> Html {
    let with = match member.compared_with {
        ComparedWith::Golden => "the golden host",
        ComparedWith::Majority => "most",
    };
    let (class, words) = match member.difference_count {
        None => ("badge badge-ignored", "nothing is known".to_owned()),
        Some(0) => ("badge badge-expected", format!("as {with}")),
        Some(count) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            (
                "badge badge-drift",
                format!("{} from {with}", format::count(count, "difference")),
            )
        }
    };
    let changes = Shared::new(member.items.clone());
    let rest = member
        .difference_count
        .unwrap_or_default()
        .saturating_sub(changes.len() as u64);
    let view = Callback::from(move |()| {
        html! {
            <>
                <ChangeList changes={changes.clone()} with_meaning={false} />
                if rest > 0 { <p class="muted">{ format!("and {rest} more: compare the two hosts to see them") }</p> }
            </>
        }
    });
    let title = html! { <span class="member-line" data-member={member.host_name.clone()}><strong>{ &member.host_name }</strong><span {class}>{ words }</span></span> };
    if member.items.is_empty() {
        return html! { <div key={member.host_id.as_u128()} class="group group-plain">{ title }</div> };
    }
    html! { <Fold key={member.host_id.as_u128()} {title} {view} class="group" /> }
}
