//! Snapshots as they were sent: the compressed document under (host, snapshot id).

use bytes::Bytes;
use uuid::Uuid;

use super::kv::{Key, MAX_VALUE_BYTES, Table};
use super::state::Change;
use crate::domain::snapshot::Snapshot;

/// zstd level: a snapshot is written once and kept for months.
const COMPRESSION_LEVEL: i32 = 9;

/// The key of a host's snapshot.
pub fn key(host_number: u32, snapshot_id: Uuid) -> Key {
    [&host_number.to_be_bytes()[..], snapshot_id.as_bytes()].concat()
}

/// The document, compressed; `None` when even so it is larger than a value may be.
pub fn encode(snapshot: &Snapshot) -> Option<Bytes> {
    let json = serde_json::to_vec(snapshot).ok()?;
    let bytes = zstd::bulk::compress(&json, COMPRESSION_LEVEL).ok()?;
    (bytes.len() <= MAX_VALUE_BYTES).then(|| Bytes::from(bytes))
}

/// Adds an encoded snapshot to a change.
pub fn put(change: &mut Change<'_>, host_number: u32, snapshot_id: Uuid, encoded: Bytes) {
    change
        .batch()
        .put(Table::Snapshots, key(host_number, snapshot_id), encoded);
}
