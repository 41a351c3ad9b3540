//! A button that opens a short list of things to do.

use web_sys::{Element, Node};
use yew::prelude::*;

use super::icon::{Glyph, icon};

#[derive(PartialEq, Properties)]
pub struct MenuProps {
    /// What the button is called.
    pub label: AttrValue,
    /// The button's hook for tests.
    pub action: AttrValue,
    /// What the button shows.
    pub face: Html,
    /// The entries.
    pub children: Html,
}

/// Opens on a press, closes on Escape, on a choice and when the focus leaves.
#[component]
pub fn Menu(props: &MenuProps) -> Html {
    let open = use_state(|| false);
    let node = use_node_ref();
    let toggle = {
        let open = open.clone();
        move |_| open.set(!*open)
    };
    let close = {
        let open = open.clone();
        move |_: MouseEvent| open.set(false)
    };
    let onkeydown = {
        let open = open.clone();
        move |event: KeyboardEvent| {
            if event.key() == "Escape" {
                open.set(false);
            }
        }
    };
    let onfocusout = {
        let (open, node) = (open.clone(), node.clone());
        move |event: FocusEvent| {
            let to = event
                .related_target()
                .and_then(|target| wasm_bindgen::JsCast::dyn_into::<Node>(target).ok());
            let stays = node
                .cast::<Element>()
                .is_some_and(|menu| menu.contains(to.as_ref()));
            if !stays {
                open.set(false);
            }
        }
    };
    html! {
        <div ref={node} class="menu" {onkeydown} {onfocusout}>
            <button type="button" class="menu-button" aria-label={props.label.clone()} aria-haspopup="true" aria-expanded={open.to_string()}
                data-action={props.action.clone()} onclick={toggle}>
                { props.face.clone() }
                { icon(Glyph::Down) }
            </button>
            if *open {
                <div class="menu-list" tabindex="-1" onclick={close}>{ props.children.clone() }</div>
            }
        </div>
    }
}
