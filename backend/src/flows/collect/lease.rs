//! Collectors: hosts that are due are lent to them for a while, and what they bring is taken as if it had been fetched
//! from here.

use std::sync::Arc;

use chrono::TimeDelta;
use uuid::Uuid;

use super::board::Ticket;
use super::{due, in_words, keep, settle, want};
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
    let due = due(app, hosts, now, |collection| {
        collection.collected_by != CollectedBy::Backend
    });
    let mut leased = Vec::new();
    for due in due {
        if leased.len() >= max {
            break;
        }
        let lease_id = id::new(now);
        if app
            .collections
            .lease(due.host.host_id, token.token_id, lease_id, now)
        {
            leased.push(Leased {
                lease_id,
                want: want(&due.host, app, now),
                host: due.host,
                collection: due.collection,
            });
        }
    }
    leased
}

/// Takes what a collector brings of a host that it leased: its report, or why there is none.
///
/// # Errors
/// [`FlowError::Conflict`] when the lease has run out, and what [`super::super::ingest::ingest`] may say.
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
    let ticket = Ticket::redeem(app, host_id, token.token_id, lease_id, now);
    let _ticket = ticket.ok_or(FlowError::Conflict(
        "the lease has run out, or is another's",
    ))?;
    let Some(collection) = host.collection.clone() else {
        return Err(FlowError::Conflict("the host is no longer pulled"));
    };
    let (ingested, failure) = match brought {
        Ok(report) => match keep(app, host_id, &collection, report).await {
            Ok(ingested) => (Ok(Some(ingested)), None),
            Err(error) => {
                let failure = in_words(&error);
                (Err(error), Some(failure))
            }
        },
        Err(failure) => (Ok(None), Some(failure)),
    };
    let attempt = Attempt {
        started_at: now - took,
        took,
        collector: Some(token.name.clone()),
        failure,
    };
    let kept = ingested.as_ref().ok().and_then(Option::as_ref);
    settle(app, &host, &collection, attempt, kept);
    ingested
}
