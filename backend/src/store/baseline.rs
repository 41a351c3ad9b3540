//! The history of each host's baseline.

use uuid::Uuid;

use super::kv::{Batch, Direction, Key, Kv, KvError, MAX_VALUE_BYTES, Table, prefix_range};
use super::record::{self, Record};
use super::state::Change;
use crate::domain::baseline::{Baseline, HostDrift};
use crate::domain::change;

fn key(number: u32, baseline_id: Uuid) -> Key {
    [&number.to_be_bytes()[..], baseline_id.as_bytes()].concat()
}

/// Adds a baseline to a batch.
///
/// # Errors
/// When it has no JSON form.
pub fn put(batch: &mut Batch, number: u32, mut baseline: Baseline) -> Result<(), KvError> {
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

/// Adds what differs from a host's baseline to a change; of more than can be kept, the beginning.
pub fn put_drift(change: &mut Change<'_>, mut drift: HostDrift) {
    let is_too_large = record::encode(&drift).is_ok_and(|value| value.len() > MAX_VALUE_BYTES);
    if is_too_large {
        change::bound(&mut drift.items, |item| &mut item.change, MAX_VALUE_BYTES);
    }
    change.put(drift);
}
