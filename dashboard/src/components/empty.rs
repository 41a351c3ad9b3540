//! Nothing to show: one sentence and the next step.

use yew::prelude::*;

use super::icon::{Glyph, icon};

#[derive(PartialEq, Properties)]
pub struct EmptyProps {
    /// A drawing.
    pub glyph: Glyph,
    /// One sentence.
    pub title: AttrValue,
    /// The next step.
    #[prop_or_default]
    pub children: Html,
}

/// A calm place where a list would be.
#[component]
pub fn Empty(props: &EmptyProps) -> Html {
    html! {
        <div class="empty">
            <span class="empty-glyph">{ icon(props.glyph) }</span>
            <p class="empty-title">{ &props.title }</p>
            { props.children.clone() }
        </div>
    }
}
