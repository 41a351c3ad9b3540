//! Destructive acts ask by name.

use yew::prelude::*;

use super::dialog::Dialog;
use super::field::TextField;
use super::form::Form;

#[derive(PartialEq, Properties)]
pub struct ConfirmProps {
    /// The heading, a question.
    pub title: AttrValue,
    /// What will be gone.
    pub warning: AttrValue,
    /// What must be typed; nothing where little is lost.
    #[prop_or_default]
    pub name: AttrValue,
    /// What the button says.
    pub action: AttrValue,
    /// Whether an answer is awaited.
    pub busy: bool,
    /// What went wrong.
    pub error: Option<AttrValue>,
    /// The name was typed and the button pressed.
    pub on_confirm: Callback<()>,
    /// It was given up.
    pub on_close: Callback<()>,
}

/// A dialog whose button works once the name has been typed.
#[component]
pub fn Confirm(props: &ConfirmProps) -> Html {
    let typed = use_state(String::new);
    let on_input = {
        let typed = typed.clone();
        Callback::from(move |text| typed.set(text))
    };
    let matches = *typed == *props.name;
    html! {
        <Dialog title={props.title.clone()} on_close={props.on_close.clone()}>
            <Form on_submit={props.on_confirm.clone()} action={props.action.clone()} busy={props.busy} error={props.error.clone()}
                on_cancel={Some(props.on_close.clone())} disabled={!matches} dangerous={true}>
                <p>{ &props.warning }</p>
                if !props.name.is_empty() {
                    <TextField id="confirm-name" label={format!("Type {} to confirm", props.name)} value={(*typed).clone()} {on_input} autofocus={true} />
                }
            </Form>
        </Dialog>
    }
}
