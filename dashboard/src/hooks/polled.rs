//! Data that is fetched now and again while a page is looked at.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

use futures_util::FutureExt as _;
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use super::clock;
use crate::api::{Api, Pending, use_api};
use crate::loaded::{Resource, Shared, State};

/// Asks once, for data of any type.
type Ask = dyn Fn(Api) -> Pending<Shared<dyn Any>>;

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
    let ask = {
        let key = key.clone();
        move |api| {
            let answer = fetch(api, key.clone());
            Box::pin(answer.map(|answer| Ok(Shared::new(answer?).erased()))) as Pending<_>
        }
    };
    use_followed(Key(Rc::new(key)), every_seconds, Rc::new(ask)).typed()
}

/// The part that is the same for all data.
#[hook]
fn use_followed(key: Key, every_seconds: Option<u32>, ask: Rc<Ask>) -> Resource<dyn Any> {
    let api = use_api();
    let state = use_state(|| State::Loading);
    let latest = use_mut_ref(|| State::Loading);
    // A moment and no count: who asks again may hold a page that was drawn before others asked.
    let asked_at = use_state(clock::read);
    use_effect_with((key, every_seconds, *asked_at), {
        let state = state.setter();
        move |(_, every_seconds, _)| {
            let every_seconds = *every_seconds;
            let current = Rc::new(Cell::new(true));
            let ended = current.clone();
            spawn_local(async move {
                while current.get() {
                    let answer = ask(api.clone()).await;
                    if !current.get() {
                        return;
                    }
                    let next = match answer {
                        Ok(data) => State::Fresh {
                            data,
                            at: clock::read(),
                        },
                        Err(error) => latest.borrow().clone().failed(error),
                    };
                    *latest.borrow_mut() = next.clone();
                    state.set(next);
                    let Some(seconds) = every_seconds else { return };
                    TimeoutFuture::new(seconds * 1000).await;
                    while current.get() && hidden() {
                        TimeoutFuture::new(1000).await;
                    }
                }
            });
            move || ended.set(false)
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

/// What data is fetched for, of any type.
struct Key(Rc<dyn AnyKey>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

trait AnyKey: Any {
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<K: PartialEq + 'static> AnyKey for K {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}

/// Whether nobody can see the page.
fn hidden() -> bool {
    web_sys::window()
        .and_then(|window| window.document())
        .is_some_and(|document| document.hidden())
}
