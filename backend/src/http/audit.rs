//! The audit log, for admins.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Tags;
use super::body::Reply;
use super::guard::Admin;
use super::paging::{page_limit, parsed};
use super::problem::ApiError;
use crate::app::App;
use crate::flows::FlowError;
use crate::store::audit;
use crate::wire::audit::AuditEntry;
use crate::wire::page::{Limit, Page};

/// The audit log.
pub struct AuditApi;

#[OpenApi(tag = "Tags::Administration")]
impl AuditApi {
    /// Who did what, newest first.
    ///
    /// Least role: admin.
    #[oai(path = "/audit", method = "get", operation_id = "list_audit_entries")]
    async fn list_audit_entries(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<AuditEntry>>, ApiError> {
        let before = parsed(cursor.0)?;
        let limit = page_limit(limit.0);
        let entries = audit::page(app.store.kv.as_ref(), before, limit + 1)
            .await
            .map_err(FlowError::from)?;
        Ok(Reply(Page::cut(
            entries,
            limit,
            |entry| entry.audit_id.to_string(),
            |entry| AuditEntry {
                audit_id: entry.audit_id,
                at: entry.at,
                actor_kind: entry.actor.kind,
                actor_id: entry.actor.id.into(),
                actor_name: entry.actor.name,
                action: entry.action,
                object_id: entry.object_id.into(),
                object_name: entry.object_name,
                address: entry.actor.address.into(),
            },
        )))
    }
}
