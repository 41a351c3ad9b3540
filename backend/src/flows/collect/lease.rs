//! Collectors: hosts that are due are lent to them for a while, and what they bring is taken as if it had been fetched
//! from here.

use std::sync::Arc;

use chrono::TimeDelta;
use uuid::Uuid;

use super::board::{Asker, Lease, Ticket};
use super::{in_words, keep, settle, want};
use crate::app::App;
use crate::domain::collection::{CollectedBy, Collection, Failure, Want};
use crate::domain::credential::CollectorToken;
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::progress::Attempt;
use crate::domain::report::Report;
use crate::domain::selector::Selector;
use crate::flows::FlowError;
use crate::flows::ingest::Ingested;

/// A host that was lent.
pub struct Leased {
    /// Names the lease.
    pub lease_id: Uuid,
    /// The host.
    pub host: Arc<Host>,
    /// How it is collected.
    pub collection: Collection,
    /// What is wanted of it.
    pub want: Want,
}

/// Lends at most so many hosts that are due: of those that the token may collect, and of them those that are asked for.
pub fn lease(
    app: &App,
    token: &CollectorToken,
    selector: Option<&Selector>,
    max: usize,
) -> Vec<Leased> {
    let now = app.clock.now();
    let mut hosts = app.store.state.hosts.all();
    hosts.retain(|host| {
        token.selector.matches(host) && selector.is_none_or(|selector| selector.matches(host))
    });
    let due = app.collections.due(hosts, Asker::Collector, now);
    let leased = due.into_iter().filter_map(|host| {
        let (lease_id, collection) = (id::new(now), host.collection.clone()?);
        let lease = Lease::new(lease_id, token.token_id, collection.clone(), now);
        let is_lent = app.collections.lend(host.host_id, lease, now);
        is_lent.then(|| Leased {
            lease_id,
            want: want(&host, app, now),
            host,
            collection,
        })
    });
    leased.take(max).collect()
}

/// Takes what a collector brings of a host that it leased: its report, or why there is none. Brought again, it is what it
/// was the first time.
///
/// # Errors
/// [`FlowError::Conflict`] when the lease has run out, and what [`crate::flows::ingest::ingest`] may say; the lease holds
/// on when that was no fault of what was brought.
pub async fn hand_in(
    app: &Arc<App>,
    token: &CollectorToken,
    host_id: Uuid,
    lease_id: Uuid,
    brought: Result<Report, Failure>,
    took: TimeDelta,
) -> Result<Option<Ingested>, FlowError> {
    let now = app.clock.now();
    let host = app.store.state.hosts.get(host_id);
    // Another's host is as good as none.
    let host = host.filter(|host| token.selector.matches(host));
    let host = host.ok_or(FlowError::NotFound("host"))?;
    let Some((ticket, lease)) = Ticket::redeem(app, host_id, token.token_id, lease_id, now) else {
        let before = app.collections.redeemed(host_id, lease_id);
        return before.ok_or(FlowError::Conflict(
            "the lease has run out, or is another's",
        ));
    };
    let collection = lease.collection.clone();
    let (kept, failure) = match brought {
        Ok(report) => match keep(app, host_id, &collection, report).await {
            Ok(ingested) => (Ok(Some(ingested)), None),
            Err(error) => {
                let failure = in_words(&error);
                if failure.is_ours {
                    ticket.restore(lease);
                    return Err(error);
                }
                (Err(error), Some(failure))
            }
        },
        Err(failure) => (Ok(None), Some(judged(failure, &collection))),
    };
    let attempt = Attempt {
        started_at: now - took,
        took,
        collector: Some(token.name.clone()),
        failure,
        has_substitute: collection.collected_by == CollectedBy::Any,
    };
    let ingested = kept.as_ref().ok().and_then(Option::as_ref);
    settle(app, &host, &collection, attempt, ingested);
    ticket.close(lease_id, ingested.cloned());
    kept
}

/// Which host key is known is ours to say.
fn judged(mut failure: Failure, collection: &Collection) -> Failure {
    if let Some(shown) = &mut failure.host_key {
        let pin = collection.target.pin(shown.is_jump);
        shown.known = pin.map(str::to_owned);
    }
    failure
}
