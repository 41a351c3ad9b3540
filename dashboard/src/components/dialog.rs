//! A window over the page: the browser keeps the focus in it and Escape closes it.

use web_sys::{HtmlDialogElement, HtmlElement};
use yew::prelude::*;

use super::icon::{Glyph, icon};

/// The heading's id; only one dialog is open at a time.
const TITLE_ID: &str = "dialog-title";

#[derive(PartialEq, Properties)]
pub struct DialogProps {
    /// Its heading.
    pub title: AttrValue,
    /// It wants to be closed.
    pub on_close: Callback<()>,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
    /// What is in it.
    pub children: Html,
}

/// Open as long as it is drawn; the focus goes back to where it was.
#[component]
pub fn Dialog(props: &DialogProps) -> Html {
    let node = use_node_ref();
    use_effect_with((), {
        let node = node.clone();
        move |()| {
            let before = document().and_then(|document| document.active_element());
            let dialog = node.cast::<HtmlDialogElement>();
            if let Some(dialog) = &dialog
                && !dialog.open()
                && dialog.show_modal().is_err()
            {
                dialog.set_open(true);
            }
            move || {
                if let Some(element) = before
                    .and_then(|element| wasm_bindgen::JsCast::dyn_into::<HtmlElement>(element).ok())
                {
                    // An element that is gone by now cannot take the focus back, which harms nobody.
                    let _ = element.focus();
                }
            }
        }
    });
    let close = {
        let on_close = props.on_close.clone();
        move |()| on_close.emit(())
    };
    let oncancel = {
        let close = close.clone();
        move |event: Event| {
            event.prevent_default();
            close(());
        }
    };
    let onmousedown = {
        let (close, node) = (close.clone(), node.clone());
        move |event: MouseEvent| {
            // A press on the backdrop lands on the dialog itself, not on what is in it.
            if event.target_dyn_into::<HtmlDialogElement>() == node.cast() {
                close(());
            }
        }
    };
    html! {
        <dialog ref={node} class={classes!("dialog", props.class.clone())} aria-labelledby={TITLE_ID} {oncancel} {onmousedown}>
            <div class="dialog-body">
                <header class="dialog-head">
                    <h2 id={TITLE_ID}>{ &props.title }</h2>
                    <button type="button" class="button-icon" aria-label="Close" onclick={move |_| close(())}>
                        { icon(Glyph::Cross) }
                    </button>
                </header>
                { props.children.clone() }
            </div>
        </dialog>
    }
}

fn document() -> Option<web_sys::Document> {
    web_sys::window().and_then(|window| window.document())
}
