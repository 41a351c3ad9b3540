//! The log of alerts: those that are over, which of them are a host's, and who was told of each.

use std::ops::ControlFlow;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::OpenError;
use super::kv::{Batch, Class, Direction, Key, Kv, KvError, Table, prefix_range};
use super::record::{self, Record};
use super::state::Change;
use crate::domain::alert::Alert;
use crate::domain::id;
use crate::domain::notification::Notified;
use crate::domain::snapshot::hex;

/// Entries that are read at a time.
const PAGE_ENTRIES: usize = 500;
/// Alerts that one transaction removes.
const ALERTS_OF_TRANSACTION: usize = 500;

impl Record for Notified {
    const TABLE: Table = Table::Notified;
    const VERSION: u16 = 1;

    fn id(&self) -> Uuid {
        self.notice_id
    }
}

fn host_key(number: u32, alert_id: Uuid) -> Key {
    [&number.to_be_bytes()[..], alert_id.as_bytes()].concat()
}

fn notified_key(alert_id: Uuid, notice_id: Uuid) -> Key {
    [*alert_id.as_bytes(), *notice_id.as_bytes()].concat()
}

/// Moves an alert that is over from those that fire into the log.
///
/// # Errors
/// When it has no JSON form.
pub fn end(change: &mut Change<'_>, alert: &Alert) -> Result<(), KvError> {
    let bytes = encode(alert)?;
    change.delete::<Alert>(alert.alert_id);
    let batch = change.batch();
    batch.put(Table::AlertLog, record::key(alert.alert_id), bytes);
    let key = host_key(alert.host_number, alert.alert_id);
    batch.put(Table::HostAlerts, key, Bytes::new());
    Ok(())
}

/// Writes down what became of a notice.
///
/// # Errors
/// When it has no JSON form.
pub fn note(change: &mut Change<'_>, notified: &Notified) -> Result<(), KvError> {
    let key = notified_key(notified.alert_id, notified.notice_id);
    let bytes = encode(notified)?;
    change.batch().put(Table::Notified, key, bytes);
    Ok(())
}

fn encode<T: Record>(record: &T) -> Result<Bytes, KvError> {
    record::encode(record)
        .map(Bytes::from)
        .map_err(|error| KvError::Io(error.to_string()))
}

fn decode<T: Record>(table: Table, key: &[u8], value: &[u8]) -> Result<T, OpenError> {
    record::decode(value).map_err(|source| OpenError::Record {
        table: table.name(),
        key: hex(key),
        source,
    })
}

/// An alert of the log.
///
/// # Errors
/// The engine's, and an entry that this build cannot understand.
pub async fn get(kv: &dyn Kv, alert_id: Uuid) -> Result<Option<Alert>, OpenError> {
    let key = record::key(alert_id);
    let found = kv.get_many(Table::AlertLog, vec![key.clone()]).await?;
    let found = found.into_iter().flatten().next();
    found
        .map(|value| decode(Table::AlertLog, &key, &value))
        .transpose()
}

/// Who was told of an alert, oldest first.
///
/// # Errors
/// As [`get`].
pub async fn notified(kv: &dyn Kv, alert_id: Uuid) -> Result<Vec<Notified>, OpenError> {
    let range = prefix_range(alert_id.as_bytes());
    let entries = kv
        .scan(Table::Notified, range, PAGE_ENTRIES, Direction::Forward)
        .await?;
    entries
        .iter()
        .map(|(key, value)| decode(Table::Notified, key, value))
        .collect()
}

/// Calls `each` with alerts of the log before `before`, the newest first: of one host, or all.
///
/// # Errors
/// As [`get`].
pub async fn visit(
    kv: &dyn Kv,
    host_number: Option<u32>,
    before: Uuid,
    mut each: impl FnMut(Alert) -> ControlFlow<()>,
) -> Result<(), OpenError> {
    let mut end = before;
    loop {
        let ids: Vec<Key>;
        let values: Vec<Option<Bytes>>;
        if let Some(number) = host_number {
            let range = host_key(number, Uuid::nil())..host_key(number, end);
            let keys = kv
                .scan(Table::HostAlerts, range, PAGE_ENTRIES, Direction::Backward)
                .await?;
            ids = keys
                .into_iter()
                .map(|(key, _)| key.get(4..).unwrap_or_default().to_vec())
                .collect();
            values = kv.get_many(Table::AlertLog, ids.clone()).await?;
        } else {
            let range = Vec::new()..record::key(end);
            let entries = kv
                .scan(Table::AlertLog, range, PAGE_ENTRIES, Direction::Backward)
                .await?;
            (ids, values) = entries
                .into_iter()
                .map(|(key, value)| (key, Some(value)))
                .unzip();
        }
        let Some(last) = ids.last().and_then(|key| Uuid::from_slice(key).ok()) else {
            return Ok(());
        };
        end = last;
        for (key, value) in ids.iter().zip(values) {
            let Some(value) = value else { continue };
            if each(decode(Table::AlertLog, key, &value)?).is_break() {
                return Ok(());
            }
        }
        if ids.len() < PAGE_ENTRIES {
            return Ok(());
        }
    }
}

/// Removes alerts of the log that are older, with what became of their notices, in bounded transactions, and says how
/// many.
///
/// # Errors
/// As [`get`].
pub async fn remove_before(kv: &dyn Kv, oldest: DateTime<Utc>) -> Result<usize, OpenError> {
    let end = record::key(id::lowest(oldest));
    let mut removed = 0;
    loop {
        let entries = kv
            .scan(
                Table::AlertLog,
                Vec::new()..end.clone(),
                ALERTS_OF_TRANSACTION,
                Direction::Forward,
            )
            .await?;
        let mut batch = Batch::new(Class::State);
        for (key, value) in &entries {
            let alert: Alert = decode(Table::AlertLog, key, value)?;
            batch.delete(Table::AlertLog, key.clone());
            let key = host_key(alert.host_number, alert.alert_id);
            batch.delete(Table::HostAlerts, key);
        }
        removed += entries.len();
        if !batch.is_empty() {
            kv.write(batch).await?;
        }
        if entries.len() < ALERTS_OF_TRANSACTION {
            break;
        }
    }
    // Their keys begin with the alert's id, which begins with its time.
    let told = || Vec::new()..end.clone();
    while kv
        .delete_range(Table::Notified, told(), ALERTS_OF_TRANSACTION)
        .await?
        == ALERTS_OF_TRANSACTION
    {}
    Ok(removed)
}

/// Removes the alerts of a deleted host. Safe to repeat.
///
/// # Errors
/// The engine's.
pub async fn purge(kv: &dyn Kv, number: u32) -> Result<(), KvError> {
    loop {
        let keys = kv
            .scan(
                Table::HostAlerts,
                prefix_range(&number.to_be_bytes()),
                ALERTS_OF_TRANSACTION,
                Direction::Forward,
            )
            .await?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(Class::State);
        for (key, _) in keys {
            let alert_id = key.get(4..).and_then(|id| Uuid::from_slice(id).ok());
            if let Some(alert_id) = alert_id {
                batch.delete(Table::AlertLog, record::key(alert_id));
                let told = || prefix_range(alert_id.as_bytes());
                while kv
                    .delete_range(Table::Notified, told(), ALERTS_OF_TRANSACTION)
                    .await?
                    == ALERTS_OF_TRANSACTION
                {}
            }
            batch.delete(Table::HostAlerts, key);
        }
        kv.write(batch).await?;
    }
}
