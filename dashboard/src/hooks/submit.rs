//! What a form does when it is sent: once at a time, and what is wrong goes beside the fields.

use futures_util::FutureExt as _;
use infra_watch_client::Operation;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{Api, ApiError, Pending, use_api};
use crate::format;

/// A form's sending.
#[derive(Clone)]
pub struct Submit {
    busy: UseStateHandle<bool>,
    error: UseStateHandle<Option<ApiError>>,
    api: Api,
}

/// The state of a form's sending.
#[hook]
pub fn use_submit() -> Submit {
    Submit {
        busy: use_state(|| false),
        error: use_state(|| None),
        api: use_api(),
    }
}

impl Submit {
    /// Whether an answer is awaited.
    pub fn is_busy(&self) -> bool {
        *self.busy
    }

    /// What is wrong with a field.
    pub fn field(&self, name: &str) -> Option<AttrValue> {
        let error = self.error.as_ref()?;
        error
            .fields
            .iter()
            .find(|field| field.name == name)
            .map(|field| AttrValue::from(format::capitalised(&field.message)))
    }

    /// What is wrong with the whole, or with fields that the form does not show.
    pub fn whole(&self, shown: &[&str]) -> Option<AttrValue> {
        let error = self.error.as_ref()?;
        let hidden = error
            .fields
            .iter()
            .find(|field| !shown.contains(&field.name.as_str()));
        match hidden {
            _ if error.fields.is_empty() => Some(error.to_string().into()),
            Some(field) => Some(format!("{}: {}", field.name, field.message).into()),
            None => None,
        }
    }

    /// Says what is wrong before anything was sent.
    pub fn refuse(&self, error: ApiError) {
        self.error.set(Some(error));
    }

    /// Sends, unless something is under way; `done` gets the answer.
    pub fn send<O: Operation>(&self, operation: O, done: impl FnOnce(O::Answer) + 'static) {
        self.run(self.api.ask(operation), done);
    }

    /// The same for what is more than one operation.
    pub fn run<T: 'static>(&self, answer: Pending<T>, done: impl FnOnce(T) + 'static) {
        self.follow(Box::pin(answer.map(|answer| {
            let value = answer?;
            Ok(Box::new(move || done(value)) as Box<dyn FnOnce()>)
        })));
    }

    /// The part that is the same for every form.
    fn follow(&self, answer: Pending<Box<dyn FnOnce()>>) {
        if *self.busy {
            return;
        }
        self.busy.set(true);
        let this = self.clone();
        spawn_local(async move {
            let answer = answer.await;
            this.busy.set(false);
            match answer {
                Ok(done) => {
                    this.error.set(None);
                    done();
                }
                Err(error) => this.error.set(Some(error)),
            }
        });
    }
}
