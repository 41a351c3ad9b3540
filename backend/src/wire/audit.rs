//! The audit log in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::scalar::Nullable;

/// Who did what to which object, when, from which address.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct AuditEntry {
    /// Identifier, in the order of time.
    pub audit_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// `user`, `api_token`, `enrollment_key`, `host`, `system` or `anonymous`.
    pub actor_kind: String,
    /// The actor's id, where there is one.
    pub actor_id: Nullable<Uuid>,
    /// The actor's name at the time.
    pub actor_name: String,
    /// What was done, such as `user.create`.
    pub action: String,
    /// The object's id, where there is one.
    pub object_id: Nullable<Uuid>,
    /// The object's name at the time, or a remark.
    pub object_name: String,
    /// The address it came from.
    pub address: Nullable<String>,
}
