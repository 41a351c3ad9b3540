//! A new password for oneself.

use infra_watch_client::{operations, types};
use yew::prelude::*;

use crate::api::ApiError;
use crate::components::dialog::Dialog;
use crate::components::field::TextField;
use crate::components::form::{Action, form};
use crate::hooks::submit::use_submit;

#[derive(PartialEq, Properties)]
pub struct PasswordProps {
    /// It is done or given up.
    pub on_close: Callback<()>,
}

/// The old one, the new one.
#[component]
pub fn Password(props: &PasswordProps) -> Html {
    let current = use_state(String::new);
    let new = use_state(String::new);
    let submit = use_submit();
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let on_submit = {
        let (current, new, submit, on_close) = (
            current.clone(),
            new.clone(),
            submit.clone(),
            props.on_close.clone(),
        );
        Callback::from(move |()| {
            let on_close = on_close.clone();
            match body(&current, &new) {
                Err(error) => submit.refuse(error),
                Ok(body) => submit.send(operations::change_password(&body), move |()| {
                    on_close.emit(());
                }),
            }
        })
    };
    html! {
            <Dialog title="Change password" on_close={props.on_close.clone()}>
                { form(Action::new("Change password"), submit.is_busy(), submit.whole(&["current_password", "new_password"]), on_submit, Some(props.on_close.clone()), html! {
    <>
                    <TextField id="current_password" label="Current password" kind="password" autocomplete="current-password" value={(*current).clone()}
                        on_input={take(&current)} error={submit.field("current_password")} autofocus={true} />
                    <TextField id="new_password" label="New password" kind="password" autocomplete="new-password" value={(*new).clone()} on_input={take(&new)}
                        error={submit.field("new_password")} help="8 to 128 characters. Your other sessions end." />
                </>
    }) }
            </Dialog>
        }
}

/// The request, or which field cannot be part of one.
fn body(current: &str, new: &str) -> Result<types::ChangePassword, ApiError> {
    Ok(types::ChangePassword {
        current_password: ApiError::checked("current_password", current)?,
        new_password: ApiError::checked("new_password", new)?,
    })
}
