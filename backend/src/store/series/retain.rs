//! Retention: whole slots and days leave at the left edge of their tables, in bounded transactions.

use std::sync::Arc;

use super::repack::unrolled_key;
use super::units::Units;
use super::{SeriesStore, Shared};
use crate::domain::tier::{Retention, SLOTS_PER_DAY, Tier, slot_start};
use crate::store::fault;
use crate::store::kv::{Batch, Class, KvError, Table};
use crate::store::row;

/// Keys that one transaction removes.
const KEYS_OF_TRANSACTION: usize = 2_000;

impl SeriesStore {
    /// Removes what is older than it should be kept. Returns how many slots and days went.
    ///
    /// # Errors
    /// The engine's; what was not removed is next time.
    pub async fn retain(&self, now: i64, retention: &Retention) -> Result<usize, KvError> {
        let _alone = self.shared.housekeeping.lock().await;
        let Some(newest_at) = self.shared.newest_at() else {
            return Ok(0);
        };
        let first_kept = |tier| retention.first_kept_day(tier, now, newest_at);
        let raw = first_kept(Tier::Raw);
        let mut removed = 0;
        for (table, first_kept) in [
            (Table::Slots, raw.saturating_mul(SLOTS_PER_DAY)),
            (Table::Days, raw),
            (Table::FiveMinutes, first_kept(Tier::FiveMinutes)),
            (Table::Hours, first_kept(Tier::Hour)),
        ] {
            loop {
                let oldest = self.shared.units.read().extent(table);
                let Some((oldest, _)) = oldest.filter(|(oldest, _)| *oldest < first_kept) else {
                    break;
                };
                self.shared.remove_unit(table, oldest).await?;
                removed += 1;
            }
        }
        self.shared.forget_unrolled_before(raw).await?;
        Ok(removed)
    }
}

impl Shared {
    /// The end of the newest slot of which anything is stored.
    fn newest_at(&self) -> Option<i64> {
        let logged = self.log.lock().keys().next_back().copied();
        let sealed = self.units.read().sealed_through();
        logged.max(sealed).map(|slot| slot_start(slot + 1))
    }

    async fn remove_unit(&self, table: Table, unit: u32) -> Result<(), KvError> {
        let range = || row::unit_start(unit)..row::unit_start(unit.saturating_add(1));
        while self
            .kv
            .delete_range(table, range(), KEYS_OF_TRANSACTION)
            .await?
            == KEYS_OF_TRANSACTION
        {
            fault::point("retain.part");
        }
        fault::point("retain.rows_gone");
        // The entry goes last: until then the rest would be found and removed again.
        let mut batch = Batch::new(Class::Series);
        batch.delete(Table::Units, Units::entry_key(table, unit));
        self.kv.write(batch).await?;
        Arc::make_mut(&mut self.units.write()).remove(table, unit);
        Ok(())
    }

    async fn forget_unrolled_before(&self, day: u32) -> Result<(), KvError> {
        let old: Vec<(u32, u32)> = {
            let unrolled = self.unrolled.read();
            unrolled.range(..(day, 0)).copied().collect()
        };
        for some in old.chunks(KEYS_OF_TRANSACTION) {
            let mut batch = Batch::new(Class::Series);
            for (day, host) in some {
                batch.delete(Table::Unrolled, unrolled_key(*day, *host));
            }
            self.kv.write(batch).await?;
            let mut unrolled = self.unrolled.write();
            for place in some {
                unrolled.remove(place);
            }
        }
        Ok(())
    }
}
