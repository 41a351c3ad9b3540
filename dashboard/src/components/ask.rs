//! Asks before something is done that cannot be undone, and does it.

use yew::prelude::*;

use super::dialog::Dialog;
use super::field::TextField;
use super::form::{Action, form};
use crate::api::{Api, Pending, use_api};
use crate::hooks::submit::use_submit;

#[derive(PartialEq, Properties)]
pub struct AskProps {
    /// The heading, a question.
    pub title: AttrValue,
    /// What will happen.
    pub warning: AttrValue,
    /// What must be typed before; nothing where little is lost.
    #[prop_or_default]
    pub name: AttrValue,
    /// What the button says.
    pub action: AttrValue,
    /// Does it.
    pub act: Callback<Api, Pending<()>>,
    /// It was given up, or is done.
    pub on_close: Callback<()>,
    /// It is done.
    pub on_done: Callback<()>,
}

/// A dialog whose button works once the name has been typed.
#[component]
pub fn Ask(props: &AskProps) -> Html {
    let api = use_api();
    let submit = use_submit();
    let typed = use_state(String::new);
    let on_input = {
        let typed = typed.clone();
        Callback::from(move |text| typed.set(text))
    };
    let on_submit = {
        let (submit, act) = (submit.clone(), props.act.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let (on_close, on_done) = (on_close.clone(), on_done.clone());
            submit.run(act.emit(api.clone()), move |()| {
                on_done.emit(());
                on_close.emit(());
            });
        })
    };
    html! {
            <Dialog title={props.title.clone()} on_close={props.on_close.clone()}>
                { form(Action { words: props.action.clone(), is_dangerous: true, is_disabled: *typed != *props.name }, submit.is_busy(), submit.whole(&[]), on_submit, Some(props.on_close.clone()), html! {
    <>
                    <p>{ &props.warning }</p>
                    if !props.name.is_empty() {
                        <TextField id="confirm-name" label={format!("Type {} to confirm", props.name)} value={(*typed).clone()} {on_input} autofocus={true} />
                    }
                </>
    }) }
            </Dialog>
        }
}
