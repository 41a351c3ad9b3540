//! Light or dark: the system's choice until the viewer makes one.

use yew::prelude::*;

use super::media::use_media;

/// Where the choice is kept; `assets/theme.js` reads it before the first paint.
const KEY: &str = "infra-watch-theme";

/// How the page is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Light => Self::Dark,
            Self::Dark => Self::Light,
        }
    }
}

/// The theme that holds, with the way to choose another.
#[derive(Clone, PartialEq)]
pub struct ThemeHandle {
    /// What holds now.
    pub theme: Theme,
    /// Chooses.
    pub choose: Callback<Theme>,
}

#[derive(PartialEq, Properties)]
pub struct ThemedProps {
    /// Everything that may ask for the theme.
    pub children: Html,
}

/// Hands the theme to everything in it.
#[component]
pub fn Themed(props: &ThemedProps) -> Html {
    let system_is_dark = use_media("(prefers-color-scheme: dark)");
    let chosen = use_state(stored);
    let theme = chosen.unwrap_or(if system_is_dark {
        Theme::Dark
    } else {
        Theme::Light
    });
    let choose = {
        let chosen = chosen.clone();
        Callback::from(move |theme: Theme| {
            keep(theme);
            chosen.set(Some(theme));
        })
    };
    html! { <ContextProvider<ThemeHandle> context={ThemeHandle { theme, choose }}>{ props.children.clone() }</ContextProvider<ThemeHandle>> }
}

/// The theme, and the way to change it.
#[hook]
pub fn use_theme() -> ThemeHandle {
    use_context().unwrap_or(ThemeHandle {
        theme: Theme::Light,
        choose: Callback::noop(),
    })
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}

fn stored() -> Option<Theme> {
    match storage()?.get_item(KEY).ok().flatten()?.as_str() {
        "light" => Some(Theme::Light),
        "dark" => Some(Theme::Dark),
        _ => None,
    }
}

/// Applies a choice at once and keeps it, where the browser keeps anything.
fn keep(theme: Theme) {
    let root = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.document_element());
    if let Some(root) = root {
        let _ = root.set_attribute("data-theme", theme.name());
    }
    if let Some(storage) = storage() {
        let _ = storage.set_item(KEY, theme.name());
    }
}
