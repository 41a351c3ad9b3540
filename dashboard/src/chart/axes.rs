//! The axes of a chart: their range, grid lines and labels.

use chrono::DateTime;
use infra_watch_client::number::shortest;
use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::script::{Kept, keep, object, style};
use crate::format::{self, Unit};
use crate::hooks::clock::zone;

/// Space for the labels of the y axis, in CSS pixels.
const Y_AXIS_PIXELS: f64 = 72.0;
/// Space for the labels of the x axis, in CSS pixels.
const X_AXIS_PIXELS: f64 = 28.0;
/// Upper ends of a scale of percents: a calm machine draws a calm line, and still fills the chart.
const PERCENT_TOPS: [f64; 3] = [20.0, 40.0, 100.0];
/// Parts into which grid lines divide a scale of percents.
const PERCENT_PARTS: u8 = 4;
/// Distances of grid lines for bytes: the powers of two up to this one.
const BINARY_STEPS: i32 = 50;
/// Distances of grid lines for durations, in seconds.
const DURATION_STEPS: [f64; 18] = [
    1.0,
    5.0,
    15.0,
    30.0,
    60.0,
    300.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    432_000.0,
    864_000.0,
    4_320_000.0,
    8_640_000.0,
    43_200_000.0,
];

/// From zero to a little above the greatest value; percents to the next of a few calm tops.
pub fn y_range(unit: Unit, closures: &mut Kept) -> JsValue {
    let range = move |_: JsValue, _: JsValue, greatest: JsValue| -> JsValue {
        let greatest = greatest
            .as_f64()
            .filter(|value| value.is_finite())
            .unwrap_or_default();
        let top = match unit {
            Unit::Percent => PERCENT_TOPS
                .into_iter()
                .find(|top| greatest <= *top)
                .unwrap_or(greatest),
            _ if greatest > 0.0 => greatest * 1.1,
            _ => 1.0,
        };
        Array::of2(&0.0.into(), &top.into()).into()
    };
    keep(
        Closure::<dyn Fn(JsValue, JsValue, JsValue) -> JsValue>::new(range),
        closures,
    )
}

/// The axes of time and of values.
pub fn axes(unit: Unit, closures: &mut Kept) -> JsValue {
    let font = format!("11px {}", style("--font"));
    let labels = move |_: JsValue, splits: Array| -> JsValue {
        splits
            .iter()
            .map(|value| {
                value.as_f64().map_or(JsValue::NULL, |value| {
                    JsValue::from(axis_label(unit, value))
                })
            })
            .collect::<Array>()
            .into()
    };
    let labels = keep(
        Closure::<dyn Fn(JsValue, Array) -> JsValue>::new(labels),
        closures,
    );
    let grid = object(&[
        ("stroke", style("--chart-grid").into()),
        ("width", 1.0.into()),
    ]);
    let ticks = object(&[("show", false.into())]);
    let axis = |size: f64, extra: &[(&str, JsValue)]| {
        let common = [
            ("stroke", style("--chart-text").into()),
            ("font", font.as_str().into()),
            ("size", size.into()),
            ("grid", grid.clone()),
            ("ticks", ticks.clone()),
            ("gap", 6.0.into()),
        ];
        object(&[&common[..], extra].concat())
    };
    let x = axis(
        X_AXIS_PIXELS,
        &[
            ("values", clock_labels(closures)),
            ("space", 64.0.into()),
            ("grid", object(&[("show", false.into())])),
        ],
    );
    let mut own = vec![("values", labels), ("space", 36.0.into())];
    match unit {
        Unit::Percent => own.push(("splits", percent_splits(closures))),
        Unit::Bytes | Unit::BytesPerSecond => own.push((
            "incrs",
            (0..BINARY_STEPS)
                .map(|power| JsValue::from(2_f64.powi(power)))
                .collect::<Array>()
                .into(),
        )),
        Unit::Seconds => own.push((
            "incrs",
            DURATION_STEPS
                .map(JsValue::from)
                .into_iter()
                .collect::<Array>()
                .into(),
        )),
        Unit::One => {}
    }
    let y = axis(Y_AXIS_PIXELS, &own);
    Array::of2(&x, &y).into()
}

/// Grid lines of a scale of percents: quarters.
fn percent_splits(closures: &mut Kept) -> JsValue {
    let splits = |_: JsValue, _: JsValue, _: JsValue, top: f64| -> JsValue {
        (0..=PERCENT_PARTS)
            .map(|part| JsValue::from(top * f64::from(part) / f64::from(PERCENT_PARTS)))
            .collect::<Array>()
            .into()
    };
    keep(
        Closure::<dyn Fn(JsValue, JsValue, JsValue, f64) -> JsValue>::new(splits),
        closures,
    )
}

/// Labels of the time axis: 24 hours a day, and the date where a day begins.
fn clock_labels(closures: &mut Kept) -> JsValue {
    let labels =
        |_: JsValue, splits: Array, _: JsValue, _: JsValue, distance_seconds: f64| -> JsValue {
            let label = |seconds: f64| {
                let at = DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default();
                format::tick(at.with_timezone(&zone(at)), distance_seconds)
            };
            splits
                .iter()
                .map(|seconds| {
                    seconds
                        .as_f64()
                        .map_or(JsValue::NULL, |seconds| JsValue::from(label(seconds)))
                })
                .collect::<Array>()
                .into()
        };
    keep(
        Closure::<dyn Fn(JsValue, Array, JsValue, JsValue, f64) -> JsValue>::new(labels),
        closures,
    )
}

/// Labels of an axis are round already: no more decimals than they need.
fn axis_label(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Percent => format!("{} %", shortest(value)),
        _ if value == 0.0 => "0".to_owned(),
        _ => unit.format(value),
    }
}
