//! Repacking: the slots of a day become one row a host, which compresses better and is found at one place. What came
//! in late for a day that was repacked is merged into it the same way.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::units::Tally;
use super::{Packers, SeriesStore, Shared, off_thread, unit_start};
use crate::domain::tier::{SLOTS_PER_DAY, day_of_slot, day_start, repack_is_due};
use crate::store::chunk::{self, Block, Effort, Row};
use crate::store::fault;
use crate::store::kv::{Batch, Class, KvError, Read, Table};
use crate::store::row;

/// Hosts that one batch repacks: some 400 kB at twelve series, and 5 MB while it is decoded.
const HOSTS_OF_BATCH: usize = 16;

impl SeriesStore {
    /// Repacks the days that have ended; with `hurry`, every day of which slots are sealed. Returns how many rows
    /// were written.
    ///
    /// # Errors
    /// The engine's; what was not repacked stays where it was.
    pub async fn repack(&self, now: i64, hurry: bool) -> Result<usize, KvError> {
        let mut packers = self.shared.housekeeping.lock().await;
        let days: BTreeSet<u32> = {
            let units = self.shared.units.read();
            let slots = units.range(Table::Slots, 0, u32::MAX);
            slots
                .map(day_of_slot)
                .filter(|day| hurry || repack_is_due(*day, now))
                .collect()
        };
        let mut rows = 0;
        for day in days {
            let shared = Arc::clone(&self.shared);
            let hosts = off_thread(move || shared.hosts_with_slots(day)).await?;
            for hosts in hosts.chunks(HOSTS_OF_BATCH) {
                let (shared, hosts) = (Arc::clone(&self.shared), hosts.to_vec());
                let before = *packers;
                let (after, batch, tally, hosts) =
                    off_thread(move || shared.repack_hosts(before, day, hosts)).await?;
                fault::point("repack.before");
                // Noted first: between the batch and the note the tiers of the day would pass for current.
                let marks = hosts.iter().map(|host| (day, *host));
                self.shared.unrolled.write().extend(marks);
                self.shared.write(batch, &tally).await?;
                fault::point("repack.written");
                *packers = after;
                rows += hosts.len();
            }
        }
        Ok(rows)
    }
}

impl Shared {
    /// The slots of a day that are sealed.
    fn slots_of_day(&self, day: u32) -> Vec<u32> {
        let first = day * SLOTS_PER_DAY;
        let units = self.units.read();
        units
            .range(Table::Slots, first, first + SLOTS_PER_DAY - 1)
            .collect()
    }

    fn hosts_with_slots(&self, day: u32) -> Result<Vec<u32>, KvError> {
        let reads: Vec<Read> = self
            .slots_of_day(day)
            .into_iter()
            .map(|slot| Read {
                table: Table::Slots,
                range: row::unit_start(slot)..row::unit_start(slot + 1),
            })
            .collect();
        let mut hosts = BTreeSet::new();
        self.kv.visit(Class::Series, &reads, &mut |_, key, _| {
            hosts.extend(row::parse(key).map(|(_, host, _)| host));
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(hosts.into_iter().collect())
    }

    fn repack_hosts(
        &self,
        mut packers: Packers,
        day: u32,
        hosts: Vec<u32>,
    ) -> Result<(Packers, Batch, Tally, Vec<u32>), KvError> {
        let slots = self.slots_of_day(day);
        let mut batch = Batch::new(Class::Series);
        let mut tally = Tally::default();
        for host in &hosts {
            let reads: Vec<Read> = slots
                .iter()
                .map(|slot| (Table::Slots, *slot))
                .chain([(Table::Days, day)])
                .map(|(table, unit)| Read {
                    table,
                    range: row::range(unit, *host),
                })
                .collect();
            let mut block = Block::default();
            let mut old_day = None;
            let mut slot_pieces = Vec::new();
            self.visit_rows(&reads, |table, row| {
                let read = Row::read(row.bytes, unit_start(table, row.unit))?;
                let (points, bytes) = (read.count()?, row.bytes.len());
                if table == Table::Days {
                    old_day = Some((points, bytes, row.pieces));
                } else {
                    tally.replace(table, row.unit, Some((points, bytes)), None);
                    slot_pieces
                        .extend((0..row.pieces).map(|piece| row::key(row.unit, *host, piece)));
                }
                block = std::mem::take(&mut block).merge(read.block()?);
                Ok::<_, KvError>(())
            })?;
            let row = chunk::encode(&block, day_start(day), Effort::Day);
            let old_pieces = old_day.map_or(0, |(_, _, pieces)| pieces);
            packers
                .days
                .put(&mut batch, Table::Days, (day, *host), &row, old_pieces);
            tally.replace(
                Table::Days,
                day,
                old_day.map(|(points, bytes, _)| (points, bytes)),
                Some((block.points(), row.len())),
            );
            for key in slot_pieces {
                batch.delete(Table::Slots, key);
            }
            batch.put(Table::Unrolled, unrolled_key(day, *host), Vec::new().into());
        }
        Ok((packers, batch, tally, hosts))
    }
}

/// The key of the mark that a host's day is to be rolled up.
pub(super) fn unrolled_key(day: u32, host: u32) -> Vec<u8> {
    [day.to_be_bytes(), host.to_be_bytes()].concat()
}
