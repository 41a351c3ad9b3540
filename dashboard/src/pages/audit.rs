//! Who did what to which object, when, from where.

use infra_watch_client::operations;
use infra_watch_client::types::{AuditEntry, PageAuditEntry};
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::components::time::exact_time;
use crate::format;
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::route::Route;

/// Entries fetched at once: a screen or two.
const AUDIT_ITEMS: u64 = 50;

/// The newest entries, and older ones on demand.
#[component]
pub fn Audit() -> Html {
    let newest = use_polled((), None, |api, ()| {
        api.ask(operations::list_audit_entries().limit(AUDIT_ITEMS))
    });
    let older = use_state(Vec::<PageAuditEntry>::new);
    let submit = use_submit();
    let next = older.last().map_or_else(
        || newest.data().and_then(|page| page.next_cursor.clone()),
        |page| page.next_cursor.clone(),
    );
    let more = next.map(|cursor| {
        let (older, submit, busy) = (older.clone(), submit.clone(), submit.is_busy());
        let onclick = move |_| {
            let older = older.clone();
            submit.send(operations::list_audit_entries().limit(AUDIT_ITEMS).cursor(cursor.as_str()), move |page| {
                let mut pages = (*older).clone();
                pages.push(page);
                older.set(pages);
            });
        };
        html! { <button type="button" class="button" {onclick} disabled={busy}>{ if busy { "Loading" } else { "Load more" } }</button> }
    });
    html! {
        <SectionPage route={Route::Audit} about="Who did what to which object, newest first.">
            { newest.show(skeleton, |page| html! {
                <>
                    <div class="card table-card">
                        <table class="table">
                            <thead><tr><th scope="col">{ "When" }</th><th scope="col">{ "Who" }</th><th scope="col">{ "What" }</th><th scope="col">{ "Object" }</th><th scope="col">{ "From" }</th></tr></thead>
                            <tbody>{ for page.items.iter().chain(older.iter().flat_map(|page| &page.items)).map(row) }</tbody>
                        </table>
                    </div>
                    if let Some(error) = submit.whole(&[]) { <p class="form-error" role="alert">{ error }</p> }
                    <div class="more">{ for more }</div>
                </>
            }) }
        </SectionPage>
    }
}

fn row(entry: &AuditEntry) -> Html {
    html! {
        <tr key={entry.audit_id.as_u128()}>
            <td data-label="When" class="nowrap">{ exact_time(Some(entry.at), format::NOTHING) }</td>
            <td data-label="Who">{ &entry.actor_name }<span class="muted">{ format!(" {}", entry.actor_kind.replace('_', " ")) }</span></td>
            <td data-label="What"><code>{ &entry.action }</code></td>
            <td data-label="Object" title={entry.object_id.map(|id| id.to_string())}>{ &entry.object_name }</td>
            <td data-label="From">{ entry.address.as_deref().unwrap_or_default() }</td>
        </tr>
    }
}
