//! What a deleted host left: its rows in every slot and day, its names and its latest values.

use std::sync::Arc;

use super::units::{ROW_TABLES, Tally};
use super::{SeriesStore, Shared, latest, off_thread, unit_start};
use crate::store::chunk::Row;
use crate::store::kv::{Batch, Class, Key, KvError, Read, Table, prefix_range};
use crate::store::row;

/// Keys that one transaction removes.
const KEYS_OF_TRANSACTION: usize = 2_000;

impl SeriesStore {
    /// Removes everything of a host that was deleted. Safe to repeat.
    ///
    /// # Errors
    /// The engine's.
    pub async fn purge(&self, host: u32) -> Result<(), KvError> {
        let _alone = self.shared.housekeeping.lock().await;
        loop {
            let shared = Arc::clone(&self.shared);
            let found = off_thread(move || shared.rows_of(host)).await?;
            let Some((batch, tally)) = found else { break };
            self.shared.write(batch, &tally).await?;
        }
        while self
            .shared
            .kv
            .delete_range(
                Table::SeriesNames,
                prefix_range(&host.to_be_bytes()),
                KEYS_OF_TRANSACTION,
            )
            .await?
            == KEYS_OF_TRANSACTION
        {}
        let mut batch = Batch::new(Class::Series);
        batch.delete(Table::Latest, latest::key(host));
        self.shared.kv.write(batch).await
    }
}

impl Shared {
    /// A batch that removes some of a host's rows; `None` when there are no more.
    fn rows_of(&self, host: u32) -> Result<Option<(Batch, Tally)>, KvError> {
        let reads: Vec<Read> = {
            let units = self.units.read();
            let units = ROW_TABLES.iter().flat_map(|table| {
                let units = units.range(*table, 0, u32::MAX);
                units.map(|unit| Read {
                    table: *table,
                    range: row::range(unit, host),
                })
            });
            units.collect()
        };
        let mut keys: Vec<(Table, Key)> = Vec::new();
        let mut tally = Tally::default();
        self.visit_rows(&reads, |table, row| {
            if keys.len() < KEYS_OF_TRANSACTION {
                let points = Row::read(row.bytes, unit_start(table, row.unit))?.count()?;
                tally.replace(table, row.unit, Some((points, row.bytes.len())), None);
                for piece in 0..row.pieces {
                    keys.push((table, row::key(row.unit, host, piece)));
                }
            }
            Ok::<_, KvError>(())
        })?;
        if keys.is_empty() {
            return Ok(None);
        }
        let mut batch = Batch::new(Class::Series);
        for (table, key) in keys {
            batch.delete(table, key);
        }
        Ok(Some((batch, tally)))
    }
}
