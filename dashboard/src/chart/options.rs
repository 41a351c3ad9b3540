//! What uPlot is told about a chart: its lines, bands, pointer and what it calls.

use js_sys::{Array, Object};
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;

use super::axes::{axes, y_range};
use super::script::{Kept, get, keep, object, style};
use super::{Events, Plot};
use crate::panel::Panel;

/// Width of a line, in CSS pixels.
const LINE_PIXELS: f64 = 1.5;
/// Charts with the same key share their crosshair.
const SYNC_KEY: &str = "infra-watch";
/// A drag shorter than this is a click.
const DRAG_PIXELS: f64 = 6.0;
/// Colours that are told apart by everyone; a ninth line begins again.
const COLOURS: usize = 8;
/// How much of a line's colour its band has.
const BAND_ALPHA: &str = "0.18";
/// How much of a line's colour the ground under it has.
const AREA_ALPHA: &str = "0.08";

/// Everything uPlot is told about a chart beside its values.
pub fn options(
    panel: &Panel,
    hidden: &[bool],
    target: &HtmlElement,
    events: &Events,
    closures: &mut Kept,
) -> JsValue {
    let (series, bands) = series(panel, hidden);
    let cursor = object(&[
        (
            "sync",
            object(&[("key", SYNC_KEY.into()), ("setSeries", false.into())]),
        ),
        (
            "drag",
            object(&[
                ("x", true.into()),
                ("y", false.into()),
                ("setScale", false.into()),
                ("dist", DRAG_PIXELS.into()),
            ]),
        ),
        ("points", object(&[("size", 7.0.into())])),
        ("y", false.into()),
    ]);
    object(&[
        ("width", f64::from(target.client_width()).into()),
        ("height", f64::from(target.client_height()).into()),
        ("legend", object(&[("show", false.into())])),
        ("cursor", cursor),
        (
            "padding",
            [10.0, 12.0, 0.0, 0.0]
                .map(JsValue::from)
                .into_iter()
                .collect::<Array>()
                .into(),
        ),
        (
            "scales",
            object(&[
                ("x", object(&[("time", true.into())])),
                ("y", object(&[("range", y_range(panel.unit, closures))])),
            ]),
        ),
        ("axes", axes(panel.unit, closures)),
        ("series", series),
        ("bands", bands),
        ("hooks", hooks(events, closures)),
    ])
}

/// The lines and, where a bucket holds several values, the bands between least and greatest.
fn series(panel: &Panel, hidden: &[bool]) -> (JsValue, JsValue) {
    let (series, bands) = (Array::of1(&Object::new()), Array::new());
    for (place, line) in panel.lines.iter().enumerate() {
        let colour = colour(place);
        let show = JsValue::from(!hidden.get(place).copied().unwrap_or_default());
        let mut own = vec![
            ("stroke", JsValue::from(colour.as_str())),
            ("width", LINE_PIXELS.into()),
            ("show", show.clone()),
            ("points", object(&[("size", 4.0.into())])),
        ];
        // A line that is alone has the ground under it tinted; among others, tints would only mix.
        if panel.lines.len() == 1 && !line.has_band() {
            own.push(("fill", translucent(&colour, AREA_ALPHA).into()));
        }
        series.push(&object(&own));
        if line.has_band() {
            let edge = || {
                object(&[
                    ("stroke", "transparent".into()),
                    ("width", 0.0.into()),
                    ("show", show.clone()),
                    ("points", object(&[("show", false.into())])),
                ])
            };
            let greatest = f64::from(series.length());
            series.push(&edge());
            series.push(&edge());
            bands.push(&object(&[
                (
                    "series",
                    Array::of2(&greatest.into(), &(greatest + 1.0).into()).into(),
                ),
                ("fill", translucent(&colour, BAND_ALPHA).into()),
            ]));
        }
    }
    // The bound first, then that for being over.
    let looks = [("--chart-bound", 6.0), ("--chart-text", 2.0)];
    for (colour, dash) in looks.into_iter().take(panel.bounds.len()) {
        series.push(&object(&[
            ("stroke", style(colour).into()),
            ("width", 1.0.into()),
            ("dash", Array::of2(&dash.into(), &4.0.into()).into()),
            ("points", object(&[("show", false.into())])),
        ]));
    }
    (series.into(), bands.into())
}

/// A line's colour as its band has it; computed colours are of the form `rgb(…)`.
fn translucent(colour: &str, alpha: &str) -> String {
    let parts = colour
        .strip_prefix("rgb(")
        .and_then(|rest| rest.strip_suffix(')'));
    parts.map_or_else(
        || colour.to_owned(),
        |parts| format!("rgba({parts}, {alpha})"),
    )
}

/// The colour of the line at a place, as the stylesheet has it in the theme that holds.
fn colour(place: usize) -> String {
    style(&format!("--series-{}", place % COLOURS + 1))
}

fn hooks(events: &Events, closures: &mut Kept) -> JsValue {
    let on_cursor = events.on_cursor.clone();
    let moved = move |plot: JsValue| {
        let place = get(&get(&plot, "cursor"), "idx").as_f64();
        on_cursor.emit(place.map(|place| place as usize));
    };
    let on_zoom = events.on_zoom.clone();
    let selected = move |plot: JsValue| {
        let select = get(&plot, "select");
        let (Some(left), Some(width)) = (
            get(&select, "left").as_f64(),
            get(&select, "width").as_f64(),
        ) else {
            return;
        };
        if width < DRAG_PIXELS {
            return;
        }
        let plot: Plot = plot.unchecked_into();
        let (from, to) = (
            plot.pos_to_val(left, "x"),
            plot.pos_to_val(left + width, "x"),
        );
        plot.set_select(
            &object(&[
                ("left", 0.0.into()),
                ("width", 0.0.into()),
                ("top", 0.0.into()),
                ("height", 0.0.into()),
            ]),
            false,
        );
        on_zoom.emit((from.floor() as i64, to.ceil() as i64));
    };
    let moved = keep(Closure::<dyn Fn(JsValue)>::new(moved), closures);
    let selected = keep(Closure::<dyn Fn(JsValue)>::new(selected), closures);
    object(&[
        ("setCursor", Array::of1(&moved).into()),
        ("setSelect", Array::of1(&selected).into()),
    ])
}
