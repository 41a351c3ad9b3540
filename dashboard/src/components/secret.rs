//! Something to copy: a secret that is shown once, or a command line.

use gloo_timers::callback::Timeout;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use yew::prelude::*;

use super::dialog::Dialog;
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

/// A secret, this once, and the command line that it is for.
pub fn shown_once(
    title: &'static str,
    label: &'static str,
    secret: String,
    command: Option<String>,
    on_close: Callback<()>,
) -> Html {
    let done = on_close.reform(|_: MouseEvent| ());
    html! {
        <Dialog {title} {on_close}>
            <p class="note">{ "This is the only time it is shown. Copy it now." }</p>
            <Copy {label} value={secret} />
            if let Some(command) = command { <Copy label="Command line" value={command} /> }
            <div class="form-buttons"><button type="button" class="button button-primary" onclick={done}>{ "Done" }</button></div>
        </Dialog>
    }
}

/// Where this dashboard is, as agents and collectors are told it.
pub fn origin() -> String {
    let origin = web_sys::window().and_then(|window| window.location().origin().ok());
    origin.unwrap_or_default()
}
