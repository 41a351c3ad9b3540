//! Reading: head, slots, days and tiers together, each moment from one of them, and the first stored value winning.
//!
//! A reading walks the slots and days of its range once for all its hosts, so that its memory does not grow with what
//! it reads. A slot that is whole in the head is taken from there. One with a row is taken from it; one without, from
//! its day. Where buckets are enough, those of a tier stand for the points of a day.

use std::collections::{HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::rollup::read_buckets;
use super::units::Units;
use super::{SeriesStore, Shared, unit_start};
use crate::domain::series::Summary;
use crate::domain::tier::{
    SLOT_SECONDS, SLOTS_PER_DAY, Tier, day_of, day_of_slot, day_start, slot_of, slot_start,
};
use crate::store::chunk::Row;
use crate::store::kv::{KvError, Read, Table};
use crate::store::row;
use crate::store::varint::DecodeError;

/// Above this share of hosts a unit is walked as a whole instead of asked host by host.
const WALK_SHARE: usize = 8;

/// A host and its series, by number.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The host's number.
    pub host: u32,
    /// Numbers of its series.
    pub series: Vec<u32>,
}

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// From which hosts, in the order of their numbers.
    pub hosts: Vec<Wanted>,
    /// First moment, Unix seconds, inclusive.
    pub from: i64,
    /// Last moment, Unix seconds, exclusive.
    pub to: i64,
    /// Buckets begin at multiples of so many seconds, and points that lie in one may be given together; `None` for
    /// every point by itself.
    pub step: Option<i64>,
}

/// A part of what was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fragment {
    /// One point: Unix seconds and value.
    Point(i64, f64),
    /// Points of one bucket: a moment of it, and what they are together.
    Summary(i64, Summary),
}

/// Points of a slot that are in the head, beside others that may be sealed: by position of the series.
type Partial = Vec<Vec<(i64, f64)>>;

struct Walk<'a, F> {
    shared: &'a Shared,
    reading: &'a Reading,
    /// As they were after the heads were looked at: what left a head since is in there.
    units: Arc<Units>,
    /// Days and hosts whose tiers are not current, as they were then.
    unrolled: HashSet<(u32, u32)>,
    /// Position of each host among those asked for.
    positions: HashMap<u32, usize>,
    /// Position of the host and slot: given already.
    done: HashSet<(usize, u32)>,
    partial: HashMap<(usize, u32), Partial>,
    /// Position of the host and day → the part of the day that a tier gave.
    covered: HashMap<(usize, u32), Range<i64>>,
    /// Called with the positions of host and series, and a part of what was read.
    each: F,
}

impl SeriesStore {
    /// Calls `each` with the positions of host and series in the reading and a part of what was asked for, in no
    /// particular order. Blocks: for use off the async threads.
    ///
    /// # Errors
    /// The engine's, and the first that `each` gives.
    pub fn read<E: From<KvError>>(
        &self,
        reading: &Reading,
        each: impl FnMut(usize, usize, Fragment) -> Result<(), E>,
    ) -> Result<(), E> {
        if reading.from >= reading.to {
            return Ok(());
        }
        let hosts = reading.hosts.iter().enumerate();
        let mut walk = Walk {
            shared: &self.shared,
            reading,
            units: Arc::default(),
            unrolled: HashSet::new(),
            positions: hosts
                .map(|(position, wanted)| (wanted.host, position))
                .collect(),
            done: HashSet::new(),
            partial: HashMap::new(),
            covered: HashMap::new(),
            each,
        };
        walk.heads()?;
        walk.units = Arc::clone(&self.shared.units.read());
        walk.unrolled = {
            let unrolled = self.shared.unrolled.read();
            let days = (day_of(reading.from), 0)..=(day_of(reading.to - 1), u32::MAX);
            unrolled.range(days).copied().collect()
        };
        let reads = walk.plan();
        self.shared.visit_rows(&reads, |table, assembled| {
            walk.row(table, assembled.unit, assembled.host, assembled.bytes)
        })?;
        walk.rest()
    }
}

impl<'a, E: From<KvError>, F: FnMut(usize, usize, Fragment) -> Result<(), E>> Walk<'a, F> {
    fn range(&self) -> Range<i64> {
        self.reading.from..self.reading.to
    }

    /// Gives what is whole in memory, and keeps aside what must be merged with what is sealed.
    fn heads(&mut self) -> Result<(), E> {
        let range = self.range();
        let mut points = Vec::new();
        for (position, wanted) in self.reading.hosts.iter().enumerate() {
            let Some(head) = self.shared.heads.read().get(&wanted.host).cloned() else {
                continue;
            };
            let head = head.read();
            for (slot, is_complete) in head.slots(range.start, range.end) {
                let mut partial = Partial::new();
                for (index, series) in wanted.series.iter().enumerate() {
                    points.clear();
                    head.read_slot(slot, *series, &range, |at, value| points.push((at, value)));
                    if is_complete {
                        for (at, value) in &points {
                            (self.each)(position, index, Fragment::Point(*at, *value))?;
                        }
                    } else {
                        partial.push(points.clone());
                    }
                }
                if is_complete {
                    self.done.insert((position, slot));
                } else {
                    self.partial.insert((position, slot), partial);
                }
            }
        }
        Ok(())
    }

    /// What is to be read on disk, in the order in which it must be given: slots, then of each day its tier and its
    /// points.
    fn plan(&self) -> Vec<Read> {
        let range = self.range();
        let units = &self.units;
        let mut reads = Vec::new();
        let (first, last) = (slot_of(range.start), slot_of(range.end - 1));
        let mut days_with_slots = HashSet::new();
        for slot in units.range(Table::Slots, first, last) {
            if !self.all_done(slot..=slot) {
                self.add(&mut reads, Table::Slots, slot);
                days_with_slots.insert(day_of_slot(slot));
            }
        }
        // Days of which there is anything, so that a range of centuries costs nothing.
        let mut days: Vec<u32> = [Table::Days, Table::FiveMinutes, Table::Hours]
            .into_iter()
            .flat_map(|table| units.range(table, day_of(range.start), day_of(range.end - 1)))
            .chain(days_with_slots.iter().copied())
            .collect();
        days.sort_unstable();
        days.dedup();
        for day in days {
            let slots = day * SLOTS_PER_DAY..=day * SLOTS_PER_DAY + SLOTS_PER_DAY - 1;
            if self.all_done(first.max(*slots.start())..=last.min(*slots.end())) {
                continue;
            }
            let tier = self.tier(day);
            if let Some(tier) = tier {
                self.add(&mut reads, table_of(tier), day);
            }
            // Slots that were there a moment ago may be in their day by now.
            let may_move = days_with_slots.contains(&day);
            if may_move || (units.contains(Table::Days, day) && self.needs_points(day, tier)) {
                self.add(&mut reads, Table::Days, day);
            }
        }
        reads
    }

    /// Whether every host's part of these slots was given from memory.
    fn all_done(&self, slots: RangeInclusive<u32>) -> bool {
        slots.into_iter().all(|slot| {
            let mut positions = 0..self.reading.hosts.len();
            positions.all(|position| self.done.contains(&(position, slot)))
        })
    }

    /// The tier whose buckets may stand for a day: the coarsest that lies within the buckets asked for, or, where the
    /// points are gone, the finest there is.
    fn tier(&self, day: u32) -> Option<Tier> {
        let step = self.reading.step?;
        let is_there = |tier: &Tier| self.units.contains(table_of(*tier), day);
        let lies_within = |tier: &Tier| step == i64::MAX || step % tier.step_seconds() == 0;
        let fitting = [Tier::Hour, Tier::FiveMinutes]
            .into_iter()
            .find(|tier| lies_within(tier) && is_there(tier));
        if fitting.is_some() || self.units.contains(Table::Days, day) {
            return fitting;
        }
        [Tier::FiveMinutes, Tier::Hour].into_iter().find(is_there)
    }

    /// The part of a day that the buckets of a tier give: whole buckets, but where the points are gone also those
    /// that begin or end outside the range.
    fn covered_by(&self, day: u32, tier: Tier) -> Range<i64> {
        let range = self.range();
        let (start, end) = (day_start(day), day_start(day + 1));
        let step = tier.step_seconds();
        if !self.units.contains(Table::Days, day) {
            return start.max(range.start.div_euclid(step) * step)..end.min(range.end);
        }
        let first = -(-range.start.max(start)).div_euclid(step) * step;
        let last = range.end.min(end).div_euclid(step) * step;
        first..last.max(first)
    }

    /// Whether something of a day is not given by its tier.
    fn needs_points(&self, day: u32, tier: Option<Tier>) -> bool {
        let Some(tier) = tier else { return true };
        let range = self.range();
        let asked = range.start.max(day_start(day))..range.end.min(day_start(day + 1));
        self.covered_by(day, tier) != asked
            || self.unrolled.iter().any(|(unrolled, _)| *unrolled == day)
            || self
                .partial
                .keys()
                .any(|(_, slot)| slot / SLOTS_PER_DAY == day)
    }

    fn add(&self, reads: &mut Vec<Read>, table: Table, unit: u32) {
        let hosts = &self.reading.hosts;
        let all = self.shared.heads.read().len();
        if hosts.len() > 1 && hosts.len() * WALK_SHARE >= all {
            let numbers = || hosts.iter().map(|wanted| wanted.host);
            let (first, last) = (numbers().min(), numbers().max());
            reads.push(Read {
                table,
                range: row::range(unit, first.unwrap_or_default()).start
                    ..row::range(unit, last.unwrap_or(u32::MAX)).end,
            });
        } else {
            reads.extend(hosts.iter().map(|wanted| Read {
                table,
                range: row::range(unit, wanted.host),
            }));
        }
    }

    fn row(&mut self, table: Table, unit: u32, host: u32, bytes: &[u8]) -> Result<(), E> {
        let Some(position) = self.positions.get(&host).copied() else {
            return Ok(());
        };
        let damaged = |error: DecodeError| E::from(KvError::from(error));
        match table {
            Table::Slots => {
                if !self.done.contains(&(position, unit)) {
                    let row = Row::read(bytes, unit_start(table, unit)).map_err(damaged)?;
                    let whole = slot_start(unit)..slot_start(unit) + SLOT_SECONDS;
                    self.points(position, &row, std::slice::from_ref(&whole))?;
                    self.done.insert((position, unit));
                }
                Ok(())
            }
            Table::Days => self.day(position, unit, bytes),
            _ => {
                let has_partial = || {
                    let mut keys = self.partial.keys();
                    keys.any(|(of, slot)| *of == position && slot / SLOTS_PER_DAY == unit)
                };
                if self.unrolled.contains(&(unit, host)) || has_partial() {
                    return Ok(());
                }
                let tier = if table == Table::Hours {
                    Tier::Hour
                } else {
                    Tier::FiveMinutes
                };
                let row = Row::read(bytes, unit_start(table, unit)).map_err(damaged)?;
                self.buckets(position, unit, tier, &row)
            }
        }
    }

    /// Gives the buckets of a tier, but for slots that were given.
    fn buckets(&mut self, position: usize, day: u32, tier: Tier, row: &Row<'_>) -> Result<(), E> {
        let covered = self.covered_by(day, tier);
        let from = self.reading.from;
        for (index, series) in self.series_of(position).iter().enumerate() {
            let mut buckets = Vec::new();
            read_buckets(row, *series, tier, &covered, |start, summary| {
                buckets.push((start, summary));
            })
            .map_err(KvError::from)?;
            for (start, summary) in buckets {
                if !self.done.contains(&(position, slot_of(start))) {
                    (self.each)(position, index, Fragment::Summary(start.max(from), summary))?;
                }
            }
        }
        self.covered.insert((position, day), covered);
        Ok(())
    }

    /// Gives the points of a day, but for what its slots and its tier gave.
    fn day(&mut self, position: usize, day: u32, bytes: &[u8]) -> Result<(), E> {
        let row = Row::read(bytes, day_start(day)).map_err(KvError::from)?;
        let covered = self.covered.get(&(position, day)).cloned();
        let mut parts: Vec<Range<i64>> = Vec::new();
        let mut add = |part: Range<i64>| {
            if part.is_empty() {
                return;
            }
            match parts.last_mut().filter(|last| last.end == part.start) {
                Some(last) => last.end = part.end,
                None => parts.push(part),
            }
        };
        let first = day * SLOTS_PER_DAY;
        for slot in first..first + SLOTS_PER_DAY {
            if self.done.contains(&(position, slot)) {
                continue;
            }
            let (start, end) = (slot_start(slot), slot_start(slot + 1));
            match &covered {
                Some(covered) => {
                    add(start..end.min(covered.start));
                    add(start.max(covered.end)..end);
                }
                None => add(start..end),
            }
        }
        self.points(position, &row, &parts)
    }

    /// Gives a row's points within some parts of it, and with them what the head has of the same slots.
    fn points(&mut self, position: usize, row: &Row<'_>, parts: &[Range<i64>]) -> Result<(), E> {
        let range = self.range();
        let parts: Vec<Range<i64>> = parts
            .iter()
            .map(|part| part.start.max(range.start)..part.end.min(range.end))
            .filter(|part| !part.is_empty())
            .collect();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Ok(());
        };
        let hull = first.start..last.end;
        let partial: Vec<Partial> = (slot_of(hull.start)..=slot_of(hull.end - 1))
            .filter_map(|slot| {
                let partial = self.partial.remove(&(position, slot))?;
                self.done.insert((position, slot));
                Some(partial)
            })
            .collect();
        let summed = partial.is_empty() && self.lies_in_one_bucket(row, &parts);
        let mut sealed = Vec::new();
        for (index, series) in self.series_of(position).iter().enumerate() {
            if summed {
                if let Some(summary) = row.summary(*series).map_err(KvError::from)? {
                    let at = summary.last_at;
                    (self.each)(position, index, Fragment::Summary(at, summary))?;
                }
                continue;
            }
            sealed.clear();
            row.points(*series, hull.clone(), |at, value| sealed.push((at, value)))
                .map_err(KvError::from)?;
            if parts.len() > 1 {
                sealed.retain(|(at, _)| parts.iter().any(|part| part.contains(at)));
            }
            for (at, value) in &sealed {
                (self.each)(position, index, Fragment::Point(*at, *value))?;
            }
            let news = partial.iter().filter_map(|partial| partial.get(index));
            for (at, value) in news.flatten() {
                if sealed.binary_search_by_key(at, |(at, _)| *at).is_err() {
                    (self.each)(position, index, Fragment::Point(*at, *value))?;
                }
            }
        }
        Ok(())
    }

    /// Whether all of a row is asked for, and lies in one bucket: then its summary says enough.
    fn lies_in_one_bucket(&self, row: &Row<'_>, parts: &[Range<i64>]) -> bool {
        let (Some(step), Some((first, last))) = (self.reading.step, row.extent()) else {
            return false;
        };
        let [part] = parts else { return false };
        part.contains(&first)
            && part.contains(&last)
            && first.div_euclid(step) == last.div_euclid(step)
    }

    /// Gives what is in memory alone after all.
    fn rest(&mut self) -> Result<(), E> {
        for ((position, _), partial) in std::mem::take(&mut self.partial) {
            for (index, points) in partial.iter().enumerate() {
                for (at, value) in points {
                    (self.each)(position, index, Fragment::Point(*at, *value))?;
                }
            }
        }
        Ok(())
    }

    fn series_of(&self, position: usize) -> &'a [u32] {
        let wanted = self.reading.hosts.get(position);
        wanted.map_or(&[], |wanted| &wanted.series)
    }
}

fn table_of(tier: Tier) -> Table {
    match tier {
        Tier::Raw => Table::Days,
        Tier::FiveMinutes => Table::FiveMinutes,
        Tier::Hour => Table::Hours,
    }
}
