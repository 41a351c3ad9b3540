//! A long list, page by page: what is on the first pages, and the button for the next.

use infra_watch_client::{Operation, Page};
use yew::prelude::*;

use super::polled::use_polled;
use crate::api::Pages;
use crate::loaded::Resource;

/// The first pages of a list and the way to more.
pub struct Paged<T> {
    /// What is on them.
    pub list: Resource<Pages<T>>,
    wanted: usize,
    more: Callback<usize>,
}

/// The first page of what belongs to `key`, and more of it on demand.
#[hook]
pub fn use_paged<K, O>(
    key: K,
    every_seconds: Option<u32>,
    page: impl Fn(&K, Option<&str>) -> O + Clone + 'static,
) -> Paged<<O::Answer as Page>::Item>
where
    K: Clone + PartialEq + 'static,
    O: Operation<Answer: Page<Item: 'static>>,
{
    // How many pages were asked for, and of what: something else begins with one.
    let asked = use_state(|| (key.clone(), 1));
    let wanted = if asked.0 == key { asked.1 } else { 1 };
    let list = use_polled(
        (key.clone(), wanted),
        every_seconds,
        move |api, (key, wanted)| {
            let page = page.clone();
            api.pages(wanted, move |cursor| page(&key, cursor))
        },
    );
    let more = Callback::from(move |wanted| asked.set((key.clone(), wanted)));
    Paged { list, wanted, more }
}

impl<T> Paged<T> {
    /// The button for the next page, where there is one.
    pub fn more(&self) -> Html {
        let Some(pages) = self.list.data().filter(|pages| pages.has_more) else {
            return Html::default();
        };
        let is_busy = pages.count < self.wanted;
        let (more, next) = (self.more.clone(), self.wanted + 1);
        html! {
            <div class="more">
                <button type="button" class="button" data-action="more" disabled={is_busy} onclick={move |_| more.emit(next)}>
                    { if is_busy { "Loading" } else { "Load more" } }
                </button>
            </div>
        }
    }
}
