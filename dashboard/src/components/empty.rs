//! Nothing to show: one sentence and the next step.

use yew::prelude::*;

use super::icon::{Glyph, icon};

/// A calm place where a list would be: a drawing, one sentence, the next step.
pub fn empty(glyph: Glyph, title: &'static str, next: Html) -> Html {
    html! {
        <div class="empty">
            <span class="empty-glyph">{ icon(glyph) }</span>
            <p class="empty-title">{ title }</p>
            { next }
        </div>
    }
}
