//! A straight line through the last six hours, by least squares, kept as sums of five minutes.

use std::collections::VecDeque;

/// Points that a line is drawn through are not older.
pub const FIT_SECONDS: i64 = 6 * 3600;
/// Points whose sums are kept together.
pub const CELL_SECONDS: i64 = 300;
/// A trend of less time says nothing about a day.
const LEAST_SPAN_SECONDS: i64 = 3600;

/// Sums over the points of one cell, with times relative to its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    count: f64,
    time: f64,
    value: f64,
    time_squared: f64,
    time_value: f64,
}

/// What a line needs to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fit {
    /// Start of each cell and its sums, rising.
    cells: VecDeque<(i64, Sums)>,
    first_at: Option<i64>,
}

impl Fit {
    /// Adds a point, which is later than all before.
    pub fn push(&mut self, at: i64, value: f64) {
        let start = at.div_euclid(CELL_SECONDS) * CELL_SECONDS;
        while self
            .cells
            .front()
            .is_some_and(|(oldest, _)| *oldest <= at - FIT_SECONDS - CELL_SECONDS)
        {
            self.cells.pop_front();
            self.first_at = self.cells.front().map(|(oldest, _)| *oldest);
        }
        if self.cells.back().is_none_or(|(last, _)| *last != start) {
            self.cells.push_back((start, Sums::default()));
        }
        self.first_at = self.first_at.or(Some(at));
        if let Some((_, sums)) = self.cells.back_mut() {
            let time = (at - start) as f64;
            sums.count += 1.0;
            sums.time += time;
            sums.value += value;
            sums.time_squared += time * time;
            sums.time_value += time * value;
        }
    }

    /// The line's value at `at`; `None` while the points span less than an hour.
    pub fn value_at(&self, at: i64) -> Option<f64> {
        let (reference, _) = *self.cells.back()?;
        if reference + CELL_SECONDS - self.first_at? < LEAST_SPAN_SECONDS {
            return None;
        }
        let mut total = Sums::default();
        for (start, sums) in &self.cells {
            let shift = (start - reference) as f64;
            total.count += sums.count;
            total.time += sums.time + sums.count * shift;
            total.value += sums.value;
            total.time_squared +=
                sums.time_squared + 2.0 * shift * sums.time + sums.count * shift * shift;
            total.time_value += sums.time_value + shift * sums.value;
        }
        let spread = total.count * total.time_squared - total.time * total.time;
        if spread <= 0.0 {
            return None;
        }
        let slope = (total.count * total.time_value - total.time * total.value) / spread;
        let mean = total.value / total.count;
        let value = mean + slope * ((at - reference) as f64 - total.time / total.count);
        // Of numbers beyond all measure there is no line.
        value.is_finite().then_some(value)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.cells.capacity() * size_of::<(i64, Sums)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_goes_on() {
        let mut fit = Fit::default();
        assert_eq!(fit.value_at(0), None);
        for at in (0..3300).step_by(30) {
            fit.push(at, 50.0 + at as f64 / 3600.0);
            assert_eq!(fit.value_at(at), None, "too short at {at}");
        }
        for at in (3300..=6 * 3600).step_by(30) {
            fit.push(at, 50.0 + at as f64 / 3600.0);
        }
        assert!((fit.value_at(30 * 3600).unwrap() - 80.0).abs() < 1e-9);
        // A series that stands still leads nowhere; one point in time is no line.
        let mut still = Fit::default();
        for at in (0..20_000).step_by(60) {
            still.push(at, 42.0);
        }
        assert!((still.value_at(1_000_000).unwrap() - 42.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_older_than_six_hours_is_forgotten() {
        let mut fit = Fit::default();
        for at in (0..24 * 3600).step_by(30) {
            fit.push(at, if at < 17 * 3600 { 90.0 } else { 10.0 });
        }
        assert!((fit.value_at(48 * 3600).unwrap() - 10.0).abs() < 1e-6);
        assert!(fit.bytes() < 8192);
    }

    proptest! {
        #[test]
        fn it_is_the_line_of_least_squares(values in proptest::collection::vec(-1e3_f64..1e3, 150..400)) {
            let points: Vec<(i64, f64)> = (0..).zip(&values).map(|(tick, value)| (1_764_000_000 + tick * 30, *value)).collect();
            let mut fit = Fit::default();
            points.iter().for_each(|(at, value)| fit.push(*at, *value));
            let count = points.len() as f64;
            let mean_time = points.iter().map(|(at, _)| *at as f64).sum::<f64>() / count;
            let mean = values.iter().sum::<f64>() / count;
            let over: f64 = points.iter().map(|(at, value)| (*at as f64 - mean_time) * (value - mean)).sum();
            let under: f64 = points.iter().map(|(at, _)| (*at as f64 - mean_time).powi(2)).sum();
            let at = points[0].0 + 30_000;
            let expect = mean + over / under * (at as f64 - mean_time);
            prop_assert!((fit.value_at(at).unwrap() - expect).abs() < 1e-6 * expect.abs().max(1.0));
        }
    }
}
