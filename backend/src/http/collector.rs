//! Collectors: their tokens for admins, and hosts lent to them.

use std::sync::Arc;

use chrono::TimeDelta;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::Tags;
use super::body::{Accepted, Created, HandInBody, JsonBody, NoContent, Reply};
use super::guard::{Admin, Collector};
use super::paging;
use super::problem::ApiError;
use super::report::shape;
use crate::app::App;
use crate::flows::{collect, credential};
use crate::wire::collector::{
    CollectorToken, CreateCollectorToken, CreatedCollectorToken, Lease, LeasedCollection, Leases,
    RequestLease,
};
use crate::wire::page::{Limit, Page};
use crate::wire::report::{ReportOutcome, SnapshotOutcome};

/// Longest time that a collector says a collection took, in seconds.
const MAX_TOOK_SECONDS: f64 = 3600.0;

/// Collectors.
pub struct CollectorApi;

#[OpenApi(tag = "Tags::Agents")]
impl CollectorApi {
    /// Collector tokens, oldest first.
    ///
    /// Least role: admin.
    #[oai(
        path = "/collector-tokens",
        method = "get",
        operation_id = "list_collector_tokens"
    )]
    async fn list_collector_tokens(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<CollectorToken>>, ApiError> {
        let tokens = app.store.state.collector_tokens.all();
        paging::by_id(
            tokens,
            |token| token.token_id,
            |token| CollectorToken::from(token),
            limit.0,
            cursor.0,
        )
    }

    /// Make a token for a collector; the token is shown this once. It may collect the hosts it is bound to, and nothing
    /// else.
    ///
    /// Least role: admin.
    #[oai(
        path = "/collector-tokens",
        method = "post",
        operation_id = "create_collector_token"
    )]
    async fn create_collector_token(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: JsonBody<CreateCollectorToken>,
    ) -> Result<Created<CreatedCollectorToken>, ApiError> {
        let CreateCollectorToken {
            name,
            selector,
            expires_at,
        } = body.0;
        let selector = selector
            .into_domain()
            .map_err(|message| ApiError::invalid("selector.host_ids", message))?;
        let (kept, token) =
            credential::create_collector_token(&app, &caller.0, name.0, selector, expires_at)
                .await?;
        let CollectorToken {
            token_id,
            name,
            selector,
            expires_at,
            created_by,
            created_at,
        } = CollectorToken::from(&kept);
        Ok(Reply(CreatedCollectorToken {
            token_id,
            token,
            name,
            selector,
            expires_at,
            created_by,
            created_at,
        }))
    }

    /// Revoke a collector token.
    ///
    /// Least role: admin.
    #[oai(
        path = "/collector-tokens/:token_id",
        method = "delete",
        operation_id = "delete_collector_token"
    )]
    async fn delete_collector_token(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        token_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        credential::delete_collector_token(&app, &caller.0, token_id.0).await?;
        Ok(NoContent::Done)
    }

    /// Lease hosts that are due, for 60 s each: nobody else collects them meanwhile.
    ///
    /// The bearer is a collector token.
    #[oai(
        path = "/collector/lease",
        method = "post",
        operation_id = "lease_hosts"
    )]
    async fn lease_hosts(
        &self,
        collector: Collector,
        app: Data<&Arc<App>>,
        body: JsonBody<RequestLease>,
    ) -> Result<Reply<Leases>, ApiError> {
        let selector = body
            .0
            .selector
            .map(crate::wire::drift::Selector::into_domain)
            .transpose()
            .map_err(|message| ApiError::invalid("selector.host_ids", message))?;
        let max = usize::try_from(body.0.max.0).unwrap_or_default();
        let leased = collect::lease(&app, &collector.0, selector.as_ref(), max);
        let items = leased.into_iter().map(|leased| Lease {
            host_id: leased.host.host_id,
            lease_id: leased.lease_id,
            collection: LeasedCollection::from(&leased.collection.target),
            since: leased.want.since.into(),
            known_snapshot: leased.want.known_snapshot.into(),
        });
        Ok(Reply(Leases {
            items: items.collect(),
        }))
    }

    /// Hand in what a leased host reported, or why it did not. Ends the lease.
    ///
    /// The bearer is a collector token. Answers only when everything it counts is on disk.
    #[oai(
        path = "/collector/reports/:host_id",
        method = "post",
        operation_id = "hand_in_report"
    )]
    async fn hand_in_report(
        &self,
        collector: Collector,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        body: HandInBody,
    ) -> Result<Accepted<ReportOutcome>, ApiError> {
        let HandInBody {
            lease_id,
            brought,
            duration_seconds,
        } = body;
        let seconds = duration_seconds.clamp(0.0, MAX_TOOK_SECONDS);
        let took = TimeDelta::milliseconds((seconds * 1000.0) as i64);
        let kept = collect::hand_in(&app, &collector.0, host_id.0, lease_id, brought, took).await?;
        Ok(Reply(kept.as_ref().map_or(
            ReportOutcome {
                accepted: 0,
                duplicates: 0,
                rejected: Vec::new(),
                snapshot: SnapshotOutcome::None,
            },
            shape,
        )))
    }
}
