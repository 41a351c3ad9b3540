//! What administrators may do with a host: another name, other labels, away with it.

use infra_watch_client::operations;
use infra_watch_client::types::{self, Host};
use yew::prelude::*;

use crate::api::{Api, ApiError};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::field::TextField;
use crate::components::form::{Action, form};
use crate::components::go::Address;
use crate::components::labels;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::route::Route;

#[derive(PartialEq, Properties)]
pub struct EditHostProps {
    /// The host.
    pub host: Shared<Host>,
    /// It is done or given up.
    pub on_close: Callback<()>,
    /// It is done.
    pub on_done: Callback<()>,
}

/// Name and labels.
#[component]
pub fn EditHost(props: &EditHostProps) -> Html {
    let host = &props.host;
    let name = use_state(|| host.name.clone());
    let text = use_state(|| labels::to_text(&labels::sorted(&host.labels)));
    let submit = use_submit();
    let take = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let on_submit = {
        let (host_id, name, text, submit) =
            (host.host_id, name.clone(), text.clone(), submit.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let body = match body(&name, &text) {
                Ok(body) => body,
                Err(error) => return submit.refuse(error),
            };
            let (on_close, on_done) = (on_close.clone(), on_done.clone());
            submit.send(operations::update_host(host_id, &body), move |_| {
                on_done.emit(());
                on_close.emit(());
            });
        })
    };
    html! {
            <Dialog title="Edit host" on_close={props.on_close.clone()}>
                { form(Action::new("Save"), submit.is_busy(), submit.whole(&["name", "labels"]), on_submit, Some(props.on_close.clone()), html! {
    <>
                    <TextField id="name" label="Name" value={(*name).clone()} on_input={take(&name)} error={submit.field("name")} autofocus={true}
                        help={if host.hostname.is_empty() { "Empty goes back to the hostname.".to_owned() } else { format!("Empty goes back to the hostname, {}.", host.hostname) }} />
                    <TextField id="labels" label="Labels" value={(*text).clone()} on_input={take(&text)} error={submit.field("labels")}
                        help="Of the form role=web, env=prod." />
                </>
    }) }
            </Dialog>
        }
}

/// The request, or which field cannot be part of one.
fn body(name: &str, text: &str) -> Result<types::UpdateHost, ApiError> {
    let labels = labels::from_text(text).map_err(|message| ApiError::field("labels", message))?;
    let labels = labels
        .into_iter()
        .map(|(name, value)| Ok((name, ApiError::checked("labels", &value)?)));
    Ok(types::UpdateHost {
        name: Some(ApiError::checked("name", name.trim())?),
        labels: Some(labels.collect::<Result<_, ApiError>>()?),
        ..types::UpdateHost::default()
    })
}

/// Asks for the host's name before everything of it goes.
pub fn delete_host(host: &Host, on_close: Callback<()>) -> Html {
    let host_id = host.host_id;
    let act = Callback::from(move |api: Api| api.ask(operations::delete_host(host_id)));
    let on_done = Callback::from(|()| Address::from(Route::Overview).replace());
    html! {
        <Ask title={format!("Delete {}?", host.name)} name={host.name.clone()} action="Delete host" {act} {on_close} {on_done}
            warning="All its measurements go with it, and its agent's token stops working." />
    }
}
