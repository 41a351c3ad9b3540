//! What the series tables hold, unit by unit: kept on disk beside the rows and in memory, so that a reading knows which
//! slots and days there are without looking.

use std::collections::BTreeMap;

use crate::domain::tier::SLOTS_PER_DAY;
use crate::store::kv::{Batch, Key, Kv, KvError, Table, scan_all};
use crate::store::varint::{put_unsigned, take_unsigned};

/// The tables of rows. Their positions are their codes on disk.
pub const ROW_TABLES: [Table; 4] = [Table::Slots, Table::Days, Table::FiveMinutes, Table::Hours];

/// What a slot or a day holds in one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Values.
    pub points: u64,
    /// Rows: one a host.
    pub rows: u64,
    /// Bytes of the rows.
    pub bytes: u64,
}

/// Every slot and day of every table of rows.
#[derive(Clone, Debug, Default)]
pub struct Units(BTreeMap<(Table, u32), Unit>);

/// What a batch changes in its units.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<(Table, u32), [i64; 3]>);

impl Tally {
    /// A row of so many points and bytes is put where one of others was, each absent where there is none.
    pub fn replace(
        &mut self,
        table: Table,
        unit: u32,
        old: Option<(u64, usize)>,
        new: Option<(u64, usize)>,
    ) {
        let deltas = self.0.entry((table, unit)).or_default();
        for (side, sign) in [(old, -1), (new, 1)] {
            let Some((points, bytes)) = side else {
                continue;
            };
            let amounts = [points, 1, bytes as u64];
            for (delta, amount) in deltas.iter_mut().zip(amounts) {
                *delta += sign * i64::try_from(amount).unwrap_or(i64::MAX);
            }
        }
    }
}

fn code(table: Table) -> Option<u8> {
    let position = ROW_TABLES.iter().position(|other| *other == table)?;
    u8::try_from(position).ok()
}

fn key(table: Table, unit: u32) -> Key {
    let mut key = vec![code(table).unwrap_or(u8::MAX)];
    key.extend(unit.to_be_bytes());
    key
}

impl Units {
    /// Reads them all.
    pub async fn load(kv: &dyn Kv) -> Result<Self, KvError> {
        let damaged = || KvError::Damaged("the table of units".to_owned());
        let mut units = BTreeMap::new();
        scan_all(kv, Table::Units, Vec::new()..vec![0xff; 6], |key, value| {
            let (code, unit) = key.split_first().ok_or_else(damaged)?;
            let table = *ROW_TABLES.get(usize::from(*code)).ok_or_else(damaged)?;
            let unit = u32::from_be_bytes(unit.try_into().map_err(|_| damaged())?);
            let mut bytes: &[u8] = &value;
            let mut next = || take_unsigned(&mut bytes).map_err(|_| damaged());
            let stats = Unit {
                points: next()?,
                rows: next()?,
                bytes: next()?,
            };
            units.insert((table, unit), stats);
            Ok::<_, KvError>(())
        })
        .await?;
        Ok(Self(units))
    }

    /// Adds what a batch changes to it; [`Units::apply`] follows once it is durable.
    pub fn write(&self, tally: &Tally, batch: &mut Batch) {
        for ((table, unit), unit_after) in self.after(tally) {
            if unit_after.rows == 0 {
                batch.delete(Table::Units, key(table, unit));
                continue;
            }
            let mut value = Vec::new();
            for number in [unit_after.points, unit_after.rows, unit_after.bytes] {
                put_unsigned(&mut value, number);
            }
            batch.put(Table::Units, key(table, unit), value.into());
        }
    }

    /// Takes over what a batch changed.
    pub fn apply(&mut self, tally: &Tally) {
        for (place, after) in self.after(tally) {
            if after.rows == 0 {
                self.0.remove(&place);
            } else {
                self.0.insert(place, after);
            }
        }
    }

    fn after(&self, tally: &Tally) -> Vec<((Table, u32), Unit)> {
        let after = tally.0.iter().map(|(place, [points, rows, bytes])| {
            let before = self.0.get(place).copied().unwrap_or_default();
            let unit = Unit {
                points: before.points.saturating_add_signed(*points),
                rows: before.rows.saturating_add_signed(*rows),
                bytes: before.bytes.saturating_add_signed(*bytes),
            };
            (*place, unit)
        });
        after.collect()
    }

    /// Forgets a unit that retention removed.
    pub fn remove(&mut self, table: Table, unit: u32) {
        self.0.remove(&(table, unit));
    }

    /// The key of a unit's entry, for removing it with its rows.
    pub fn entry_key(table: Table, unit: u32) -> Key {
        key(table, unit)
    }

    /// Whether a table has anything of a unit.
    pub fn contains(&self, table: Table, unit: u32) -> bool {
        self.0.contains_key(&(table, unit))
    }

    /// The units of a table within a range.
    pub fn range(&self, table: Table, first: u32, last: u32) -> impl Iterator<Item = u32> + '_ {
        let range = (table, first)..=(table, last.max(first));
        self.0.range(range).map(|((_, unit), _)| *unit)
    }

    /// The first and last unit of a table.
    pub fn extent(&self, table: Table) -> Option<(u32, u32)> {
        let mut units = self.0.range((table, 0)..=(table, u32::MAX));
        let first = units.next()?.0.1;
        Some((first, units.next_back().map_or(first, |(place, _)| place.1)))
    }

    /// The last slot of which anything is sealed.
    pub fn sealed_through(&self) -> Option<u32> {
        let slot = self.extent(Table::Slots).map(|(_, last)| last);
        let day = self
            .extent(Table::Days)
            .map(|(_, last)| last * SLOTS_PER_DAY + SLOTS_PER_DAY - 1);
        slot.max(day)
    }

    /// Everything of a table together.
    pub fn total(&self, table: Table) -> Unit {
        let units = self.0.range((table, 0)..=(table, u32::MAX));
        units.fold(Unit::default(), |sum, (_, unit)| Unit {
            points: sum.points + unit.points,
            rows: sum.rows + unit.rows,
            bytes: sum.bytes + unit.bytes,
        })
    }

    /// What one unit of a table holds.
    pub fn unit(&self, table: Table, unit: u32) -> Unit {
        self.0.get(&(table, unit)).copied().unwrap_or_default()
    }
}
