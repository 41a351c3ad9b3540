//! Something to copy: a secret that is shown once, or a command line.

use gloo_timers::callback::Timeout;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use yew::prelude::*;

use super::icon::{Glyph, icon};

/// How long the button says that it worked.
const CONFIRMED_MILLISECONDS: u32 = 2000;

#[derive(PartialEq, Properties)]
pub struct CopyProps {
    /// What it is called.
    pub label: AttrValue,
    /// What is copied.
    pub value: AttrValue,
}

/// The text in a box of its own with a button that copies it.
#[component]
pub fn Copy(props: &CopyProps) -> Html {
    let copied = use_state(|| false);
    let onclick = {
        let (copied, value) = (copied.clone(), props.value.to_string());
        move |_| {
            let (copied, value) = (copied.clone(), value.clone());
            spawn_local(async move {
                let Some(window) = web_sys::window() else {
                    return;
                };
                if JsFuture::from(window.navigator().clipboard().write_text(&value))
                    .await
                    .is_ok()
                {
                    copied.set(true);
                    Timeout::new(CONFIRMED_MILLISECONDS, move || copied.set(false)).forget();
                }
            });
        }
    };
    html! {
        <div class="copy">
            <span class="copy-label">{ &props.label }</span>
            <div class="copy-box">
                <code tabindex="0">{ &props.value }</code>
                <button type="button" class="button" {onclick} aria-label={format!("Copy {}", props.label)}>
                    { icon(if *copied { Glyph::Tick } else { Glyph::Copy }) }
                    <span aria-live="polite">{ if *copied { "Copied" } else { "Copy" } }</span>
                </button>
            </div>
        </div>
    }
}
