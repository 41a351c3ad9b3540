//! Recent points in memory: for each host and slot one column of times and a column of values for each series.
//!
//! Values with few decimals are kept as whole numbers of 32 bits, which is exact and half the size.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::chunk::Block;
use super::decimal::{MAX_SCALE, power_of_ten, scale_of, scaled, unscaled};
use crate::domain::report::{Point, SeriesKey};
use crate::domain::tier::{SLOT_SECONDS, slot_of, slot_start};

/// Stands for a value that is not there.
const GAP: i32 = i32::MIN;

/// A map whose keys nobody outside chooses, or only for a map of their own: quicker than one that must withstand that.
pub type QuickMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What is in memory of one host.
#[derive(Debug, Default)]
pub struct HostHead {
    last_received_at: Option<i64>,
    keys: Vec<Arc<SeriesKey>>,
    numbers: QuickMap<Arc<SeriesKey>, u32>,
    /// How the last report spelled its series, and their numbers.
    spelled: Option<(Box<str>, Arc<[u32]>)>,
    latest: Vec<Option<(i64, f64)>>,
    newest_at: Option<i64>,
    late: Late,
    slots: BTreeMap<u32, Slot>,
    cells: usize,
}

/// Points that did not come in after all others, as those of a backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// How many moments, since the start.
    pub count: u64,
    /// The newest of them, Unix seconds.
    pub newest_at: i64,
}

/// The points of one slot.
#[derive(Debug, Default)]
struct Slot {
    /// Seconds from the slot's start, rising.
    times: Vec<u16>,
    /// By series number; a column may be shorter than `times`, and what is missing at its end is not there.
    columns: Vec<Column>,
    /// Everything of this slot is here; otherwise some may be sealed and not loaded.
    is_complete: bool,
    /// Has something that is not sealed.
    is_dirty: bool,
    /// Rises with each change, so that sealing notices what came in meanwhile.
    version: u64,
}

/// Values of one series.
#[derive(Debug)]
enum Column {
    /// Whole numbers at a decimal scale.
    Whole(u8, Vec<i32>),
    /// What no scale takes; `NaN` is a gap, which no stored value is.
    Plain(Vec<f64>),
}

/// A slot as it was when it was looked at.
#[derive(Debug)]
pub struct SlotCopy {
    /// Its points.
    pub block: Block,
    /// Whether everything of the slot is in it.
    pub is_complete: bool,
    /// Has something that is not sealed.
    pub is_dirty: bool,
    /// For [`HostHead::drop_slot`].
    pub version: u64,
}

impl HostHead {
    /// The series with their numbers being their positions.
    pub fn keys(&self) -> &[Arc<SeriesKey>] {
        &self.keys
    }

    /// The number of a series.
    pub fn number(&self, key: &SeriesKey) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// Makes the next series known; one that is known keeps its number.
    pub fn add_series(&mut self, key: Arc<SeriesKey>) -> u32 {
        if let Some(number) = self.number(&key) {
            return number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.numbers.insert(Arc::clone(&key), number);
        self.keys.push(key);
        self.latest.push(None);
        number
    }

    /// Numbers of series that the last report spelled in just this way.
    pub fn known_columns(&self, spelled: &str) -> Option<Arc<[u32]>> {
        let (known, numbers) = self.spelled.as_ref()?;
        (known.as_ref() == spelled).then(|| Arc::clone(numbers))
    }

    /// Keeps how a report spelled its series.
    pub fn know_columns(&mut self, spelled: Box<str>, numbers: Arc<[u32]>) {
        self.spelled = Some((spelled, numbers));
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

    /// The newest moment of which there is any point, Unix seconds.
    pub fn newest_at(&self) -> Option<i64> {
        self.newest_at
    }

    /// What came in late.
    pub fn late(&self) -> Late {
        self.late
    }

    /// Adds what is in memory of `series` after a moment, in the order of time, to the samples of each.
    pub fn read_after(&self, after: i64, series: &[u32], samples: &mut [Vec<(i64, f64)>]) {
        for (number, slot) in self.slots.range(slot_of(after + 1)..) {
            let start = slot_start(*number);
            let first = slot
                .times
                .partition_point(|time| start + i64::from(*time) <= after);
            for (series, samples) in series.iter().zip(samples.iter_mut()) {
                let Some(column) = slot.columns.get(*series as usize) else {
                    continue;
                };
                let times = slot.times.iter().enumerate().skip(first);
                samples.extend(times.filter_map(|(index, time)| {
                    let value = column.get(index)?;
                    Some((start + i64::from(*time), value))
                }));
            }
        }
    }

    /// Notes a point as the latest of its series, if it is.
    pub fn note_latest(&mut self, series: u32, at: i64, value: f64) {
        self.newest_at = self.newest_at.max(Some(at));
        if let Some(latest) = self.latest.get_mut(series as usize)
            && latest.is_none_or(|(known, _)| at > known)
        {
            *latest = Some((at, value));
        }
    }

    /// Whether a slot is here with everything that was ever stored of it.
    pub fn is_complete(&self, slot: u32) -> bool {
        self.slots.get(&slot).is_some_and(|slot| slot.is_complete)
    }

    /// Whether anything of a slot is here.
    pub fn has_slot(&self, slot: u32) -> bool {
        self.slots.contains_key(&slot)
    }

    /// Makes a slot complete with what is sealed of it; of two values the sealed one stays.
    pub fn load(&mut self, slot: u32, sealed: &Block) {
        let before = self.slots.remove(&slot).unwrap_or_default();
        self.cells -= before.cells();
        let mut loaded = Slot {
            version: before.version + 1,
            is_dirty: before.is_dirty,
            is_complete: true,
            ..Slot::default()
        };
        for block in [sealed, &before.block(slot)] {
            for (index, at) in block.times.iter().enumerate() {
                let position = loaded.row(offset(*at));
                for (series, values) in &block.columns {
                    if let Some(value) = values.get(index).filter(|value| !value.is_nan()) {
                        loaded.set(*series as usize, position, *value);
                    }
                }
            }
        }
        self.cells += loaded.cells();
        self.slots.insert(slot, loaded);
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
        value.is_some()
    }

    /// Adds one moment: a value or nothing for each of `series`. What is there already stays. `sealed_through` is the
    /// last slot of which anything is sealed: one after it is complete from its first point on.
    pub fn insert(&mut self, series: &[u32], point: &Point, sealed_through: Option<u32>) {
        let number = slot_of(point.at);
        let slot = self.slots.entry(number).or_insert_with(|| Slot {
            is_complete: sealed_through.is_none_or(|sealed| number > sealed),
            ..Slot::default()
        });
        let cells = slot.cells();
        let position = slot.row(offset(point.at));
        slot.is_dirty = true;
        slot.version += 1;
        let mut is_new = false;
        for (number, value) in series.iter().zip(&point.values) {
            let Some(value) = value else { continue };
            let is_set = slot.set(*number as usize, position, *value);
            is_new |= is_set;
            if is_set
                && let Some(latest) = self.latest.get_mut(*number as usize)
                && latest.is_none_or(|(at, _)| point.at > at)
            {
                *latest = Some((point.at, *value));
            }
        }
        self.cells += slot.cells() - cells;
        if is_new && self.newest_at >= Some(point.at) {
            self.late.count += 1;
            self.late.newest_at = self.late.newest_at.max(point.at);
        } else if is_new {
            self.newest_at = Some(point.at);
        }
    }

    /// The slots of a range that are here, and whether each is complete.
    pub fn slots(&self, from: i64, to: i64) -> impl Iterator<Item = (u32, bool)> + '_ {
        let range = if from < to {
            slot_of(from)..slot_of(to - 1) + 1
        } else {
            0..0
        };
        self.slots
            .range(range)
            .map(|(number, slot)| (*number, slot.is_complete))
    }

    /// Calls `each` with the points of a series in one slot and `[from, to)`, in the order of time.
    pub fn read_slot(
        &self,
        number: u32,
        series: u32,
        range: &Range<i64>,
        mut each: impl FnMut(i64, f64),
    ) {
        let Some(slot) = self.slots.get(&number) else {
            return;
        };
        let Some(column) = slot.columns.get(series as usize) else {
            return;
        };
        let start = slot_start(number);
        let first = slot
            .times
            .partition_point(|time| start + i64::from(*time) < range.start);
        for (index, time) in slot.times.iter().enumerate().skip(first) {
            let at = start + i64::from(*time);
            if at >= range.end {
                break;
            }
            if let Some(value) = column.get(index) {
                each(at, value);
            }
        }
    }

    /// A slot to be sealed.
    pub fn copy_slot(&self, number: u32) -> Option<SlotCopy> {
        self.slots.get(&number).map(|slot| SlotCopy {
            block: slot.block(number),
            is_complete: slot.is_complete,
            is_dirty: slot.is_dirty,
            version: slot.version,
        })
    }

    /// Forgets a slot that was sealed, unless it has changed since it was copied.
    pub fn drop_slot(&mut self, number: u32, version: u64) {
        if self
            .slots
            .get(&number)
            .is_some_and(|slot| slot.version == version)
            && let Some(slot) = self.slots.remove(&number)
        {
            self.cells -= slot.cells();
        }
    }

    /// Forgets slots that were loaded and then not changed.
    pub fn drop_clean(&mut self) {
        let cells = &mut self.cells;
        self.slots.retain(|_, slot| {
            if !slot.is_dirty {
                *cells -= slot.cells();
            }
            slot.is_dirty
        });
    }

    /// Number of values in memory, gaps included.
    pub fn cells(&self) -> usize {
        self.cells
    }
}

fn offset(at: i64) -> u16 {
    u16::try_from(at.rem_euclid(SLOT_SECONDS)).unwrap_or_default()
}

impl Slot {
    fn find(&self, at: i64) -> Option<usize> {
        self.times.binary_search(&offset(at)).ok()
    }

    fn cells(&self) -> usize {
        self.columns.iter().map(Column::len).sum()
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
                for column in &mut self.columns {
                    column.open_gap(position);
                }
                position
            }
        }
    }

    /// Sets a value unless one is there; says whether it did.
    fn set(&mut self, series: usize, position: usize, value: f64) -> bool {
        if self.columns.len() <= series {
            self.columns
                .resize_with(series + 1, || Column::Whole(0, Vec::new()));
        }
        self.columns
            .get_mut(series)
            .is_some_and(|column| column.set(position, value))
    }

    fn block(&self, number: u32) -> Block {
        let start = slot_start(number);
        let columns = (0..)
            .zip(&self.columns)
            .filter(|(_, column)| column.len() > 0);
        Block {
            times: self
                .times
                .iter()
                .map(|time| start + i64::from(*time))
                .collect(),
            columns: columns
                .map(|(series, column)| {
                    let values = 0..self.times.len();
                    let values = values.map(|index| column.get(index).unwrap_or(f64::NAN));
                    (series, values.collect())
                })
                .collect(),
        }
    }
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Whole(_, values) => values.len(),
            Self::Plain(values) => values.len(),
        }
    }

    fn get(&self, position: usize) -> Option<f64> {
        match self {
            Self::Whole(scale, values) => values
                .get(position)
                .filter(|whole| **whole != GAP)
                .map(|whole| unscaled(i64::from(*whole), *scale)),
            Self::Plain(values) => values
                .get(position)
                .copied()
                .filter(|value| !value.is_nan()),
        }
    }

    /// A row was put in between.
    fn open_gap(&mut self, position: usize) {
        if self.len() <= position {
            return;
        }
        match self {
            Self::Whole(_, values) => values.insert(position, GAP),
            Self::Plain(values) => values.insert(position, f64::NAN),
        }
    }

    fn set(&mut self, position: usize, value: f64) -> bool {
        if self.get(position).is_some() {
            return false;
        }
        match self {
            Self::Whole(scale, values) => match narrow(value, *scale) {
                Some(whole) => place(values, position, whole, GAP),
                None => {
                    self.make_room_for(value);
                    return self.set(position, value);
                }
            },
            Self::Plain(values) => place(values, position, value, f64::NAN),
        }
        true
    }

    /// Goes to a scale that takes the value too, or to plain numbers.
    fn make_room_for(&mut self, value: f64) {
        let Self::Whole(scale, values) = self else {
            return;
        };
        let wider = scale_of(value, *scale).filter(|wider| narrow(value, *wider).is_some());
        let rescaled = wider.and_then(|wider| {
            let factor = power_of_ten(wider.min(MAX_SCALE) - *scale);
            let rescale = |whole: &i32| {
                if *whole == GAP {
                    return Some(GAP);
                }
                let whole = i32::try_from(i64::from(*whole) * factor).ok();
                whole.filter(|whole| *whole != GAP)
            };
            let values: Option<Vec<i32>> = values.iter().map(rescale).collect();
            Some((wider, values?))
        });
        *self = match rescaled {
            Some((scale, values)) => Self::Whole(scale, values),
            None => Self::Plain(
                (0..values.len())
                    .map(|position| self.get(position).unwrap_or(f64::NAN))
                    .collect(),
            ),
        };
    }
}

fn narrow(value: f64, scale: u8) -> Option<i32> {
    let whole = scaled(value, scale).and_then(|whole| i32::try_from(whole).ok());
    whole.filter(|whole| *whole != GAP)
}

fn place<T: Copy>(values: &mut Vec<T>, position: usize, value: T, gap: T) {
    if values.len() <= position {
        values.resize(position, gap);
        values.push(value);
    } else if let Some(cell) = values.get_mut(position) {
        *cell = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(metric: &str) -> Arc<SeriesKey> {
        Arc::new(SeriesKey {
            metric: metric.to_owned(),
            instance: None,
        })
    }

    fn read(head: &HostHead, series: u32, from: i64, to: i64) -> Vec<(i64, f64)> {
        let mut points = Vec::new();
        for (slot, _) in head.slots(from, to) {
            head.read_slot(slot, series, &(from..to), |at, value| {
                points.push((at, value));
            });
        }
        points
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
            None,
        );
        head.insert(
            &series,
            &Point {
                at: 100,
                values: vec![Some(2.0), Some(3.0)],
            },
            None,
        );
        assert_eq!(read(&head, 0, 0, 1000), [(100, 1.0)]);
        assert_eq!(read(&head, 1, 0, 1000), [(100, 3.0)]);
        assert!(head.contains(0, 100) && head.contains(1, 100) && !head.contains(0, 101));
        assert_eq!(head.latest(0), Some((100, 1.0)));
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-50_i32..50).prop_map(f64::from),
            (-90_000_i32..90_000).prop_map(|whole| f64::from(whole) / 100.0),
            prop::num::f64::NORMAL,
            Just(-0.0),
            Just(21_474_836.48),
        ]
    }

    fn bits(points: &[(i64, f64)]) -> Vec<(i64, u64)> {
        points
            .iter()
            .map(|(at, value)| (*at, value.to_bits()))
            .collect()
    }

    #[test]
    fn what_comes_in_while_a_slot_is_sealed_stays() {
        let mut head = HostHead::default();
        head.add_series(key("a"));
        let point = |at, value| Point {
            at,
            values: vec![Some(value)],
        };
        head.insert(&[0], &point(100, 1.0), Some(0));
        assert!(!head.is_complete(0), "something of the slot may be sealed");
        let copy = head.copy_slot(0).unwrap();
        head.insert(&[0], &point(130, 2.5), Some(0));
        head.drop_slot(0, copy.version);
        assert!(head.contains(0, 130));
        let sealed = Block {
            times: vec![70, 130],
            columns: vec![(0, vec![7.0, 8.0])],
        };
        head.load(0, &sealed);
        let points = read(&head, 0, 0, 1000);
        assert_eq!(points, [(70, 7.0), (100, 1.0), (130, 8.0)]);
        assert!(head.is_complete(0) && head.copy_slot(0).unwrap().is_dirty);
    }

    proptest! {
        /// Whatever the order of arrival, a head reads like a sorted map in which the first insert wins.
        #[test]
        fn reads_like_a_map(points in prop::collection::vec((0_i64..30_000, 0_u32..3, any_value()), 0..300), from in 0_i64..30_000, length in 0_i64..30_000) {
            let mut head = HostHead::default();
            for metric in ["a", "b", "c"] {
                head.add_series(key(metric));
            }
            let mut model: BTreeMap<(u32, i64), f64> = BTreeMap::new();
            for (at, series, value) in points {
                prop_assert_eq!(head.contains(series, at), model.contains_key(&(series, at)));
                model.entry((series, at)).or_insert(value);
                head.insert(&[series], &Point { at, values: vec![Some(value)] }, None);
            }
            for series in 0..3 {
                let read = read(&head, series, from, from + length);
                let expected: Vec<(i64, f64)> =
                    model.range((series, from)..(series, from + length)).map(|((_, at), value)| (*at, *value)).collect();
                prop_assert_eq!(bits(&read), bits(&expected));
                let latest = model.range((series, i64::MIN)..=(series, i64::MAX)).next_back().map(|((_, at), value)| (*at, *value));
                prop_assert_eq!(head.latest(series), latest);
            }
            let counted: usize = head.slots.values().map(Slot::cells).sum();
            prop_assert_eq!(head.cells(), counted);
            // A slot that is taken out, sealed and loaded again is the same.
            let slots: Vec<u32> = head.slots(0, 30_000).map(|(slot, _)| slot).collect();
            for slot in slots {
                let copy = head.copy_slot(slot).unwrap();
                head.drop_slot(slot, copy.version);
                prop_assert!(head.copy_slot(slot).is_none());
                head.load(slot, &copy.block);
                let back = head.copy_slot(slot).unwrap();
                prop_assert!(back.is_complete && !back.is_dirty);
                prop_assert_eq!(back.block.points(), copy.block.points());
            }
            let left = read(&head, 0, 0, 30_000);
            let expected: Vec<(i64, f64)> =
                model.range((0, 0)..(1, 0)).map(|((_, at), value)| (*at, *value)).collect();
            prop_assert_eq!(bits(&left), bits(&expected));
            head.drop_clean();
            prop_assert!(head.cells() == 0 && head.slots.is_empty());
        }
    }
}
