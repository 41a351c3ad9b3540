//! The audit log: who did what. Written with the change it speaks of, in the same batch, and read page by page.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::OpenError;
use super::kv::{Direction, Kv, KvError, Table};
use super::record::{self, Record};
use super::state::Change;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Identifier, UUIDv7: the order of time.
    pub audit_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// What was done, such as `user.create`.
    pub action: String,
    /// To which object, where it has an id.
    pub object_id: Option<Uuid>,
    /// The object's name at the time, or a remark. Never a secret.
    pub object_name: String,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// `user`, `api_token`, `enrollment_key`, `host`, `system` or `anonymous`.
    pub kind: String,
    /// Its id, where it has one.
    pub id: Option<Uuid>,
    /// Its name at the time.
    pub name: String,
    /// The address it came from.
    pub address: Option<String>,
}

impl Actor {
    /// The backend itself.
    pub fn system() -> Self {
        Self {
            kind: "system".to_owned(),
            id: None,
            name: "infra-watch".to_owned(),
            address: None,
        }
    }
}

impl Record for AuditEntry {
    const TABLE: Table = Table::Audit;
    const VERSION: u16 = 1;

    fn id(&self) -> Uuid {
        self.audit_id
    }
}

/// Adds an entry to a change.
pub fn append(change: &mut Change<'_>, entry: &AuditEntry) {
    // A struct of strings always has a JSON form.
    if let Ok(bytes) = record::encode(entry) {
        change
            .batch()
            .put(Table::Audit, record::key(entry.audit_id), bytes.into());
    }
}

/// Entries that one transaction removes.
const ENTRIES_OF_TRANSACTION: usize = 2_000;

/// Removes entries that are older, in bounded transactions, and says how many.
///
/// # Errors
/// The engine's.
pub async fn remove_before(kv: &dyn Kv, oldest: DateTime<Utc>) -> Result<usize, KvError> {
    // An id begins with the milliseconds at which it was made.
    let milliseconds = u64::try_from(oldest.timestamp_millis()).unwrap_or_default();
    let end = milliseconds
        .to_be_bytes()
        .get(2..)
        .unwrap_or_default()
        .to_vec();
    let mut removed = 0;
    loop {
        let range = Vec::new()..end.clone();
        let some = kv
            .delete_range(Table::Audit, range, ENTRIES_OF_TRANSACTION)
            .await?;
        removed += some;
        if some < ENTRIES_OF_TRANSACTION {
            return Ok(removed);
        }
    }
}

/// At most `limit` entries before `before`, newest first.
///
/// # Errors
/// The engine's, and entries that this build cannot understand.
pub async fn page(
    kv: &dyn Kv,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<AuditEntry>, OpenError> {
    let end = before.map_or(vec![0xff; 17], record::key);
    let entries = kv
        .scan(Table::Audit, Vec::new()..end, limit, Direction::Backward)
        .await?;
    entries
        .into_iter()
        .map(|(key, value)| {
            record::decode(&value).map_err(|source| OpenError::Record {
                table: Table::Audit.name(),
                key: crate::domain::snapshot::hex(&key),
                source,
            })
        })
        .collect()
}
