//! Reading a row: its directory at once, its columns when they are asked for.

use std::ops::Range;

use pco::data_types::Number;
use pco::wrapped::FileDecompressor;

use super::{
    Block, KIND_CONSTANT, KIND_DELTAS, KIND_MASK, KIND_PACKED, KIND_PLAIN, MAX_ROWS, SCALE_SHIFT,
    TAG_HAS_GAPS, VERSION,
};
use crate::domain::series::Summary;
use crate::store::decimal::{MAX_SCALE, unscaled};
use crate::store::varint::{
    DecodeError, take, take_array, take_count, take_signed, take_u32, take_unsigned,
};

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
    /// When the bytes are not what [`super::encode`] wrote.
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
