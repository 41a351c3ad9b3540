//! Points of one host, decoded.

use std::ops::Range;

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
