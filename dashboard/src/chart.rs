//! The binding to uPlot: a panel as a chart on the page.

mod axes;
mod options;
mod script;

use js_sys::Array;
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlElement};
use yew::Callback;

use self::options::options;
use self::script::{Kept, object};
use crate::panel::Panel;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = uPlot)]
    type Plot;

    #[wasm_bindgen(constructor, catch, js_class = "uPlot")]
    fn new(options: &JsValue, data: &JsValue, target: &Element) -> Result<Plot, JsValue>;

    #[wasm_bindgen(method)]
    fn destroy(this: &Plot);

    #[wasm_bindgen(method, js_name = setSize)]
    fn set_size(this: &Plot, size: &JsValue);

    #[wasm_bindgen(method, js_name = setData)]
    fn set_data(this: &Plot, data: &JsValue, reset_scales: bool);

    #[wasm_bindgen(method, js_name = setScale)]
    fn set_scale(this: &Plot, key: &str, limits: &JsValue);

    #[wasm_bindgen(method, js_name = posToVal)]
    fn pos_to_val(this: &Plot, position: f64, scale: &str) -> f64;

    #[wasm_bindgen(method, js_name = setSelect)]
    fn set_select(this: &Plot, rectangle: &JsValue, fire_hook: bool);
}

/// What a chart tells the page.
#[derive(Clone, PartialEq)]
pub struct Events {
    /// The pointer is over this bucket, or over none.
    pub on_cursor: Callback<Option<usize>>,
    /// A span was chosen, in Unix seconds.
    pub on_zoom: Callback<(i64, i64)>,
}

/// A chart on the page; it goes away when it is dropped.
pub struct Chart {
    plot: Plot,
    /// What the plot calls; it must live as long as the plot.
    _closures: Kept,
}

impl Chart {
    /// Draws `panel` into `target`; lines that are `hidden` keep their colour for when they come back.
    pub fn draw(
        panel: &Panel,
        hidden: &[bool],
        target: &HtmlElement,
        events: &Events,
    ) -> Result<Self, JsValue> {
        let mut closures = Kept::new();
        let options = options(panel, hidden, target, events, &mut closures);
        let plot = Plot::new(&options, &data(panel), target)?;
        let chart = Self {
            plot,
            _closures: closures,
        };
        chart.set_range(panel);
        Ok(chart)
    }

    /// Puts new values of the same lines in.
    pub fn update(&self, panel: &Panel) {
        self.plot.set_data(&data(panel), false);
        self.set_range(panel);
    }

    /// Fits the chart into its place.
    pub fn resize(&self, width: f64, height: f64) {
        self.plot.set_size(&object(&[
            ("width", width.into()),
            ("height", height.into()),
        ]));
    }

    fn set_range(&self, panel: &Panel) {
        self.plot.set_scale(
            "x",
            &object(&[
                ("min", (panel.from as f64).into()),
                ("max", (panel.to as f64).into()),
            ]),
        );
    }
}

impl Drop for Chart {
    fn drop(&mut self) {
        self.plot.destroy();
    }
}

/// Timestamps, then for each line its mean, maximum and minimum, then what is drawn across; `null` is a gap.
fn data(panel: &Panel) -> JsValue {
    let columns = Array::new();
    columns.push(
        &panel
            .timestamps
            .iter()
            .map(|at| JsValue::from(*at as f64))
            .collect::<Array>(),
    );
    let column = |values: &[Option<f64>]| {
        values
            .iter()
            .map(|value| value.map_or(JsValue::NULL, JsValue::from))
            .collect::<Array>()
    };
    for line in &panel.lines {
        columns.push(&column(&line.avg));
        if line.has_band() {
            columns.push(&column(&line.max));
            columns.push(&column(&line.min));
        }
    }
    for bound in &panel.bounds {
        columns.push(&column(&vec![Some(*bound); panel.timestamps.len()]));
    }
    columns.into()
}
