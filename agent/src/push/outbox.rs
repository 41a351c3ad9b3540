//! What goes out next: the newest point first, then the backlog in batches.
//!
//! A point that can be sent at its tick is not written to disk first: it is in memory for as long as its one try
//! takes, and goes to the spool when that fails or the agent is told to stop. Killing the agent meanwhile loses at most
//! this one point; in exchange a healthy agent writes nothing and waits for no disk.

use std::io;

use crate::measure::{Measurement, Sample};
use crate::report::MAX_SERIES;
use crate::spool::{Backlog, Spool};

/// Most points in one report.
const MAX_BATCH_POINTS: usize = 240;
/// About so much of the spool is read for one report: it bounds the memory that draining takes.
const MAX_BATCH_BYTES: usize = 256 << 10;
/// Points that go out together, taken by `next_batch` and given back with how it ended.
#[derive(Debug)]
pub struct Batch {
    /// At least one.
    pub points: Vec<Measurement>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Memory,
    Newest(u64),
    Backlog(Backlog),
}

/// The points that wait to be sent.
#[derive(Debug)]
pub struct Outbox {
    spool: Spool,
    /// Measured just now and not on disk.
    live: Option<Measurement>,
    /// On disk, and not tried since it was measured or since the last failure.
    newest: Option<(u64, Measurement)>,
    batch_points: usize,
    lost: u64,
}

impl Outbox {
    /// An outbox that keeps in `spool` what it cannot send.
    pub fn new(spool: Spool) -> Self {
        Self {
            spool,
            live: None,
            newest: None,
            batch_points: MAX_BATCH_POINTS,
            lost: 0,
        }
    }

    /// Takes a point that was measured. If it can be sent at once it stays in memory until then.
    pub fn add(&mut self, point: Measurement, can_send: bool) {
        if can_send && self.live.is_none() {
            self.live = Some(point);
        } else {
            self.keep(point);
        }
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.live.is_none() && self.spool.pending() == 0
    }

    /// Points on disk.
    pub fn backlog_points(&self) -> u64 {
        self.spool.pending()
    }

    /// Points lost since the last call: dropped from a full spool, or because the disk failed.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost) + self.spool.take_dropped()
    }

    /// The next points to send, if there are any.
    pub fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        if let Some(point) = self.live.take() {
            return Ok(Some(Batch {
                points: vec![point],
                origin: Origin::Memory,
            }));
        }
        if let Some((id, point)) = &self.newest {
            return Ok(Some(Batch {
                points: vec![point.clone()],
                origin: Origin::Newest(*id),
            }));
        }
        let mut limit = self.batch_points;
        loop {
            let Some(backlog) = self.spool.backlog(limit, MAX_BATCH_BYTES)? else {
                return Ok(None);
            };
            let points: Vec<Measurement> = backlog
                .frames
                .iter()
                .filter_map(|frame| serde_json::from_slice(&frame.payload).ok())
                .collect();
            if points.is_empty() {
                // Written by another version of the agent and meaningless to this one.
                self.lost += backlog.frames.len() as u64;
                self.spool.finish(&backlog)?;
            } else if points.len() > 1 && count_series(&points) > MAX_SERIES {
                limit = points.len() / 2;
            } else {
                return Ok(Some(Batch {
                    points,
                    origin: Origin::Backlog(backlog),
                }));
            }
        }
    }

    /// The batch was answered for good: it need not be sent again.
    pub fn finish(&mut self, batch: &Batch) -> io::Result<()> {
        self.batch_points = (self.batch_points * 2).min(MAX_BATCH_POINTS);
        match &batch.origin {
            Origin::Memory => Ok(()),
            Origin::Newest(id) => {
                self.newest = self.newest.take().filter(|(newest, _)| newest != id);
                self.spool.finish_one(*id)
            }
            Origin::Backlog(backlog) => {
                // What was spooled while it was on its way may be in it no more than once.
                let sent = |id| backlog.frames.iter().any(|frame| frame.id == id);
                self.newest = self.newest.take().filter(|(newest, _)| !sent(*newest));
                self.spool.finish(backlog)
            }
        }
    }

    /// The batch has to be sent again.
    pub fn give_back(&mut self, batch: Batch) {
        if let Origin::Memory = batch.origin {
            for point in batch.points {
                self.keep(point);
            }
        }
    }

    /// The batch was too big: the next ones are at most half of it.
    pub fn halve(&mut self, batch: Batch) {
        self.batch_points = (batch.points.len() / 2).max(1);
        self.give_back(batch);
    }

    /// Writes down what is only in memory, as the agent ends.
    pub fn close(&mut self) {
        if let Some(point) = self.live.take() {
            self.keep(point);
        }
    }

    fn keep(&mut self, point: Measurement) {
        let written = serde_json::to_vec(&point)
            .map_err(io::Error::from)
            .and_then(|payload| self.spool.append(point.at, &payload));
        match written {
            // A point that was put back after a later one was spooled is backlog, not news.
            Ok(id)
                if self
                    .newest
                    .as_ref()
                    .is_none_or(|(_, newest)| newest.at <= point.at) =>
            {
                self.newest = Some((id, point));
            }
            Ok(_) => {}
            Err(error) => {
                self.lost += 1;
                tracing::error!(%error, "a point is lost: it could neither be sent nor written to the spool");
            }
        }
    }
}

fn count_series(points: &[Measurement]) -> usize {
    let series = points.iter().flat_map(|point| &point.samples);
    let names = series.map(Sample::series);
    names.collect::<std::collections::BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Limits;

    fn outbox(directory: &tempfile::TempDir) -> Outbox {
        let limits = Limits {
            max_bytes: 64 << 20,
            max_age_seconds: 86_400,
        };
        Outbox::new(Spool::open(directory.path(), limits).unwrap())
    }

    fn point(at: i64) -> Measurement {
        let sample = Sample {
            metric: "load1".into(),
            instance: None,
            value: Some(0.1),
        };
        Measurement {
            at,
            samples: vec![sample],
        }
    }

    fn times(batch: &Batch) -> Vec<i64> {
        batch.points.iter().map(|point| point.at).collect()
    }

    fn send(outbox: &mut Outbox) -> Vec<i64> {
        let Some(batch) = outbox.next_batch().unwrap() else {
            return Vec::new();
        };
        outbox.finish(&batch).unwrap();
        times(&batch)
    }

    #[test]
    fn a_healthy_agent_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&directory);
        for at in 0..3 {
            outbox.add(point(at), true);
            assert_eq!(send(&mut outbox), [at]);
        }
        assert!(outbox.is_empty());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn after_an_outage_the_newest_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&directory);
        outbox.add(point(0), true);
        let batch = outbox.next_batch().unwrap().unwrap();
        outbox.add(point(1), false);
        outbox.give_back(batch);
        for at in 2..600 {
            outbox.add(point(at), false);
        }
        assert_eq!(outbox.backlog_points(), 600);
        assert_eq!(send(&mut outbox), [599]);
        let first = outbox.next_batch().unwrap().unwrap();
        // While a batch is on its way the next tick comes.
        outbox.add(point(600), false);
        outbox.finish(&first).unwrap();
        assert_eq!(send(&mut outbox), [600]);
        // One that can be sent is not even written.
        outbox.add(point(601), true);
        assert_eq!(send(&mut outbox), [601]);
        let mut all = times(&first);
        while !outbox.is_empty() {
            all.extend(send(&mut outbox));
        }
        all.sort_unstable();
        assert_eq!(all, (0..599).collect::<Vec<_>>());
        assert_eq!(outbox.take_lost(), 0);
    }

    #[test]
    fn too_big_a_batch_is_halved_until_it_fits() {
        let directory = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&directory);
        for at in 0..9 {
            outbox.add(point(at), false);
        }
        assert_eq!(send(&mut outbox), [8]);
        for expect in [8, 4, 2] {
            let batch = outbox.next_batch().unwrap().unwrap();
            assert_eq!(batch.points.len(), expect);
            outbox.halve(batch);
        }
        assert_eq!(send(&mut outbox), [0]);
        assert_eq!(send(&mut outbox), [1, 2]);
        assert_eq!(send(&mut outbox), [3, 4, 5, 6]);
        assert_eq!(send(&mut outbox), [7]);
    }

    #[test]
    fn a_stop_keeps_what_is_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = outbox(&directory);
        first.add(point(1), true);
        first.close();
        drop(first);
        let mut second = outbox(&directory);
        assert_eq!(send(&mut second), [1]);
        assert!(second.is_empty());
    }

    #[test]
    fn a_batch_has_no_more_series_than_the_contract_takes() {
        let directory = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&directory);
        for at in 0..8 {
            let sample = |index| Sample {
                metric: "disk_usage_percent".into(),
                instance: Some(format!("/mnt/{at}/{index}")),
                value: None,
            };
            outbox.add(
                Measurement {
                    at,
                    samples: (0..200).map(sample).collect(),
                },
                false,
            );
        }
        assert_eq!(send(&mut outbox), [7]);
        assert_eq!(send(&mut outbox), [0]);
        while !outbox.is_empty() {
            assert!(send(&mut outbox).len() <= 2);
        }
    }

    #[test]
    fn frames_of_another_version_do_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&directory);
        outbox.spool.append(1, b"not a point").unwrap();
        assert_eq!(send(&mut outbox), [] as [i64; 0]);
        assert_eq!((outbox.is_empty(), outbox.take_lost()), (true, 1));
    }
}
