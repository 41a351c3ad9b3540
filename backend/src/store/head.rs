//! Recent points in memory: for each host and slot one column of times and a column of values for each series.

use std::collections::{BTreeMap, HashMap};

use super::chunk::{SLOT_SECONDS, slot_of, slot_start};
use crate::domain::report::{Point, SeriesKey};

/// What is in memory of one host.
#[derive(Debug, Default)]
pub struct HostHead {
    last_received_at: Option<i64>,
    keys: Vec<SeriesKey>,
    numbers: HashMap<SeriesKey, u32>,
    latest: Vec<Option<(i64, f64)>>,
    slots: BTreeMap<u32, Slot>,
}

/// The points of one slot. A value that is not there is `NaN`, which no stored value is.
#[derive(Debug, Default)]
struct Slot {
    /// Seconds from the slot's start, rising.
    times: Vec<u16>,
    /// By series number; a column may be shorter than `times`, and what is missing at its end is not there.
    columns: Vec<Vec<f64>>,
}

impl HostHead {
    /// The series with their numbers being their positions.
    pub fn keys(&self) -> &[SeriesKey] {
        &self.keys
    }

    /// The number of a series.
    pub fn number(&self, key: &SeriesKey) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// Makes the next series known; one that is known keeps its number.
    pub fn add_series(&mut self, key: SeriesKey) -> u32 {
        if let Some(number) = self.number(&key) {
            return number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.numbers.insert(key.clone(), number);
        self.keys.push(key);
        self.latest.push(None);
        number
    }

    /// When the last report came in, Unix seconds.
    pub fn last_received_at(&self) -> Option<i64> {
        self.last_received_at
    }

    /// Notes that a report came in.
    pub fn touch(&mut self, received_at: i64) {
        self.last_received_at = self.last_received_at.max(Some(received_at));
    }

    /// The latest point of a series.
    pub fn latest(&self, series: u32) -> Option<(i64, f64)> {
        self.latest.get(series as usize).copied().flatten()
    }

    /// Whether anything is there at a moment: almost always not, and then nothing at it can be a duplicate.
    pub fn has_row(&self, at: i64) -> bool {
        self.slots
            .get(&slot_of(at))
            .is_some_and(|slot| slot.find(at).is_some())
    }

    /// Whether a point is there.
    pub fn contains(&self, series: u32, at: i64) -> bool {
        let Some(slot) = self.slots.get(&slot_of(at)) else {
            return false;
        };
        let value = slot
            .find(at)
            .and_then(|position| slot.columns.get(series as usize)?.get(position));
        value.is_some_and(|value| !value.is_nan())
    }

    /// Adds one moment: a value or nothing for each of `series`. What is there already stays.
    pub fn insert(&mut self, series: &[u32], point: &Point) {
        let slot = self.slots.entry(slot_of(point.at)).or_default();
        let position = slot.row(offset(point.at));
        for (number, value) in series.iter().zip(&point.values) {
            let Some(value) = value else { continue };
            if slot.set(*number as usize, position, *value)
                && let Some(latest) = self.latest.get_mut(*number as usize)
                && latest.is_none_or(|(at, _)| point.at > at)
            {
                *latest = Some((point.at, *value));
            }
        }
    }

    /// Calls `each` with every point of a series in `[from, to)`, in the order of time.
    pub fn read(&self, series: u32, from: i64, to: i64, mut each: impl FnMut(i64, f64)) {
        if from >= to {
            return;
        }
        for (number, slot) in self.slots.range(slot_of(from)..=slot_of(to - 1)) {
            let start = slot_start(*number);
            let Some(column) = slot.columns.get(series as usize) else {
                continue;
            };
            let first = slot
                .times
                .partition_point(|time| start + i64::from(*time) < from);
            for (time, value) in slot.times.iter().zip(column).skip(first) {
                let at = start + i64::from(*time);
                if at >= to {
                    break;
                }
                if !value.is_nan() {
                    each(at, *value);
                }
            }
        }
    }

    /// Number of values in memory, gaps included.
    pub fn cells(&self) -> usize {
        self.slots
            .values()
            .flat_map(|slot| &slot.columns)
            .map(Vec::len)
            .sum()
    }

    /// Number of moments in memory.
    pub fn rows(&self) -> usize {
        self.slots.values().map(|slot| slot.times.len()).sum()
    }
}

fn offset(at: i64) -> u16 {
    u16::try_from(at.rem_euclid(SLOT_SECONDS)).unwrap_or_default()
}

impl Slot {
    fn find(&self, at: i64) -> Option<usize> {
        self.times.binary_search(&offset(at)).ok()
    }

    /// The position of a time, made if it is not there. Almost always it is the last.
    fn row(&mut self, time: u16) -> usize {
        if self.times.last().is_none_or(|last| *last < time) {
            self.times.push(time);
            return self.times.len() - 1;
        }
        match self.times.binary_search(&time) {
            Ok(position) => position,
            Err(position) => {
                self.times.insert(position, time);
                for column in self
                    .columns
                    .iter_mut()
                    .filter(|column| column.len() > position)
                {
                    column.insert(position, f64::NAN);
                }
                position
            }
        }
    }

    /// Sets a value unless one is there; says whether it did.
    fn set(&mut self, series: usize, position: usize, value: f64) -> bool {
        if self.columns.len() <= series {
            self.columns.resize_with(series + 1, Vec::new);
        }
        let Some(column) = self.columns.get_mut(series) else {
            return false;
        };
        if column.len() <= position {
            column.resize(position, f64::NAN);
            column.push(value);
            return true;
        }
        match column.get_mut(position) {
            Some(cell) if cell.is_nan() => {
                *cell = value;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(metric: &str) -> SeriesKey {
        SeriesKey {
            metric: metric.to_owned(),
            instance: None,
        }
    }

    #[test]
    fn the_first_stored_value_wins() {
        let mut head = HostHead::default();
        let series = [head.add_series(key("a")), head.add_series(key("b"))];
        head.insert(
            &series,
            &Point {
                at: 100,
                values: vec![Some(1.0), None],
            },
        );
        head.insert(
            &series,
            &Point {
                at: 100,
                values: vec![Some(2.0), Some(3.0)],
            },
        );
        let read = |series| {
            let mut points = Vec::new();
            head.read(series, 0, 1000, |at, value| points.push((at, value)));
            points
        };
        assert_eq!(read(0), [(100, 1.0)]);
        assert_eq!(read(1), [(100, 3.0)]);
        assert!(head.contains(0, 100) && head.contains(1, 100) && !head.contains(0, 101));
        assert_eq!(head.latest(0), Some((100, 1.0)));
    }

    proptest! {
        /// Whatever the order of arrival, a head reads like a sorted map in which the first insert wins.
        #[test]
        fn reads_like_a_map(points in prop::collection::vec((0_i64..30_000, 0_u32..3, -50_i32..50), 0..300), from in 0_i64..30_000, length in 0_i64..30_000) {
            let mut head = HostHead::default();
            for metric in ["a", "b", "c"] {
                head.add_series(key(metric));
            }
            let mut model: BTreeMap<(u32, i64), f64> = BTreeMap::new();
            for (at, series, value) in points {
                let value = f64::from(value);
                prop_assert_eq!(head.contains(series, at), model.contains_key(&(series, at)));
                model.entry((series, at)).or_insert(value);
                head.insert(&[series], &Point { at, values: vec![Some(value)] });
            }
            for series in 0..3 {
                let mut read = Vec::new();
                head.read(series, from, from + length, |at, value| read.push((at, value)));
                let expected: Vec<(i64, f64)> =
                    model.range((series, from)..(series, from + length)).map(|((_, at), value)| (*at, *value)).collect();
                prop_assert_eq!(read, expected);
                let latest = model.range((series, i64::MIN)..=(series, i64::MAX)).next_back().map(|((_, at), value)| (*at, *value));
                prop_assert_eq!(head.latest(series), latest);
            }
        }
    }
}
