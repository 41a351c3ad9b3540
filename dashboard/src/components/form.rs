//! A form: its fields, what is wrong with the whole, and its buttons.

use yew::prelude::*;

/// The button that sends a form.
pub struct Action {
    /// What it says.
    pub words: AttrValue,
    /// Whether it destroys something.
    pub is_dangerous: bool,
    /// Whether the form cannot be sent yet.
    pub is_disabled: bool,
}

impl Action {
    /// One that can be pressed and destroys nothing.
    pub fn new(words: &'static str) -> Self {
        Self {
            words: words.into(),
            is_dangerous: false,
            is_disabled: false,
        }
    }
}

/// Fields above, buttons below; without `on_cancel` it cannot be given up.
pub fn form(
    action: Action,
    is_busy: bool,
    error: Option<AttrValue>,
    on_submit: Callback<()>,
    on_cancel: Option<Callback<()>>,
    fields: Html,
) -> Html {
    let onsubmit = move |event: SubmitEvent| {
        event.prevent_default();
        on_submit.emit(());
    };
    let cancel = on_cancel.map(|on_cancel| {
        html! { <button type="button" class="button" onclick={move |_| on_cancel.emit(())}>{ "Cancel" }</button> }
    });
    let class = if action.is_dangerous {
        "button button-danger"
    } else {
        "button button-primary"
    };
    html! {
        <form class="form" {onsubmit} novalidate={true}>
            { fields }
            if let Some(error) = error {
                <p class="form-error" role="alert">{ error }</p>
            }
            <div class="form-buttons">
                { for cancel }
                <button type="submit" {class} disabled={is_busy || action.is_disabled} aria-busy={is_busy.to_string()}>{ action.words }</button>
            </div>
        </form>
    }
}
