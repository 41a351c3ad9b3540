//! Stored samples, for watches that must see them again and for rules that are tried.

use crate::app::App;
use crate::flows::FlowError;
use crate::store::series::{Fragment, Reading, Wanted};

/// Samples of series of a host in `[from, to)`, Unix seconds: for each series those it has, in the order of time. Blocks.
///
/// # Errors
/// The store's.
pub fn history(
    app: &App,
    host: u32,
    series: &[u32],
    from: i64,
    to: i64,
) -> Result<Vec<Vec<(i64, f64)>>, FlowError> {
    let mut samples = vec![Vec::new(); series.len()];
    if from >= to || series.is_empty() {
        return Ok(samples);
    }
    let reading = Reading {
        hosts: vec![Wanted {
            host,
            series: series.to_vec(),
        }],
        from,
        to,
        step: None,
    };
    app.store.series.read(&reading, |_, position, fragment| {
        if let (Fragment::Point(at, value), Some(samples)) = (fragment, samples.get_mut(position)) {
            samples.push((at, value));
        }
        Ok::<_, FlowError>(())
    })?;
    for samples in &mut samples {
        // They come as a few rising runs, which this sort takes as they are.
        samples.sort_by_key(|(at, _)| *at);
    }
    Ok(samples)
}
