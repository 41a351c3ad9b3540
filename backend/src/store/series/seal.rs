//! Sealing: a slot that has ended goes from the log and the head into rows, host by host in bounded batches, and then
//! its part of the log is trimmed. A crash between the two seals again to the same keys.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::RwLock;
use tracing::debug;

use super::units::Tally;
use super::{Packers, SeriesStore, Shared, latest, log_key, off_thread};
use crate::domain::tier::{day_of_slot, seal_is_due, slot_start};
use crate::store::chunk::{self, Block, Effort, Row};
use crate::store::fault;
use crate::store::head::HostHead;
use crate::store::kv::{Batch, Class, KvError, Read, Table};
use crate::store::row::{self, Assembler};

/// Hosts that one batch seals: some 160 kB at twelve series, so that posts hardly wait behind it.
const HOSTS_OF_BATCH: usize = 64;
/// Values of the log that one transaction removes.
const TRIM_VALUES: usize = 500;
/// Values in memory above which ended slots are sealed without waiting for quiet: 256 MiB.
const HURRY_CELLS: usize = 64 * 1024 * 1024;

/// What a batch of hosts became.
struct Sealed {
    packers: Packers,
    batch: Batch,
    tally: Tally,
    /// Host and version of its slot.
    hosts: Vec<(u32, u64)>,
}

impl SeriesStore {
    /// Seals the slots that are due; with `hurry`, all that have ended. Returns how many rows were written.
    ///
    /// # Errors
    /// The engine's; what was not sealed stays where it was.
    pub async fn seal(&self, now: i64, hurry: bool) -> Result<usize, KvError> {
        let mut packers = self.shared.housekeeping.lock().await;
        let hurry = hurry || self.head_stats().cells > HURRY_CELLS;
        let due: Vec<(u32, u64)> = self
            .shared
            .log
            .lock()
            .iter()
            .filter(|(slot, logged)| seal_is_due(**slot, logged.unsealed, now, hurry))
            .map(|(slot, logged)| (*slot, logged.last_sequence))
            .collect();
        let mut rows = 0;
        for (slot, last_sequence) in due {
            rows += self.seal_slot(&mut packers, slot).await?;
            fault::point("seal.before_trim");
            self.trim(slot, last_sequence).await?;
            debug!(slot, rows, "slot sealed");
        }
        Ok(rows)
    }

    async fn seal_slot(&self, packers: &mut Packers, slot: u32) -> Result<usize, KvError> {
        let mut hosts: Vec<u32> = self
            .shared
            .all_heads()
            .into_iter()
            .filter(|(_, head)| head.read().has_slot(slot))
            .map(|(host, _)| host)
            .collect();
        hosts.sort_unstable();
        let mut rows = 0;
        for hosts in hosts.chunks(HOSTS_OF_BATCH) {
            let (shared, hosts) = (Arc::clone(&self.shared), hosts.to_vec());
            let before = *packers;
            let sealed = off_thread(move || shared.seal_hosts(before, slot, &hosts)).await?;
            fault::point("seal.before");
            self.shared.write(sealed.batch, &sealed.tally).await?;
            fault::point("seal.written");
            *packers = sealed.packers;
            rows += sealed.hosts.len();
            for (host, version) in sealed.hosts {
                self.shared.head_of(host).write().drop_slot(slot, version);
            }
        }
        Ok(rows)
    }

    /// Removes what the log has of a slot up to a value that is sealed.
    async fn trim(&self, slot: u32, last_sequence: u64) -> Result<(), KvError> {
        let range = || log_key(slot, 0)..log_key(slot, last_sequence.saturating_add(1));
        while self
            .shared
            .kv
            .delete_range(Table::Log, range(), TRIM_VALUES)
            .await?
            == TRIM_VALUES
        {
            fault::point("trim.part");
        }
        fault::point("trim.written");
        let mut log = self.shared.log.lock();
        if let Some(logged) = log.get_mut(&slot) {
            if logged.last_sequence <= last_sequence {
                log.remove(&slot);
            } else {
                logged.unsealed.first_at = logged.unsealed.last_at;
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Every host's head.
    pub(super) fn all_heads(&self) -> Vec<(u32, Arc<RwLock<HostHead>>)> {
        let heads = self.heads.read();
        heads
            .iter()
            .map(|(host, head)| (*host, Arc::clone(head)))
            .collect()
    }

    fn seal_hosts(
        &self,
        mut packers: Packers,
        slot: u32,
        hosts: &[u32],
    ) -> Result<Sealed, KvError> {
        let mut batch = Batch::new(Class::Series);
        let mut tally = Tally::default();
        let mut sealed = Vec::with_capacity(hosts.len());
        for host in hosts {
            let head = self.head_of(*host);
            let (copy, latest) = {
                let head = head.read();
                (head.copy_slot(slot), latest::write(&head))
            };
            let Some(copy) = copy.filter(|copy| copy.is_dirty) else {
                continue;
            };
            let old = self.old_row(Table::Slots, slot, *host)?;
            let block = if copy.is_complete {
                copy.block
            } else {
                self.sealed_slot(*host, slot)?.merge(copy.block)
            };
            let row = chunk::encode(&block, slot_start(slot), Effort::Slot);
            let old_pieces = old.as_ref().map_or(0, |old| old.pieces);
            packers
                .slots
                .put(&mut batch, Table::Slots, (slot, *host), &row, old_pieces);
            tally.replace(
                Table::Slots,
                slot,
                old.map(|old| (old.points, old.bytes)),
                Some((block.points(), row.len())),
            );
            batch.put(Table::Latest, latest::key(*host), latest.into());
            sealed.push((*host, copy.version));
        }
        Ok(Sealed {
            packers,
            batch,
            tally,
            hosts: sealed,
        })
    }

    /// What is sealed of a host's slot: its row, or that part of its day. Both are looked at, whatever the units say:
    /// a slot may be on its way from the one to the other.
    pub(super) fn sealed_slot(&self, host: u32, slot: u32) -> Result<Block, KvError> {
        let reads = [(Table::Slots, slot), (Table::Days, day_of_slot(slot))];
        let reads = reads.map(|(table, unit)| Read {
            table,
            range: row::range(unit, host),
        });
        let mut blocks = Vec::new();
        self.visit_rows(&reads, |table, row| {
            let unit_start = super::unit_start(table, row.unit);
            let block = Row::read(row.bytes, unit_start)?.block()?;
            blocks.push(block.cut(slot_start(slot)..slot_start(slot + 1)));
            Ok::<_, KvError>(())
        })?;
        Ok(blocks.into_iter().fold(Block::default(), Block::merge))
    }

    /// What a row that is to be replaced holds.
    pub(super) fn old_row(
        &self,
        table: Table,
        unit: u32,
        host: u32,
    ) -> Result<Option<OldRow>, KvError> {
        if !self.units.read().contains(table, unit) {
            return Ok(None);
        }
        let mut old = None;
        let read = Read {
            table,
            range: row::range(unit, host),
        };
        self.visit_rows(&[read], |table, row| {
            let points = Row::read(row.bytes, super::unit_start(table, row.unit))?.count()?;
            old = Some(OldRow {
                points,
                bytes: row.bytes.len(),
                pieces: row.pieces,
            });
            Ok::<_, KvError>(())
        })?;
        Ok(old)
    }

    /// Calls `each` with every row of the ranges, put together from its pieces, as they all are at one moment.
    pub(super) fn visit_rows<E: From<KvError>>(
        &self,
        reads: &[Read],
        mut each: impl FnMut(Table, row::Assembled<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if reads.is_empty() {
            return Ok(());
        }
        let mut assembler = Assembler::default();
        let mut current: Option<Table> = None;
        let mut failed: Option<E> = None;
        self.kv
            .visit(Class::Series, reads, &mut |index, key, value| {
                let mut step = || -> Result<(), E> {
                    let table = reads.get(index).map(|read| read.table);
                    if current != table {
                        if let Some(table) = current {
                            assembler.finish(|row| each(table, row))?;
                        }
                        current = table;
                    }
                    let Some(table) = table else { return Ok(()) };
                    assembler.push(key, value, |row| each(table, row))
                };
                match step() {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })
            .map_err(E::from)?;
        if let Some(error) = failed {
            return Err(error);
        }
        match current {
            Some(table) => assembler.finish(|row| each(table, row)),
            None => Ok(()),
        }
    }
}

/// See [`Shared::old_row`].
pub(super) struct OldRow {
    pub points: u64,
    pub bytes: usize,
    pub pieces: u16,
}
