//! Something long behind one line.

use yew::prelude::*;

use super::icon::{Glyph, icon};

#[derive(PartialEq, Properties)]
pub struct FoldProps {
    /// The line.
    pub title: Html,
    /// Draws what is behind it; not before it is asked for.
    pub view: Callback<(), Html>,
    /// Whether it is open at first.
    #[prop_or_default]
    pub open: bool,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
}

/// The line, and what is behind it once it was pressed.
#[component]
pub fn Fold(props: &FoldProps) -> Html {
    let open = use_state(|| props.open);
    let onclick = {
        let open = open.clone();
        move |_: MouseEvent| open.set(!*open)
    };
    html! {
        <div class={classes!("fold", props.class.clone())}>
            <button type="button" class="fold-line" aria-expanded={open.to_string()} {onclick}>
                { icon(if *open { Glyph::Down } else { Glyph::Right }) }{ props.title.clone() }
            </button>
            if *open { <div class="fold-body">{ props.view.emit(()) }</div> }
        </div>
    }
}
