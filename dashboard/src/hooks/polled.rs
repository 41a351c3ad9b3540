//! Data that is fetched now and again while a page is looked at.

use std::cell::Cell;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use super::clock;
use crate::api::{Api, ApiError, use_api};
use crate::loaded::{Resource, Shared, State};

/// Fetches for `key`, and again every `every_seconds`; what was there stays until the next answer is in.
#[hook]
pub fn use_polled<K, T, F>(
    key: K,
    every_seconds: Option<u32>,
    fetch: impl Fn(Api, K) -> F + 'static,
) -> Resource<T>
where
    K: Clone + PartialEq + 'static,
    T: 'static,
    F: Future<Output = Result<T, ApiError>> + 'static,
{
    let api = use_api();
    let state = use_state(|| State::Loading);
    let latest = use_mut_ref(|| State::Loading);
    let attempt = use_state(|| 0_u32);
    use_effect_with((key, every_seconds, *attempt), {
        let state = state.clone();
        move |(key, every_seconds, _)| {
            let (key, every_seconds) = (key.clone(), *every_seconds);
            let current = Rc::new(Cell::new(true));
            let follow = current.clone();
            spawn_local(async move {
                while follow.get() {
                    let answer = fetch(api.clone(), key.clone()).await;
                    if !follow.get() {
                        return;
                    }
                    let next = match answer {
                        Ok(data) => State::Fresh {
                            data: Shared::new(data),
                            at: clock::read(),
                        },
                        Err(error) => latest.borrow().clone().failed(error),
                    };
                    *latest.borrow_mut() = next.clone();
                    state.set(next);
                    let Some(seconds) = every_seconds else { return };
                    TimeoutFuture::new(seconds * 1000).await;
                    while follow.get() && hidden() {
                        TimeoutFuture::new(1000).await;
                    }
                }
            });
            move || current.set(false)
        }
    });
    let retry = {
        let attempt = attempt.clone();
        Callback::from(move |()| attempt.set(*attempt + 1))
    };
    Resource {
        state: (*state).clone(),
        retry,
    }
}

/// Whether nobody can see the page.
fn hidden() -> bool {
    web_sys::window()
        .and_then(|window| window.document())
        .is_some_and(|document| document.hidden())
}
