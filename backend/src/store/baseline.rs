//! The history of each host's baseline.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::kv::{Batch, Direction, Key, Kv, KvError, MAX_VALUE_BYTES, Table, prefix_range};
use super::record::{self, Record};
use super::state::Change;
use crate::domain::baseline::{Baseline, HostDrift};
use crate::domain::change::{self, MAX_LIST_BYTES};

fn key(number: u32, baseline_id: Uuid) -> Key {
    [&number.to_be_bytes()[..], baseline_id.as_bytes()].concat()
}

/// Adds a baseline to a batch.
///
/// # Errors
/// When it has no JSON form.
pub fn put(batch: &mut Batch, number: u32, mut baseline: Baseline) -> Result<(), KvError> {
    change::bound(&mut baseline.changes, |change| change, MAX_LIST_BYTES);
    let mut value = record::encode(&baseline);
    if value
        .as_ref()
        .is_ok_and(|value| value.len() > MAX_VALUE_BYTES)
    {
        change::bound(&mut baseline.changes, |change| change, MAX_VALUE_BYTES);
        value = record::encode(&baseline);
    }
    let value = value.map_err(|error| KvError::Io(error.to_string()))?;
    batch.put(
        Table::Baselines,
        key(number, baseline.baseline_id),
        value.into(),
    );
    Ok(())
}

fn decode(value: &[u8]) -> Result<Baseline, KvError> {
    record::decode(value).map_err(|error| KvError::Damaged(format!("a baseline: {error}")))
}

impl Record for Baseline {
    const TABLE: Table = Table::Baselines;
    const VERSION: u16 = 1;

    fn id(&self) -> Uuid {
        self.baseline_id
    }
}

/// A host's baselines below `before` (all without it), newest first, at most `limit`.
///
/// # Errors
/// The engine's.
pub async fn page(
    kv: &dyn Kv,
    number: u32,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Baseline>, KvError> {
    let mut range = prefix_range(&number.to_be_bytes());
    if let Some(before) = before {
        range.end = key(number, before);
    }
    let entries = kv
        .scan(Table::Baselines, range, limit, Direction::Backward)
        .await?;
    entries.iter().map(|(_, value)| decode(value)).collect()
}

/// One baseline of a host.
///
/// # Errors
/// The engine's.
pub async fn get(kv: &dyn Kv, number: u32, baseline_id: Uuid) -> Result<Option<Baseline>, KvError> {
    let values = kv
        .get_many(Table::Baselines, vec![key(number, baseline_id)])
        .await?;
    values
        .into_iter()
        .flatten()
        .next()
        .map(|value| decode(&value))
        .transpose()
}

/// What differs from a host's baseline, and its form.
pub struct EncodedDrift {
    record: Arc<HostDrift>,
    bytes: Bytes,
}

impl EncodedDrift {
    /// Its form; of more than can be kept, the beginning.
    ///
    /// # Errors
    /// When it has none.
    pub fn new(mut drift: HostDrift) -> Result<Self, KvError> {
        change::bound(&mut drift.items, |item| &mut item.change, MAX_LIST_BYTES);
        let encode = |drift: &HostDrift| {
            record::encode(drift).map_err(|error| KvError::Io(error.to_string()))
        };
        let mut bytes = encode(&drift)?;
        if bytes.len() > MAX_VALUE_BYTES {
            change::bound(&mut drift.items, |item| &mut item.change, MAX_VALUE_BYTES);
            bytes = encode(&drift)?;
        }
        Ok(Self {
            record: Arc::new(drift),
            bytes: bytes.into(),
        })
    }

    /// Adds it to a change.
    pub fn put(self, change: &mut Change<'_>) {
        change.put_encoded(self.record, self.bytes);
    }
}
