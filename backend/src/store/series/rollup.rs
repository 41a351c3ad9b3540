//! Rolling up: a repacked day becomes buckets of five minutes and of an hour, for when its points are gone or not
//! needed. A day that is repacked again is rolled up again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::repack::unrolled_key;
use super::units::Tally;
use super::{Packers, SeriesStore, Shared, off_thread};
use crate::domain::series::{Summary, percentile};
use crate::domain::tier::{Tier, day_start};
use crate::store::chunk::{self, Block, Effort, Row};
use crate::store::decimal::{common_scale, scaled, unscaled};
use crate::store::fault;
use crate::store::kv::{Batch, Class, Kv, KvError, Read, Table, scan_all};
use crate::store::row;
use crate::store::varint::DecodeError;

/// Rows that one batch rolls up.
const ROWS_OF_BATCH: usize = 16;
/// What is kept of a bucket, each as a column of its own: series number times this, plus one of the positions below.
const STATS: u32 = 8;
const MIN: u32 = 0;
const MAX: u32 = 1;
const SUM: u32 = 2;
const COUNT: u32 = 3;
const LAST: u32 = 4;
const P95: u32 = 5;

impl SeriesStore {
    /// Rolls up every host's day that was repacked since it was rolled up. Returns how many there were.
    ///
    /// # Errors
    /// The engine's; what was not rolled up is next time.
    pub async fn roll_up(&self) -> Result<usize, KvError> {
        let mut packers = self.shared.housekeeping.lock().await;
        let mut rows = 0;
        loop {
            let due: Vec<(u32, u32)> = {
                let unrolled = self.shared.unrolled.read();
                unrolled.iter().take(ROWS_OF_BATCH).copied().collect()
            };
            if due.is_empty() {
                return Ok(rows);
            }
            let (shared, of) = (Arc::clone(&self.shared), due.clone());
            let before = *packers;
            let (after, batch, tally) =
                off_thread(move || shared.roll_up_rows(before, &of)).await?;
            fault::point("rollup.before");
            self.shared.write(batch, &tally).await?;
            fault::point("rollup.written");
            *packers = after;
            rows += due.len();
            let mut unrolled = self.shared.unrolled.write();
            for place in due {
                unrolled.remove(&place);
            }
        }
    }
}

impl Shared {
    fn roll_up_rows(
        &self,
        mut packers: Packers,
        due: &[(u32, u32)],
    ) -> Result<(Packers, Batch, Tally), KvError> {
        let mut batch = Batch::new(Class::Series);
        let mut tally = Tally::default();
        for (day, host) in due {
            let mut points = None;
            let read = Read {
                table: Table::Days,
                range: row::range(*day, *host),
            };
            self.visit_rows(&[read], |_, row| {
                points = Some(Row::read(row.bytes, day_start(*day))?.block()?);
                Ok::<_, KvError>(())
            })?;
            // A host that was deleted meanwhile has no row; its mark goes all the same.
            if let Some(points) = points {
                for (tier, table) in [
                    (Tier::FiveMinutes, Table::FiveMinutes),
                    (Tier::Hour, Table::Hours),
                ] {
                    let buckets = roll(&points, tier);
                    let bytes = chunk::encode(&buckets, day_start(*day), Effort::Day);
                    let old = self.old_row(table, *day, *host)?;
                    let old_pieces = old.as_ref().map_or(0, |old| old.pieces);
                    let packer = match tier {
                        Tier::Hour => &mut packers.hours,
                        _ => &mut packers.five_minutes,
                    };
                    packer.put(&mut batch, table, (*day, *host), &bytes, old_pieces);
                    tally.replace(
                        table,
                        *day,
                        old.map(|old| (old.points, old.bytes)),
                        Some((buckets.points(), bytes.len())),
                    );
                }
            }
            batch.delete(Table::Unrolled, unrolled_key(*day, *host));
        }
        Ok((packers, batch, tally))
    }
}

/// The days and hosts that are to be rolled up.
pub(super) async fn load_unrolled(kv: &dyn Kv) -> Result<BTreeSet<(u32, u32)>, KvError> {
    let mut unrolled = BTreeSet::new();
    scan_all(kv, Table::Unrolled, Vec::new()..vec![0xff; 9], |key, _| {
        let day = key.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let host = key.last_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        unrolled.extend(day.zip(host));
        Ok::<_, KvError>(())
    })
    .await?;
    Ok(unrolled)
}

/// Buckets of a tier's width, from points: times are the buckets' starts, columns what is kept of each series.
fn roll(points: &Block, tier: Tier) -> Block {
    let step = tier.step_seconds();
    let start = |at: &i64| at.div_euclid(step) * step;
    let runs: Vec<(i64, std::ops::Range<usize>)> = {
        let mut first = 0;
        let chunks = points.times.chunk_by(|a, b| start(a) == start(b));
        chunks
            .map(|chunk| {
                let run = first..first + chunk.len();
                first = run.end;
                (chunk.first().map_or(0, start), run)
            })
            .collect()
    };
    let mut columns = Vec::new();
    for (series, values) in &points.columns {
        let scale = common_scale(values.iter().copied().filter(|value| !value.is_nan()));
        let mut stats: [Vec<f64>; 6] = Default::default();
        for (_, run) in &runs {
            let values = values.get(run.clone()).unwrap_or_default();
            let bucket = summarise(values, scale, tier == Tier::Hour);
            for (column, value) in stats.iter_mut().zip(bucket) {
                column.push(value);
            }
        }
        let kept = if tier == Tier::Hour { 6 } else { 5 };
        let numbered = (series * STATS..).zip(stats);
        columns.extend(numbered.take(kept));
    }
    Block {
        times: runs.into_iter().map(|(start, _)| start).collect(),
        columns,
    }
}

/// Least, greatest, sum, count, last and 95th percentile; all absent for an empty bucket.
fn summarise(values: &[f64], scale: Option<u8>, with_percentile: bool) -> [f64; 6] {
    let mut present: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| !value.is_nan())
        .collect();
    let Some(last) = present.last().copied() else {
        return [f64::NAN; 6];
    };
    let min = present.iter().copied().fold(f64::INFINITY, f64::min);
    let max = present.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Summed as whole numbers where that is exact, so that the sum is a decimal of the same few digits.
    let whole = scale.and_then(|scale| {
        let mut whole = present.iter().map(|value| scaled(*value, scale));
        let sum = whole.try_fold(0_i64, |sum, value| sum.checked_add(value?))?;
        Some(unscaled(sum, scale))
    });
    let sum = whole.unwrap_or_else(|| present.iter().sum());
    let count = present.len() as f64;
    let p95 = if with_percentile {
        percentile(&mut present, 0.95).unwrap_or(f64::NAN)
    } else {
        f64::NAN
    };
    [min, max, sum, count, last, p95]
}

/// Calls `each` with start and contents of the buckets of a series whose start lies in `range`.
pub(super) fn read_buckets(
    row: &Row<'_>,
    series: u32,
    tier: Tier,
    range: &std::ops::Range<i64>,
    mut each: impl FnMut(i64, Summary),
) -> Result<(), DecodeError> {
    let mut columns: [Vec<(i64, f64)>; 6] = Default::default();
    for (stat, column) in (0..).zip(&mut columns) {
        row.points(series * STATS + stat, range.clone(), |at, value| {
            column.push((at, value));
        })?;
    }
    let value = |stat: u32, index: usize| {
        let column: Option<&Vec<(i64, f64)>> = columns.get(stat as usize);
        column
            .and_then(|column| column.get(index))
            .map(|(_, value)| *value)
    };
    // An empty bucket has none of them: the columns are absent at the same places.
    for (index, (start, count)) in columns[COUNT as usize].iter().enumerate() {
        let (Some(min), Some(max), Some(sum), Some(last)) = (
            value(MIN, index),
            value(MAX, index),
            value(SUM, index),
            value(LAST, index),
        ) else {
            return Err(DecodeError::Damaged);
        };
        let summary = Summary {
            count: *count as u64,
            sum,
            min,
            max,
            last,
            last_at: start + tier.step_seconds() - 1,
            p95: value(P95, index),
        };
        each(*start, summary);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000 - 1_800_000_000 % 86_400;

    #[test]
    fn buckets_say_what_their_points_are() {
        let times: Vec<i64> = (0..2880).map(|row| START + 11 + row * 30).collect();
        let values: Vec<f64> = (0..2880)
            .map(|row| match row {
                // An hour without values, and a gap within another.
                240..360 | 400 => f64::NAN,
                _ => f64::from((row * 7919) % 10_007) / 100.0,
            })
            .collect();
        let points = Block {
            times: times.clone(),
            columns: vec![(3, values.clone())],
        };
        for tier in [Tier::FiveMinutes, Tier::Hour] {
            let step = tier.step_seconds();
            let bytes = chunk::encode(&roll(&points, tier), START, Effort::Day);
            let row = Row::read(&bytes, START).unwrap();
            let mut buckets = Vec::new();
            read_buckets(&row, 3, tier, &(START..START + 86_400), |start, summary| {
                buckets.push((start, summary));
            })
            .unwrap();
            let mut index = 0;
            for start in (START..START + 86_400).step_by(usize::try_from(step).unwrap()) {
                let mut expect: Vec<f64> = times
                    .iter()
                    .zip(&values)
                    .filter(|(at, value)| (start..start + step).contains(at) && !value.is_nan())
                    .map(|(_, value)| *value)
                    .collect();
                if expect.is_empty() {
                    continue;
                }
                let (at, summary) = buckets[index];
                index += 1;
                assert_eq!(at, start);
                assert_eq!(summary.count, expect.len() as u64);
                assert_eq!(summary.last, *expect.last().unwrap());
                assert_eq!(
                    summary.min,
                    expect.iter().copied().fold(f64::INFINITY, f64::min)
                );
                assert_eq!(summary.max, expect.iter().copied().fold(0.0, f64::max));
                assert!((summary.sum - expect.iter().sum::<f64>()).abs() < 1e-6);
                let p95 = percentile(&mut expect, 0.95).filter(|_| tier == Tier::Hour);
                assert_eq!(summary.p95, p95);
            }
            assert_eq!(index, buckets.len());
        }
    }
}
