//! Which rows of a long table are on the screen, so that only they exist.

use std::ops::Range;

use gloo_events::EventListener;
use web_sys::Element;
use yew::prelude::*;

/// Rows drawn above and below the screen, so that fast scrolling shows no holes.
const MARGIN_ROWS: usize = 12;
/// The height of a row until one has been measured.
const GUESSED_ROW_PIXELS: f64 = 44.0;
/// Rows drawn before anything has been measured.
const FIRST_ROWS: usize = 40;

/// The part of a table that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Rows that exist.
    pub drawn: Range<usize>,
    /// Height of all rows before them.
    pub before_pixels: u32,
    /// Height of all rows after them.
    pub after_pixels: u32,
}

/// Follows the page's scrolling; `body` is the element that holds the rows, each with `data-host`.
#[hook]
pub fn use_rows(body: &NodeRef, count: usize) -> Rows {
    let row_pixels = use_state_eq(|| GUESSED_ROW_PIXELS);
    let drawn = use_state_eq(|| 0..FIRST_ROWS);
    let look = {
        let (body, row_pixels, drawn) = (body.clone(), row_pixels.clone(), drawn.clone());
        move || {
            let (Some(body), Some(window)) = (body.cast::<Element>(), web_sys::window()) else {
                return;
            };
            let height = pitch(&body).unwrap_or(*row_pixels);
            row_pixels.set(height);
            let screen = window
                .inner_height()
                .ok()
                .and_then(|height| height.as_f64())
                .unwrap_or(1000.0);
            drawn.set(visible(
                -body.get_bounding_client_rect().top(),
                screen,
                height,
                count,
            ));
        }
    };
    use_effect_with((count, *row_pixels), {
        move |_| {
            look();
            let listeners = web_sys::window().map(|window| {
                ["scroll", "resize"].map(|name| {
                    let look = look.clone();
                    EventListener::new(&window, name, move |_| look())
                })
            });
            move || drop(listeners)
        }
    });
    let drawn = drawn.start.min(count)..drawn.end.min(count);
    let pixels = |rows: usize| (rows as f64 * *row_pixels).round() as u32;
    Rows {
        before_pixels: pixels(drawn.start),
        after_pixels: pixels(count - drawn.end),
        drawn,
    }
}

/// The distance from one row to the next, gaps between cards included.
fn pitch(body: &Element) -> Option<f64> {
    let rows = body.query_selector_all("[data-host]").ok()?;
    let top = |index| {
        let element: Element = wasm_bindgen::JsCast::dyn_into(rows.item(index)?).ok()?;
        Some(element.get_bounding_client_rect())
    };
    let first = top(0)?;
    let pitch = top(1).map_or(first.height(), |second| second.top() - first.top());
    (pitch > 0.0).then_some(pitch)
}

/// The rows between the top of the screen, `scrolled` pixels into the table, and its bottom.
fn visible(scrolled: f64, screen: f64, row: f64, count: usize) -> Range<usize> {
    let first = (scrolled / row).floor().max(0.0) as usize;
    let last = ((scrolled + screen) / row).ceil().max(0.0) as usize;
    // Whole margins, so that a few pixels of scrolling change nothing.
    let first = first.saturating_sub(MARGIN_ROWS) / MARGIN_ROWS * MARGIN_ROWS;
    let last = (last + MARGIN_ROWS).div_ceil(MARGIN_ROWS) * MARGIN_ROWS;
    first.min(count)..last.min(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_seen() {
        let check =
            |scrolled, count, expect| assert_eq!(visible(scrolled, 880.0, 44.0, count), expect);
        check(-200.0, 5000, 0..36);
        check(0.0, 10, 0..10);
        check(44_000.0, 5000, 984..1032);
        check(220_000.0, 5000, 4980..5000);
        check(10.0, 0, 0..0);
    }
}
