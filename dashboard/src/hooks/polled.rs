//! Data that is fetched now and again while a page is looked at.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use super::clock;
use crate::api::{Api, Pending, use_api};
use crate::loaded::{Resource, Shared, State};

/// Asks once; what comes back takes the answer in.
type Attempt = dyn Fn() -> LocalBoxFuture<'static, Box<dyn FnOnce()>>;

/// Fetches for `key`, and again every `every_seconds`; what was there stays until the next answer is in.
#[hook]
pub fn use_polled<K, T>(
    key: K,
    every_seconds: Option<u32>,
    fetch: impl Fn(Api, K) -> Pending<T> + 'static,
) -> Resource<T>
where
    K: Clone + PartialEq + 'static,
    T: 'static,
{
    let api = use_api();
    let state = use_state(|| State::Loading);
    let latest = use_mut_ref(|| State::Loading);
    // A moment and no count: who asks again may hold a page that was drawn before others asked.
    let asked_at = use_state(clock::read);
    use_effect_with((key, every_seconds, *asked_at), {
        let state = state.clone();
        move |(key, every_seconds, _)| {
            let key = key.clone();
            let current = Rc::new(Cell::new(true));
            let attempt = move || {
                let (state, latest) = (state.clone(), latest.clone());
                let answer = fetch(api.clone(), key.clone());
                Box::pin(async move {
                    let answer = answer.await;
                    Box::new(move || {
                        let next = match answer {
                            Ok(data) => State::Fresh {
                                data: Shared::new(data),
                                at: clock::read(),
                            },
                            Err(error) => latest.borrow().clone().failed(error),
                        };
                        *latest.borrow_mut() = next.clone();
                        state.set(next);
                    }) as Box<dyn FnOnce()>
                }) as LocalBoxFuture<'static, _>
            };
            spawn_local(follow(Box::new(attempt), *every_seconds, current.clone()));
            move || current.set(false)
        }
    });
    let retry = {
        let asked_at = asked_at.setter();
        Callback::from(move |()| asked_at.set(clock::read()))
    };
    Resource {
        state: (*state).clone(),
        retry,
    }
}

/// Asks and takes the answer, again and again while it is current: the part that is the same for all data.
async fn follow(attempt: Box<Attempt>, every_seconds: Option<u32>, current: Rc<Cell<bool>>) {
    while current.get() {
        let take = attempt().await;
        if !current.get() {
            return;
        }
        take();
        let Some(seconds) = every_seconds else { return };
        TimeoutFuture::new(seconds * 1000).await;
        while current.get() && hidden() {
            TimeoutFuture::new(1000).await;
        }
    }
}

/// Whether nobody can see the page.
fn hidden() -> bool {
    web_sys::window()
        .and_then(|window| window.document())
        .is_some_and(|document| document.hidden())
}
