//! Search over pages and hosts: type, choose with the arrows, go with Enter.

use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::dialog::Dialog;
use super::icon::{Glyph, icon};
use crate::route::Route;

/// More than these nobody reads; another letter finds the rest.
const SHOWN: usize = 12;

/// Somewhere to go.
#[derive(Clone, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: AttrValue,
    /// What it is.
    pub kind: AttrValue,
    /// Its drawing.
    pub glyph: Glyph,
    /// Its address.
    pub route: Route,
}

#[derive(PartialEq, Properties)]
pub struct PaletteProps {
    /// Where one can go.
    pub places: Vec<Place>,
    /// A place was chosen.
    pub on_go: Callback<Route>,
    /// It was given up.
    pub on_close: Callback<()>,
}

/// The field and the places that match what is in it.
#[component]
pub fn Palette(props: &PaletteProps) -> Html {
    let text = use_state(String::new);
    let chosen = use_state(|| 0_usize);
    let input = use_node_ref();
    use_effect_with((), {
        let input = input.clone();
        move |()| {
            if let Some(input) = input.cast::<HtmlInputElement>() {
                let _ = input.focus();
            }
        }
    });
    let words = text.to_lowercase();
    let matches = |place: &&Place| {
        words
            .split_whitespace()
            .all(|word| place.name.to_lowercase().contains(word))
    };
    let found: Vec<Place> = props
        .places
        .iter()
        .filter(matches)
        .take(SHOWN)
        .cloned()
        .collect();
    let active = (*chosen).min(found.len().saturating_sub(1));
    let oninput = {
        let (text, chosen) = (text.clone(), chosen.clone());
        move |event: InputEvent| {
            if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
                text.set(input.value());
                chosen.set(0);
            }
        }
    };
    let onkeydown = {
        let (found, on_go, chosen) = (found.clone(), props.on_go.clone(), chosen.clone());
        move |event: KeyboardEvent| {
            match event.key().as_str() {
                "ArrowDown" => chosen.set((active + 1).min(found.len().saturating_sub(1))),
                "ArrowUp" => chosen.set(active.saturating_sub(1)),
                "Enter" => {
                    if let Some(place) = found.get(active) {
                        on_go.emit(place.route.clone());
                    }
                }
                _ => return,
            }
            event.prevent_default();
        }
    };
    html! {
        <Dialog title="Search" class="palette" on_close={props.on_close.clone()}>
            <div class="palette-field">
                { icon(Glyph::Search) }
                <input ref={input} type="text" role="combobox" aria-label="Search hosts and pages" aria-expanded="true" aria-controls="palette-list"
                    aria-activedescendant={(!found.is_empty()).then(|| format!("palette-{active}"))} placeholder="Go to a host or a page"
                    value={(*text).clone()} {oninput} {onkeydown} autocomplete="off" spellcheck="false" />
            </div>
            <ul id="palette-list" class="palette-list" role="listbox" aria-label="Places">
                { for found.iter().enumerate().map(|(index, place)| {
                    let (on_go, route) = (props.on_go.clone(), place.route.clone());
                    html! {
                        <li id={format!("palette-{index}")} role="option" aria-selected={(index == active).to_string()} onclick={move |_| on_go.emit(route.clone())}>
                            { icon(place.glyph) }
                            <span>{ &place.name }</span>
                            <span class="muted">{ &place.kind }</span>
                        </li>
                    }
                }) }
            </ul>
            if found.is_empty() {
                <p class="palette-nothing muted">{ "Nothing is called that." }</p>
            }
        </Dialog>
    }
}
