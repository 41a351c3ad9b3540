//! The snapshots of each host in the order in which they came, and what each changed.
//!
//! A snapshot's content is a document (`document.rs`); here stands which one, and what of it could not be read. The
//! change set of a snapshot has the snapshot's id: they are kept, listed and removed together.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::kv::{Batch, Class, Direction, Key, Kv, KvError, MAX_VALUE_BYTES, Table, prefix_range};
use super::varint::{
    DecodeError, put_signed, put_unsigned, take_array, take_signed, take_unsigned,
};
use crate::domain::change::{self, Change, ChangeKind, ChangeSet, Disposition, MAX_LIST_BYTES};
use crate::domain::id;
use crate::domain::snapshot::{DocumentId, StaleSection};

/// zstd level of change sets.
const LEVEL: i32 = 9;
/// Most bytes of a change set, decompressed: every item of two full snapshots.
const MAX_CHANGE_SET_BYTES: usize = 2 * MAX_LIST_BYTES;
/// The snapshot changed something.
const HAS_CHANGES: u8 = 1;
/// Something could not be read.
const HAS_STALE: u8 = 2;

/// One snapshot of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSnapshot {
    /// Identifier: its time is when the backend received it.
    pub snapshot_id: Uuid,
    /// Its content.
    pub document: DocumentId,
    /// When the host took it.
    pub taken_at: DateTime<Utc>,
    /// Whether there is a change set of the same id.
    pub has_changes: bool,
    /// What could not be read.
    pub stale: Vec<StaleSection>,
}

fn host_key(number: u32, snapshot_id: Uuid) -> Key {
    [&number.to_be_bytes()[..], snapshot_id.as_bytes()].concat()
}

fn change_key(change_set_id: Uuid, number: u32) -> Key {
    [change_set_id.as_bytes(), &number.to_be_bytes()[..]].concat()
}

fn damaged(what: &str, id: Uuid) -> KvError {
    KvError::Damaged(format!("{what} {id} is not what was written"))
}

/// Adds a snapshot to a batch.
pub fn put(batch: &mut Batch, number: u32, snapshot: &StoredSnapshot) {
    let has_stale = !snapshot.stale.is_empty();
    let flags = u8::from(snapshot.has_changes) * HAS_CHANGES + u8::from(has_stale) * HAS_STALE;
    let mut value = vec![flags];
    value.extend(snapshot.document.0);
    let delay = id::time(snapshot.snapshot_id) - snapshot.taken_at;
    put_signed(&mut value, delay.num_milliseconds());
    if has_stale {
        // A list of strings and times always has a JSON form.
        value.extend(serde_json::to_vec(&snapshot.stale).unwrap_or_default());
    }
    let key = host_key(number, snapshot.snapshot_id);
    batch.put(Table::Snapshots, key, Bytes::from(value));
}

fn decode(key: &[u8], mut value: &[u8]) -> Result<StoredSnapshot, KvError> {
    let snapshot_id = key
        .last_chunk()
        .copied()
        .map(Uuid::from_bytes)
        .unwrap_or_default();
    let mut take = || -> Result<_, DecodeError> {
        let [flags] = take_array(&mut value)?;
        let document = DocumentId(take_array(&mut value)?);
        let delay = TimeDelta::try_milliseconds(take_signed(&mut value)?);
        let stale = if flags & HAS_STALE > 0 {
            serde_json::from_slice(value).map_err(|_| DecodeError::Damaged)?
        } else {
            Vec::new()
        };
        Ok(StoredSnapshot {
            snapshot_id,
            document,
            taken_at: delay
                .and_then(|delay| id::time(snapshot_id).checked_sub_signed(delay))
                .ok_or(DecodeError::Damaged)?,
            has_changes: flags & HAS_CHANGES > 0,
            stale,
        })
    };
    take().map_err(|_| damaged("snapshot", snapshot_id))
}

/// A host's snapshots below `before` (all without it), newest first, at most `limit`.
///
/// # Errors
/// The engine's, here and below.
pub async fn page(
    kv: &dyn Kv,
    number: u32,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<StoredSnapshot>, KvError> {
    let mut range = prefix_range(&number.to_be_bytes());
    if let Some(before) = before {
        range.end = host_key(number, before);
    }
    let entries = kv
        .scan(Table::Snapshots, range, limit, Direction::Backward)
        .await?;
    entries
        .iter()
        .map(|(key, value)| decode(key, value))
        .collect()
}

/// The snapshot of a host that was in force at a time.
///
/// # Errors
/// See [`page`].
pub async fn in_force_at(
    kv: &dyn Kv,
    number: u32,
    at: DateTime<Utc>,
) -> Result<Option<StoredSnapshot>, KvError> {
    let after = at
        .checked_add_signed(TimeDelta::milliseconds(1))
        .unwrap_or(at);
    let found = page(kv, number, Some(id::lowest(after)), 1).await?;
    Ok(found.into_iter().next())
}

/// One snapshot of a host.
///
/// # Errors
/// See [`page`].
pub async fn get(
    kv: &dyn Kv,
    number: u32,
    snapshot_id: Uuid,
) -> Result<Option<StoredSnapshot>, KvError> {
    let key = host_key(number, snapshot_id);
    let values = kv.get_many(Table::Snapshots, vec![key.clone()]).await?;
    values
        .into_iter()
        .flatten()
        .next()
        .map(|value| decode(&key, &value))
        .transpose()
}

/// Adds the removal of a host's snapshot, with its change set, to a batch.
pub fn remove(batch: &mut Batch, number: u32, snapshot: &StoredSnapshot) {
    batch.delete(Table::Snapshots, host_key(number, snapshot.snapshot_id));
    if snapshot.has_changes {
        batch.delete(Table::ChangeSets, change_key(snapshot.snapshot_id, number));
    }
}

/// A change as it is kept, without names of fields: section, key, before, after, direction, disposition; how it differs follows from which side is there.
#[derive(Serialize, Deserialize)]
struct KeptChange(
    String,
    String,
    Option<String>,
    Option<String>,
    Option<change::Direction>,
    Disposition,
);

impl From<&Change> for KeptChange {
    fn from(change: &Change) -> Self {
        Self(
            change.section.clone(),
            change.key.clone(),
            change.before.clone(),
            change.after.clone(),
            change.direction,
            change.disposition,
        )
    }
}

impl From<KeptChange> for Change {
    fn from(kept: KeptChange) -> Self {
        let KeptChange(section, key, before, after, direction, disposition) = kept;
        Self {
            kind: match (&before, &after) {
                (None, _) => ChangeKind::Added,
                (Some(_), None) => ChangeKind::Removed,
                (Some(_), Some(_)) => ChangeKind::Changed,
            },
            section,
            key,
            before,
            after,
            direction,
            disposition,
        }
    }
}

/// What most change sets have in them, for zstd to refer to. Never to be changed: what was kept depends on it.
const DICTIONARY: &[u8] = br#"["files","/etc/","sha256: mode:0644 owner:root:root",null,"downgrade","ignored"],["services",".service","enabled active","enabled failed",null,"expected"],["environment","hmac:","hmac:",null,"drift"],["os","reboot_required","false","true",null,"drift"],["os","kernel","6.1.0-","-amd64",null,"drift"],["packages","rpm/:x86_64",".el9",".el9","upgrade","drift"],["packages","dpkg/python3-:all",null,"-1","drift"],["packages","dpkg/linux-image-:amd64",null,"-1","drift"],["packages","dpkg/lib:amd64","-1+deb12u1","-1+deb12u2","upgrade","drift"],["packages","dpkg/"#;

/// Adds the changes of a snapshot to a batch; of more than can be kept, the beginning.
///
/// # Errors
/// When they have no form in which they can be kept.
pub fn put_changes(batch: &mut Batch, number: u32, change_set: &ChangeSet) -> Result<(), KvError> {
    let encode = |items: &[Change]| {
        let kept: Vec<KeptChange> = items.iter().map(KeptChange::from).collect();
        let json = serde_json::to_vec(&kept)?;
        let mut value = change_set.from_snapshot_id.as_bytes().to_vec();
        put_unsigned(&mut value, json.len() as u64);
        let mut compressor = zstd::bulk::Compressor::with_dictionary(LEVEL, DICTIONARY)?;
        compressor.set_parameter(zstd::zstd_safe::CParameter::ContentSizeFlag(false))?;
        value.extend(compressor.compress(&json)?);
        Ok::<_, std::io::Error>(value)
    };
    let mut items = change_set.items.clone();
    change::bound(&mut items, |item| item, MAX_LIST_BYTES);
    let mut value = encode(&items);
    if value
        .as_ref()
        .is_ok_and(|value| value.len() > MAX_VALUE_BYTES)
    {
        change::bound(&mut items, |item| item, MAX_VALUE_BYTES);
        value = encode(&items);
    }
    let value = value.map_err(|error| KvError::Io(error.to_string()))?;
    let key = change_key(change_set.change_set_id, number);
    batch.put(Table::ChangeSets, key, Bytes::from(value));
    Ok(())
}

fn decode_changes(key: &[u8], mut value: &[u8]) -> Result<(u32, ChangeSet), KvError> {
    let (id_bytes, number) = key.split_first_chunk().unwrap_or((&[0; 16], &[]));
    let change_set_id = Uuid::from_bytes(*id_bytes);
    let number = number.first_chunk().copied().map(u32::from_be_bytes);
    let mut take = || {
        let from_snapshot_id = Uuid::from_bytes(take_array(&mut value).ok()?);
        let size = usize::try_from(take_unsigned(&mut value).ok()?).ok()?;
        let mut decompressor = zstd::bulk::Decompressor::with_dictionary(DICTIONARY).ok()?;
        let json = decompressor
            .decompress(value, size.min(MAX_CHANGE_SET_BYTES))
            .ok()?;
        let items: Vec<KeptChange> = serde_json::from_slice(&json).ok()?;
        Some((from_snapshot_id, items))
    };
    let ((from_snapshot_id, items), number) = take()
        .zip(number)
        .ok_or_else(|| damaged("change set", change_set_id))?;
    Ok((
        number,
        ChangeSet {
            change_set_id,
            detected_at: id::time(change_set_id),
            from_snapshot_id,
            items: items.into_iter().map(Change::from).collect(),
        },
    ))
}

/// A change set that is not understood yet: its key is its place in the list of the fleet's.
pub struct KeptChangeSet {
    /// Its key.
    pub key: Key,
    value: Bytes,
}

impl KeptChangeSet {
    /// The number of its host, and what changed; `None` for one that is damaged, which the log then names.
    pub fn read(&self) -> Option<(u32, ChangeSet)> {
        decode_changes(&self.key, &self.value)
            .inspect_err(|error| tracing::error!(%error, "a change set cannot be read"))
            .ok()
    }
}

/// Change sets of the whole fleet, newest first: those of `from` (inclusive) to `before` (exclusive), at most `limit`.
///
/// # Errors
/// See [`page`].
pub async fn page_of_changes(
    kv: &dyn Kv,
    from: Uuid,
    before: Key,
    limit: usize,
) -> Result<Vec<KeptChangeSet>, KvError> {
    let range = from.as_bytes().to_vec()..before;
    let entries = kv
        .scan(Table::ChangeSets, range, limit, Direction::Backward)
        .await?;
    let kept = entries
        .into_iter()
        .map(|(key, value)| KeptChangeSet { key, value });
    Ok(kept.collect())
}

/// The change sets of these snapshots of a host, in their order; those that are not there are left out.
///
/// # Errors
/// See [`page`].
pub async fn changes_of(
    kv: &dyn Kv,
    number: u32,
    ids: impl Iterator<Item = Uuid>,
) -> Result<Vec<KeptChangeSet>, KvError> {
    let keys: Vec<Key> = ids.map(|id| change_key(id, number)).collect();
    let values = kv.get_many(Table::ChangeSets, keys.clone()).await?;
    let kept = keys.into_iter().zip(values);
    Ok(kept
        .filter_map(|(key, value)| Some(KeptChangeSet { key, value: value? }))
        .collect())
}

/// Removes a deleted host's snapshots and change sets, in bounded transactions.
///
/// # Errors
/// See [`page`].
pub async fn purge(kv: &dyn Kv, number: u32, keys: usize) -> Result<(), KvError> {
    loop {
        let some = page(kv, number, None, keys).await?;
        if some.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(Class::State);
        for snapshot in &some {
            remove(&mut batch, number, snapshot);
        }
        kv.write(batch).await?;
    }
}
