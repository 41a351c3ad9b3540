//! A line of the last hour, as small as a word.

use infra_watch_client::number::fixed;
use yew::prelude::*;

/// Width of the drawing's own coordinates.
const WIDTH: u32 = 120;
/// Height of the drawing's own coordinates.
const HEIGHT: u32 = 24;
/// The least upper end of the scale, so that an idle machine draws a calm line.
const LEAST_TOP: f64 = 20.0;

/// The line and the area under it, of values in order of time; the number beside it says the same in words.
pub fn sparkline(values: &[Option<f64>]) -> Html {
    let (line, area) = paths(values);
    html! {
        <svg class="sparkline" viewBox={format!("0 0 {WIDTH} {HEIGHT}")} preserveAspectRatio="none" aria-hidden="true" focusable="false">
            <path class="sparkline-area" d={area} />
            <path class="sparkline-line" d={line} />
        </svg>
    }
}

/// The outline and the filled area of each unbroken run of values.
fn paths(values: &[Option<f64>]) -> (String, String) {
    let top = values.iter().flatten().copied().fold(LEAST_TOP, f64::max);
    let x = |index: usize| index as f64 * f64::from(WIDTH) / (values.len().max(2) - 1) as f64;
    let y = |value: f64| f64::from(HEIGHT - 1) - value.max(0.0) / top * f64::from(HEIGHT - 2);
    let (mut line, mut area) = (String::new(), String::new());
    let mut run_start = None;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            close(&mut area, run_start.take(), x(index.saturating_sub(1)));
            continue;
        };
        let point = format!("{} {}", fixed(x(index), 1), fixed(y(*value), 1));
        if run_start.is_none() {
            run_start = Some(x(index));
            line.push_str(&format!("M{point}"));
            area.push_str(&format!("M{} {HEIGHT}L{point}", fixed(x(index), 1)));
        } else {
            line.push_str(&format!("L{point}"));
            area.push_str(&format!("L{point}"));
        }
    }
    close(&mut area, run_start, f64::from(WIDTH));
    (line, area)
}

fn close(area: &mut String, run_start: Option<f64>, end: f64) {
    if run_start.is_some() {
        area.push_str(&format!("L{} {HEIGHT}Z", fixed(end, 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_stay_gaps() {
        let check = |values: &[Option<f64>], line: &str| assert_eq!(paths(values).0, line);
        check(&[], "");
        check(&[Some(0.0), Some(20.0)], "M0.0 23.0L120.0 1.0");
        check(&[Some(0.0), None, Some(20.0)], "M0.0 23.0M120.0 1.0");
        assert_eq!(
            paths(&[Some(0.0), Some(0.0), None]).1,
            "M0.0 24L0.0 23.0L60.0 23.0L60.0 24Z"
        );
    }
}
