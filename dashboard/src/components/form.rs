//! A form: its fields, what is wrong with the whole, and its buttons.

use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct FormProps {
    /// It was sent.
    pub on_submit: Callback<()>,
    /// What the button says.
    pub action: AttrValue,
    /// Whether an answer is awaited.
    #[prop_or_default]
    pub busy: bool,
    /// Whether it cannot be sent yet.
    #[prop_or_default]
    pub disabled: bool,
    /// Whether it destroys something.
    #[prop_or_default]
    pub dangerous: bool,
    /// What is wrong with the whole.
    #[prop_or_default]
    pub error: Option<AttrValue>,
    /// It was given up; without this there is no button for it.
    #[prop_or_default]
    pub on_cancel: Option<Callback<()>>,
    /// The fields.
    pub children: Html,
}

/// Fields above, buttons below.
#[component]
pub fn Form(props: &FormProps) -> Html {
    let on_submit = props.on_submit.clone();
    let onsubmit = move |event: SubmitEvent| {
        event.prevent_default();
        on_submit.emit(());
    };
    let cancel = props.on_cancel.clone().map(|on_cancel| {
        html! { <button type="button" class="button" onclick={move |_| on_cancel.emit(())}>{ "Cancel" }</button> }
    });
    let class = if props.dangerous {
        "button button-danger"
    } else {
        "button button-primary"
    };
    html! {
        <form class="form" {onsubmit} novalidate={true}>
            { props.children.clone() }
            if let Some(error) = &props.error {
                <p class="form-error" role="alert">{ error }</p>
            }
            <div class="form-buttons">
                { for cancel }
                <button type="submit" {class} disabled={props.busy || props.disabled} aria-busy={props.busy.to_string()}>{ &props.action }</button>
            </div>
        </form>
    }
}
