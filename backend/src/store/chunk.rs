//! How sealed points are kept: a row for each host and slot or day, with one column of times that all series share.
//!
//! A row is `version, pco header, times, columns, directory (series, bytes)…, column…`. A column begins with a tag and
//! a summary (least, greatest, sum, last), so that averages and top lists decode nothing. Its values are whole numbers
//! after exact decimal scaling, less the least of them and as narrow as they fit, in [pco](https://docs.rs/pco); a
//! constant is its one value; what no scale takes is `f64`, also in pco. Every finite `f64` comes back bit for bit.

use std::ops::Range;

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};

use super::decimal::{MAX_SCALE, common_scale, scaled, unscaled};
use super::varint::{
    DecodeError, put_signed, put_unsigned, take, take_array, take_count, take_signed, take_u32,
    take_unsigned,
};
use crate::domain::series::Summary;

/// First byte of every row.
const VERSION: u8 = 1;
/// Whole numbers that lie further apart are kept as `f64`: sums of a day stay within 64 bits.
const MAX_RANGE: u64 = 1 << 48;
/// Columns with fewer values are also tried without pco, whose description of itself is then the larger part.
const SMALL_COLUMN: usize = 64;
/// Most moments of a row: a day at one a second, and as many again that arrived between.
const MAX_ROWS: usize = 2 * 86_400;

const KIND_CONSTANT: u8 = 0;
const KIND_PACKED: u8 = 1;
const KIND_DELTAS: u8 = 2;
const KIND_PLAIN: u8 = 3;
const KIND_MASK: u8 = 0b11;
const TAG_HAS_GAPS: u8 = 0b100;
const SCALE_SHIFT: u32 = 4;

/// How hard the encoder tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For slots, which are repacked within a day or two.
    Slot,
    /// For days, which stay for weeks.
    Day,
}

impl Effort {
    fn config(self) -> ChunkConfig {
        let level = match self {
            Self::Slot => 4,
            Self::Day => 8,
        };
        ChunkConfig::default().with_compression_level(level)
    }
}

/// Points of one host, decoded: columns over one list of times. A value that is not there is `NaN`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Unix seconds, rising.
    pub times: Vec<i64>,
    /// Series and its values, one for each time; series rise.
    pub columns: Vec<(u32, Vec<f64>)>,
}

impl Block {
    /// Both together; where both have a value, that of `self` stays.
    pub fn merge(self, other: Self) -> Self {
        if other.times.is_empty() {
            return self;
        }
        if self.times.is_empty() {
            return other;
        }
        let mut times: Vec<i64> = self.times.iter().chain(&other.times).copied().collect();
        times.sort_unstable();
        times.dedup();
        let mut series: Vec<u32> = self
            .columns
            .iter()
            .chain(&other.columns)
            .map(|(series, _)| *series)
            .collect();
        series.sort_unstable();
        series.dedup();
        let mut columns: Vec<(u32, Vec<f64>)> = series
            .iter()
            .map(|series| (*series, vec![f64::NAN; times.len()]))
            .collect();
        // The one that counts is written last.
        for block in [&other, &self] {
            let places: Vec<usize> = block
                .times
                .iter()
                .filter_map(|at| times.binary_search(at).ok())
                .collect();
            for (number, values) in &block.columns {
                let Some((_, column)) = series
                    .binary_search(number)
                    .ok()
                    .and_then(|index| columns.get_mut(index))
                else {
                    continue;
                };
                for (place, value) in places.iter().zip(values) {
                    if let Some(cell) = column.get_mut(*place)
                        && !value.is_nan()
                    {
                        *cell = *value;
                    }
                }
            }
        }
        Self { times, columns }
    }

    /// The part within `[from, to)`.
    pub fn cut(&self, range: Range<i64>) -> Self {
        let first = self.times.partition_point(|at| *at < range.start);
        let last = self.times.partition_point(|at| *at < range.end).max(first);
        Self {
            times: self.times.get(first..last).unwrap_or_default().to_vec(),
            columns: self
                .columns
                .iter()
                .map(|(series, values)| {
                    let part = values.get(first..last).unwrap_or_default();
                    (*series, part.to_vec())
                })
                .collect(),
        }
    }

    /// Number of values.
    pub fn points(&self) -> u64 {
        self.columns
            .iter()
            .map(|(_, values)| values.iter().filter(|value| !value.is_nan()).count() as u64)
            .sum()
    }
}

/// Writes a row; times are kept relative to `origin`. Columns without any value are left out.
pub fn encode(block: &Block, origin: i64, effort: Effort) -> Vec<u8> {
    let mut out = vec![VERSION];
    // Writing into memory cannot fail.
    drop(FileCompressor::default().write_header(&mut out));
    encode_times(&mut out, &block.times, origin);
    let columns: Vec<(u32, Vec<u8>)> = block
        .columns
        .iter()
        .filter_map(|(series, values)| Some((*series, encode_column(values, effort)?)))
        .collect();
    put_unsigned(&mut out, columns.len() as u64);
    let mut previous = 0;
    for (series, bytes) in &columns {
        put_unsigned(&mut out, u64::from(series - previous));
        put_unsigned(&mut out, bytes.len() as u64);
        previous = *series;
    }
    for (_, bytes) in &columns {
        out.extend_from_slice(bytes);
    }
    out
}

/// `count, first`, then the one step between all of them, or 0 and each difference.
fn encode_times(out: &mut Vec<u8>, times: &[i64], origin: i64) {
    put_unsigned(out, times.len() as u64);
    let Some(first) = times.first() else { return };
    put_signed(out, first - origin);
    let steps = || times.windows(2).map(|pair| pair[1] - pair[0]);
    let step = steps().next().unwrap_or(1);
    if steps().all(|other| other == step) {
        put_signed(out, step);
        return;
    }
    put_signed(out, 0);
    let steps: Vec<i64> = steps().collect();
    let mut deltas = Vec::new();
    steps.iter().for_each(|step| put_signed(&mut deltas, *step));
    let narrow: Option<Vec<u16>> = steps.iter().map(|step| u16::try_from(*step).ok()).collect();
    let packed = narrow.and_then(|steps| pack(&steps, Effort::Day));
    match packed.filter(|packed| packed.len() < deltas.len()) {
        Some(packed) => {
            out.push(KIND_PACKED);
            put_unsigned(out, packed.len() as u64);
            out.extend_from_slice(&packed);
        }
        None => {
            out.push(KIND_DELTAS);
            out.extend_from_slice(&deltas);
        }
    }
}

fn encode_column(values: &[f64], effort: Effort) -> Option<Vec<u8>> {
    let present: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| !value.is_nan())
        .collect();
    let last = *present.last()?;
    let gaps = if present.len() == values.len() {
        0
    } else {
        TAG_HAS_GAPS
    };
    let whole = common_scale(present.iter().copied()).and_then(|scale| {
        let whole: Option<Vec<i64>> = present.iter().map(|value| scaled(*value, scale)).collect();
        Some((scale, whole?))
    });
    let whole = whole.and_then(|(scale, whole)| {
        let (min, max) = (*whole.iter().min()?, *whole.iter().max()?);
        (min.abs_diff(max) < MAX_RANGE).then_some((scale, whole, min, max))
    });
    let mut out = Vec::new();
    let Some((scale, whole, min, max)) = whole else {
        out.push(KIND_PLAIN | gaps);
        put_gaps(&mut out, values, gaps);
        let least = present.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = present.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for number in [least, greatest, present.iter().sum(), last] {
            out.extend_from_slice(&f64::to_le_bytes(number));
        }
        out.extend(pack(&present, effort)?);
        return Some(out);
    };
    let tag = |kind| kind | gaps | scale << SCALE_SHIFT;
    if min == max {
        out.push(tag(KIND_CONSTANT));
        put_gaps(&mut out, values, gaps);
        put_signed(&mut out, min);
        return Some(out);
    }
    let above: Vec<u64> = whole.iter().map(|number| number.abs_diff(min)).collect();
    let packed = pack_narrow(&above, max.abs_diff(min), effort)?;
    let deltas = (above.len() < SMALL_COLUMN).then(|| {
        let mut deltas = Vec::new();
        let mut previous = 0;
        for number in &whole {
            put_signed(&mut deltas, number - min - previous);
            previous = number - min;
        }
        deltas
    });
    let (kind, body) = match deltas.filter(|deltas| deltas.len() < packed.len()) {
        Some(deltas) => (KIND_DELTAS, deltas),
        None => (KIND_PACKED, packed),
    };
    out.push(tag(kind));
    put_gaps(&mut out, values, gaps);
    put_signed(&mut out, min);
    put_unsigned(&mut out, max.abs_diff(min));
    put_unsigned(&mut out, above.iter().sum());
    put_unsigned(&mut out, *above.last()?);
    out.extend(body);
    Some(out)
}

/// Lengths of runs, of present and absent values in turn, beginning with present ones.
fn put_gaps(out: &mut Vec<u8>, values: &[f64], gaps: u8) {
    if gaps == 0 {
        return;
    }
    let mut runs = Vec::new();
    let mut is_present = true;
    let mut rest = values;
    while !rest.is_empty() {
        let length = rest
            .iter()
            .position(|value| value.is_nan() == is_present)
            .unwrap_or(rest.len());
        put_unsigned(&mut runs, length as u64);
        rest = rest.get(length..).unwrap_or_default();
        is_present = !is_present;
    }
    put_unsigned(out, runs.len() as u64);
    out.extend(runs);
}

/// The narrowest type that holds the greatest number: pco's description of itself is then the shortest.
fn pack_narrow(numbers: &[u64], greatest: u64, effort: Effort) -> Option<Vec<u8>> {
    if greatest <= u64::from(u16::MAX) {
        let narrow: Option<Vec<u16>> = numbers.iter().map(|n| u16::try_from(*n).ok()).collect();
        pack(&narrow?, effort)
    } else if greatest <= u64::from(u32::MAX) {
        let narrow: Option<Vec<u32>> = numbers.iter().map(|n| u32::try_from(*n).ok()).collect();
        pack(&narrow?, effort)
    } else {
        pack(numbers, effort)
    }
}

fn pack<T: Number>(numbers: &[T], effort: Effort) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut chunk = FileCompressor::default()
        .chunk_compressor(numbers, &effort.config())
        .ok()?;
    chunk.write_meta(&mut out).ok()?;
    for page in 0..chunk.n_per_page().len() {
        chunk.write_page(page, &mut out).ok()?;
    }
    Some(out)
}

fn unpack<T: Number + Default>(
    header: &[u8],
    bytes: &[u8],
    count: usize,
) -> Result<Vec<T>, DecodeError> {
    let damaged = |_| DecodeError::Damaged;
    let (file, _) = FileDecompressor::new(header).map_err(damaged)?;
    let (mut chunk, bytes) = file.chunk_decompressor::<T, _>(bytes).map_err(damaged)?;
    let mut numbers = vec![T::default(); count];
    let progress = chunk
        .page_decompressor(bytes, count)
        .and_then(|mut page| page.read(&mut numbers))
        .map_err(damaged)?;
    if progress.n_processed == count {
        Ok(numbers)
    } else {
        Err(DecodeError::Short)
    }
}

/// The times of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Times {
    Regular { first: i64, step: i64, count: usize },
    Listed(Vec<i64>),
}

impl Times {
    fn len(&self) -> usize {
        match self {
            Self::Regular { count, .. } => *count,
            Self::Listed(times) => times.len(),
        }
    }

    fn at(&self, index: usize) -> i64 {
        match self {
            Self::Regular { first, step, .. } => {
                first + step * i64::try_from(index).unwrap_or_default()
            }
            Self::Listed(times) => times.get(index).copied().unwrap_or_default(),
        }
    }

    /// The positions of the moments within a range.
    fn rows(&self, range: Range<i64>) -> Range<usize> {
        let below = |limit: i64| match self {
            // Rounded up: the first position that is not below the limit.
            Self::Regular { first, step, count } => {
                let steps = limit
                    .saturating_sub(*first)
                    .saturating_add(step - 1)
                    .div_euclid(*step);
                usize::try_from(steps.max(0))
                    .unwrap_or(usize::MAX)
                    .min(*count)
            }
            Self::Listed(times) => times.partition_point(|at| *at < limit),
        };
        let first = below(range.start);
        first..below(range.end).max(first)
    }
}

/// A row as it is kept, with its directory read.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    header: &'a [u8],
    times: Times,
    columns: Vec<(u32, &'a [u8])>,
}

impl<'a> Row<'a> {
    /// Reads times and directory; columns are decoded when they are asked for.
    ///
    /// # Errors
    /// When the bytes are not what [`encode`] wrote.
    pub fn read(mut bytes: &'a [u8], origin: i64) -> Result<Self, DecodeError> {
        let [version] = take_array(&mut bytes)?;
        if version != VERSION {
            return Err(DecodeError::Damaged);
        }
        let (_, rest) = FileDecompressor::new(bytes).map_err(|_| DecodeError::Damaged)?;
        let header_length = bytes.len() - rest.len();
        let header = take(&mut bytes, header_length)?;
        let times = read_times(&mut bytes, header, origin)?;
        let count = take_count(&mut bytes)?;
        let mut series = 0_u32;
        let directory: Vec<(u32, usize)> = (0..count)
            .map(|_| {
                series = series
                    .checked_add(take_u32(&mut bytes)?)
                    .ok_or(DecodeError::Damaged)?;
                let length = usize::try_from(take_unsigned(&mut bytes)?);
                Ok((series, length.map_err(|_| DecodeError::Damaged)?))
            })
            .collect::<Result<_, _>>()?;
        let columns = directory
            .into_iter()
            .map(|(series, length)| Ok((series, take(&mut bytes, length)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            header,
            times,
            columns,
        })
    }

    /// The series that have a column, rising.
    pub fn series(&self) -> impl Iterator<Item = u32> + '_ {
        self.columns.iter().map(|(series, _)| *series)
    }

    /// First and last moment, Unix seconds; `None` for a row without any.
    pub fn extent(&self) -> Option<(i64, i64)> {
        let last = self.times.len().checked_sub(1)?;
        Some((self.times.at(0), self.times.at(last)))
    }

    fn column(&self, series: u32) -> Result<Option<Column<'a>>, DecodeError> {
        let found = self
            .columns
            .binary_search_by_key(&series, |(number, _)| *number)
            .ok()
            .and_then(|index| self.columns.get(index));
        found
            .map(|(_, bytes)| Column::read(bytes, self.times.len()))
            .transpose()
    }

    /// What a series' column says of its values; `None` when it has none.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn summary(&self, series: u32) -> Result<Option<Summary>, DecodeError> {
        let column = self.column(series)?;
        Ok(column.map(|column| column.summary(&self.times)))
    }

    /// Calls `each` with the points of a series in `[from, to)`, in the order of time.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn points(
        &self,
        series: u32,
        range: Range<i64>,
        mut each: impl FnMut(i64, f64),
    ) -> Result<(), DecodeError> {
        let Some(column) = self.column(series)? else {
            return Ok(());
        };
        let rows = self.times.rows(range);
        column.each(self.header, rows, |place, value| {
            each(self.times.at(place), value);
        })
    }

    /// All of it.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn block(&self) -> Result<Block, DecodeError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (series, bytes) in &self.columns {
            let column = Column::read(bytes, self.times.len())?;
            let mut values = vec![f64::NAN; self.times.len()];
            column.each(self.header, 0..self.times.len(), |place, value| {
                if let Some(cell) = values.get_mut(place) {
                    *cell = value;
                }
            })?;
            columns.push((*series, values));
        }
        Ok(Block {
            times: (0..self.times.len())
                .map(|index| self.times.at(index))
                .collect(),
            columns,
        })
    }

    /// Number of values.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn count(&self) -> Result<u64, DecodeError> {
        self.columns.iter().try_fold(0, |sum, (_, bytes)| {
            Ok(sum + Column::read(bytes, self.times.len())?.count as u64)
        })
    }
}

fn read_times(bytes: &mut &[u8], header: &[u8], origin: i64) -> Result<Times, DecodeError> {
    let count = usize::try_from(take_unsigned(bytes)?).map_err(|_| DecodeError::Damaged)?;
    if count > MAX_ROWS {
        return Err(DecodeError::Damaged);
    }
    if count == 0 {
        return Ok(Times::Listed(Vec::new()));
    }
    let first = origin
        .checked_add(take_signed(bytes)?)
        .ok_or(DecodeError::Damaged)?;
    let step = take_signed(bytes)?;
    if step < 0 {
        return Err(DecodeError::Damaged);
    }
    if step > 0 {
        let fits = i64::try_from(count)
            .ok()
            .and_then(|count| first.checked_add(step.checked_mul(count)?));
        fits.ok_or(DecodeError::Damaged)?;
        return Ok(Times::Regular { first, step, count });
    }
    let steps: Vec<i64> = match take_array(bytes)? {
        [KIND_PACKED] => {
            let length = take_count(bytes)?;
            let packed = take(bytes, length)?;
            let steps: Vec<u16> = unpack(header, packed, count - 1)?;
            steps.into_iter().map(i64::from).collect()
        }
        [KIND_DELTAS] => (1..count)
            .map(|_| take_signed(bytes))
            .collect::<Result<_, _>>()?,
        _ => return Err(DecodeError::Damaged),
    };
    let mut times = vec![first];
    let mut at = first;
    for step in steps {
        at = at.checked_add(step).ok_or(DecodeError::Damaged)?;
        times.push(at);
    }
    Ok(Times::Listed(times))
}

/// A column with its tag and summary read.
struct Column<'a> {
    kind: u8,
    scale: u8,
    /// Positions among the row's times that have a value.
    present: Vec<Range<usize>>,
    count: usize,
    /// Of whole numbers: least, and above it greatest, sum and last.
    whole: (i64, u64, u64, u64),
    /// Of `f64`: least, greatest, sum and last.
    plain: [f64; 4],
    body: &'a [u8],
}

impl<'a> Column<'a> {
    fn read(mut bytes: &'a [u8], rows: usize) -> Result<Self, DecodeError> {
        let [tag] = take_array(&mut bytes)?;
        let (kind, scale) = (tag & KIND_MASK, tag >> SCALE_SHIFT);
        if scale > MAX_SCALE {
            return Err(DecodeError::Damaged);
        }
        let present = if tag & TAG_HAS_GAPS == 0 {
            std::iter::once(0..rows).collect()
        } else {
            read_present(&mut bytes, rows)?
        };
        let count = present.iter().map(ExactSizeIterator::len).sum();
        if count == 0 {
            return Err(DecodeError::Damaged);
        }
        let (mut whole, mut plain) = ((0, 0, 0, 0), [0.0; 4]);
        match kind {
            KIND_CONSTANT => {
                whole.0 = take_signed(&mut bytes)?;
            }
            KIND_PLAIN => {
                for number in &mut plain {
                    *number = f64::from_le_bytes(take_array(&mut bytes)?);
                }
            }
            _ => {
                whole = (
                    take_signed(&mut bytes)?,
                    take_unsigned(&mut bytes)?,
                    take_unsigned(&mut bytes)?,
                    take_unsigned(&mut bytes)?,
                );
            }
        }
        Ok(Self {
            kind,
            scale,
            present,
            count,
            whole,
            plain,
            body: bytes,
        })
    }

    fn summary(&self, times: &Times) -> Summary {
        let count = self.count as u64;
        let last_place = self.present.last().map_or(0, |run| run.end - 1);
        let [min, max, sum, last] = if self.kind == KIND_PLAIN {
            self.plain
        } else {
            let (least, range, sum, last) = self.whole;
            let value = |above: u64| unscaled(least.saturating_add_unsigned(above), self.scale);
            // Exact up to the one division: the sum of a day of whole numbers fits 128 bits by far.
            let total = i128::from(least) * i128::from(count) + i128::from(sum);
            let total = i64::try_from(total).map_or_else(
                |_| total as f64 * unscaled(1, self.scale),
                |total| unscaled(total, self.scale),
            );
            [value(0), value(range), total, value(last)]
        };
        Summary {
            count,
            sum,
            min,
            max,
            last,
            last_at: times.at(last_place),
            p95: None,
        }
    }

    /// Calls `each` with position and value of what is there within `rows`.
    fn each(
        &self,
        header: &[u8],
        rows: Range<usize>,
        mut each: impl FnMut(usize, f64),
    ) -> Result<(), DecodeError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (min, range, ..) = self.whole;
        let scale = self.scale;
        let value = |above: u64| unscaled(min.saturating_add_unsigned(above), scale);
        match self.kind {
            KIND_CONSTANT => {
                let constant = unscaled(min, scale);
                self.within(&rows, |_, places| {
                    places.for_each(|place| each(place, constant));
                });
            }
            KIND_PLAIN => {
                let values: Vec<f64> = unpack(header, self.body, self.count)?;
                self.spread(&rows, &values, each);
            }
            KIND_DELTAS => {
                let values = read_deltas(self.body, self.count)?;
                self.spread(&rows, &values, |place, above| each(place, value(above)));
            }
            _ if range <= u64::from(u16::MAX) => {
                let values: Vec<u16> = unpack(header, self.body, self.count)?;
                self.spread(&rows, &values, |place, above| {
                    each(place, value(above.into()));
                });
            }
            _ if range <= u64::from(u32::MAX) => {
                let values: Vec<u32> = unpack(header, self.body, self.count)?;
                self.spread(&rows, &values, |place, above| {
                    each(place, value(above.into()));
                });
            }
            _ => {
                let values: Vec<u64> = unpack(header, self.body, self.count)?;
                self.spread(&rows, &values, |place, above| each(place, value(above)));
            }
        }
        Ok(())
    }

    /// Calls `each` with the runs of positions within `rows`, and how many values there are before each.
    fn within(&self, rows: &Range<usize>, mut each: impl FnMut(usize, Range<usize>)) {
        let mut before = 0;
        for run in &self.present {
            let part = run.start.max(rows.start)..run.end.min(rows.end);
            if !part.is_empty() {
                each(before + (part.start - run.start), part);
            }
            before += run.len();
        }
    }

    fn spread<T: Copy>(&self, rows: &Range<usize>, values: &[T], mut each: impl FnMut(usize, T)) {
        self.within(rows, |first, places| {
            let part = values.get(first..first + places.len());
            for (place, value) in places.zip(part.unwrap_or_default()) {
                each(place, *value);
            }
        });
    }
}

fn read_deltas(mut bytes: &[u8], count: usize) -> Result<Vec<u64>, DecodeError> {
    let mut above = 0_i64;
    (0..count)
        .map(|_| {
            above = above
                .checked_add(take_signed(&mut bytes)?)
                .ok_or(DecodeError::Damaged)?;
            u64::try_from(above).map_err(|_| DecodeError::Damaged)
        })
        .collect()
}

/// Reads what `put_gaps` wrote, as the runs of positions that have a value.
fn read_present(bytes: &mut &[u8], rows: usize) -> Result<Vec<Range<usize>>, DecodeError> {
    let length = take_count(bytes)?;
    let mut encoded = take(bytes, length)?;
    let mut present = Vec::new();
    let (mut place, mut is_present) = (0_usize, true);
    while !encoded.is_empty() {
        let run = usize::try_from(take_unsigned(&mut encoded)?).ok();
        let end = run
            .and_then(|run| place.checked_add(run))
            .filter(|end| *end <= rows)
            .ok_or(DecodeError::Damaged)?;
        if is_present && place < end {
            present.push(place..end);
        }
        (place, is_present) = (end, !is_present);
    }
    if place == rows {
        Ok(present)
    } else {
        Err(DecodeError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIGIN: i64 = 1_800_000_000;

    fn bits(block: &Block) -> Vec<(u32, Vec<(i64, u64)>)> {
        let columns = block.columns.iter().map(|(series, values)| {
            let points = block.times.iter().zip(values);
            let points = points
                .filter(|(_, value)| !value.is_nan())
                .map(|(at, value)| (*at, value.to_bits()));
            (*series, points.collect::<Vec<_>>())
        });
        columns.filter(|(_, points)| !points.is_empty()).collect()
    }

    fn check(block: &Block) -> Vec<u8> {
        let bytes = encode(block, ORIGIN, Effort::Slot);
        assert_eq!(
            bits(
                &Row::read(&encode(block, ORIGIN, Effort::Day), ORIGIN)
                    .unwrap()
                    .block()
                    .unwrap()
            ),
            bits(block)
        );
        let row = Row::read(&bytes, ORIGIN).unwrap();
        assert_eq!(bits(&row.block().unwrap()), bits(block));
        assert_eq!(row.count().unwrap(), block.points());
        for (series, expect) in bits(block) {
            let summary = row.summary(series).unwrap().unwrap();
            let values: Vec<f64> = expect
                .iter()
                .map(|(_, bits)| f64::from_bits(*bits))
                .collect();
            assert_eq!(summary.count, values.len() as u64);
            assert_eq!(
                summary.min,
                values.iter().copied().fold(f64::INFINITY, f64::min)
            );
            assert_eq!(
                summary.max,
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            );
            assert_eq!(summary.last.to_bits(), values.last().unwrap().to_bits());
            assert_eq!(summary.last_at, expect.last().unwrap().0);
            let sum: f64 = values.iter().sum();
            let size: f64 = values.iter().map(|value| value.abs()).sum();
            assert!((summary.sum - sum).abs() <= size * 1e-9 || !sum.is_finite());
            // Any part of it, too.
            for range in [
                ORIGIN + 100..ORIGIN + 1000,
                expect[0].0..summary.last_at,
                0..i64::MAX,
            ] {
                let mut part = Vec::new();
                row.points(series, range.clone(), |at, value| {
                    part.push((at, value.to_bits()));
                })
                .unwrap();
                let wanted: Vec<_> = expect
                    .iter()
                    .copied()
                    .filter(|(at, _)| range.contains(at))
                    .collect();
                assert_eq!(part, wanted);
            }
        }
        bytes
    }

    /// 240 points at 30 s of a slowly moving percentage.
    fn ordinary() -> Block {
        let times: Vec<i64> = (0..240).map(|row| ORIGIN + 7 + row * 30).collect();
        let wave = |row: i64| ((row * 7919) % 101) as f64 / 100.0 + 40.0;
        let columns = (0..4).map(|series| {
            let values = (0..240).map(|row| match series {
                0 => 0.0,
                1 => 25_769_803_776.0,
                _ => (wave(row + i64::from(series)) * 100.0).round() / 100.0,
            });
            (series, values.collect())
        });
        Block {
            times,
            columns: columns.collect(),
        }
    }

    #[test]
    fn an_ordinary_slot_is_small() {
        let bytes = check(&ordinary());
        assert!(bytes.len() < 480, "{} bytes for 960 values", bytes.len());
    }

    #[test]
    fn odd_numbers_survive() {
        let odd = [
            0.0,
            -0.0,
            0.1,
            0.1 + 0.2,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            -1e15,
            1e300,
            9_007_199_254_740_991.0,
            9_007_199_254_740_993.0,
            1e-7,
            f64::EPSILON,
        ];
        for value in odd {
            for other in odd {
                check(&Block {
                    times: vec![ORIGIN + 5, ORIGIN + 6, ORIGIN + 600],
                    columns: vec![
                        (3, vec![value, f64::NAN, other]),
                        (4, vec![f64::NAN, other, f64::NAN]),
                        (9, vec![value, value, value]),
                        (70_000, vec![f64::NAN; 3]),
                    ],
                });
            }
        }
        check(&Block::default());
    }

    #[test]
    fn of_two_blocks_the_first_value_stays() {
        let block = |times: &[i64], values: &[f64]| Block {
            times: times.to_vec(),
            columns: vec![(1, values.to_vec())],
        };
        let merged =
            block(&[10, 20], &[1.0, f64::NAN]).merge(block(&[10, 20, 30], &[9.0, 2.0, 3.0]));
        assert_eq!(merged, block(&[10, 20, 30], &[1.0, 2.0, 3.0]));
        let other = Block {
            times: vec![5],
            columns: vec![(0, vec![7.0])],
        };
        let merged = merged.merge(other);
        assert_eq!(merged.times, [5, 10, 20, 30]);
        assert_eq!(merged.points(), 4);
        assert_eq!(merged.cut(6..21).times, [10, 20]);
        assert_eq!(merged.cut(6..21).points(), 2);
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            2 => any::<f64>().prop_map(|value| if value.is_finite() { value } else { 0.5 }),
            6 => (-1_000_000_i64..1_000_000).prop_map(|value| value as f64 / 100.0),
            1 => Just(f64::NAN),
            1 => Just(12.5),
        ]
    }

    proptest! {
        /// Whatever is finite comes back bit for bit, with its summary, whole and in parts.
        #[test]
        fn every_finite_number_survives(
            steps in prop::collection::vec(1_i64..200, 1..150),
            columns in prop::collection::vec(prop::collection::vec(any_value(), 150), 1..4),
            decimals in prop::collection::vec((-100_000_i64..100_000, 0_u8..5), 150),
            is_regular in any::<bool>(),
        ) {
            let mut at = ORIGIN;
            let times: Vec<i64> = steps.iter().map(|step| { at += if is_regular { 30 } else { *step }; at }).collect();
            let mut columns: Vec<(u32, Vec<f64>)> = (0..).step_by(3).zip(columns).collect();
            // One whose values all are decimals of their own.
            columns.push((900, decimals.iter().map(|(whole, scale)| unscaled(*whole, *scale)).collect()));
            for (_, values) in &mut columns {
                values.truncate(times.len());
            }
            check(&Block { times, columns });
        }

        /// Damage is an error or other numbers, and never a panic.
        #[test]
        fn damage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..600, byte in any::<u8>()) {
            if let Ok(row) = Row::read(&bytes, ORIGIN) {
                drop(row.block());
            }
            let mut damaged = encode(&ordinary(), ORIGIN, Effort::Slot);
            let length = damaged.len();
            damaged[at % length] = byte;
            if let Ok(row) = Row::read(&damaged, ORIGIN) {
                drop(row.block());
                for series in 0..4 {
                    let _ = row.summary(series);
                }
            }
            damaged.truncate(at % length);
            if let Ok(row) = Row::read(&damaged, ORIGIN) {
                drop(row.block());
            }
        }
    }
}
