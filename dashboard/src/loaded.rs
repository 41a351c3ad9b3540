//! Loading, fresh, stale or failed: decided here and nowhere else.

use std::any::Any;
use std::ops::Deref;
use std::rc::Rc;

use chrono::{DateTime, Utc};
use yew::prelude::*;

use crate::api::ApiError;
use crate::components::icon::{Glyph, icon};
use crate::format;
use crate::hooks::clock::{self, zone};

/// Data that several components look at; equal only to itself, which is cheap to compare.
pub struct Shared<T: ?Sized>(Rc<T>);

impl<T> Shared<T> {
    /// Wraps data that will not change any more.
    pub fn new(data: T) -> Self {
        Self(Rc::new(data))
    }
}

impl<T: 'static> Shared<T> {
    /// The same data without its type.
    pub fn erased(self) -> Shared<dyn Any> {
        Shared(self.0)
    }
}

impl Shared<dyn Any> {
    /// The same data with its type; nothing if that is another.
    fn typed<T: 'static>(self) -> Option<Shared<T>> {
        self.0.downcast().ok().map(Shared)
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: ?Sized> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What is known of some data.
pub enum State<T: ?Sized> {
    /// Nothing yet.
    Loading,
    /// The last answer was good.
    Fresh {
        /// The answer.
        data: Shared<T>,
        /// When it came.
        at: DateTime<Utc>,
    },
    /// An older answer was good, the last one was not.
    Stale {
        /// The good answer.
        data: Shared<T>,
        /// When it came.
        at: DateTime<Utc>,
        /// What happened since.
        error: ApiError,
    },
    /// There never was a good answer.
    Failed(ApiError),
}

impl<T: ?Sized> Clone for State<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Loading => Self::Loading,
            Self::Fresh { data, at } => Self::Fresh {
                data: data.clone(),
                at: *at,
            },
            Self::Stale { data, at, error } => Self::Stale {
                data: data.clone(),
                at: *at,
                error: error.clone(),
            },
            Self::Failed(error) => Self::Failed(error.clone()),
        }
    }
}

impl<T: ?Sized> State<T> {
    /// What is known after an attempt that failed; what does not exist any more is not kept.
    pub fn failed(self, error: ApiError) -> Self {
        match self {
            Self::Fresh { data, at } | Self::Stale { data, at, .. } if !error.is_final() => {
                Self::Stale { data, at, error }
            }
            _ => Self::Failed(error),
        }
    }
}

/// Data with its state and the way to ask again.
pub struct Resource<T: ?Sized> {
    /// What is known.
    pub state: State<T>,
    /// Asks again now.
    pub retry: Callback<()>,
}

impl Resource<dyn Any> {
    /// The same with the type of its data, without data if that is of another.
    pub fn typed<T: 'static>(self) -> Resource<T> {
        let state = match self.state {
            State::Loading => None,
            State::Fresh { data, at } => data.typed().map(|data| State::Fresh { data, at }),
            State::Stale { data, at, error } => {
                data.typed().map(|data| State::Stale { data, at, error })
            }
            State::Failed(error) => Some(State::Failed(error)),
        };
        Resource {
            state: state.unwrap_or(State::Loading),
            retry: self.retry,
        }
    }
}

impl<T> Resource<T> {
    /// The last good answer, fresh or stale.
    pub fn data(&self) -> Option<&Shared<T>> {
        match &self.state {
            State::Fresh { data, .. } | State::Stale { data, .. } => Some(data),
            State::Loading | State::Failed(_) => None,
        }
    }

    /// Draws the data with `view`, and until it is there the skeleton of the same layout.
    pub fn show(
        &self,
        skeleton: impl FnOnce() -> Html,
        view: impl FnOnce(&Shared<T>) -> Html,
    ) -> Html {
        let retry = self.retry.clone();
        match &self.state {
            State::Loading => {
                html! { <div class="loading" aria-busy="true" aria-label="Loading">{ skeleton() }</div> }
            }
            State::Fresh { data, .. } => loaded(view(data), None, retry),
            State::Stale { data, at, error } => loaded(view(data), Some((*at, error)), retry),
            State::Failed(error) => failure(error, retry),
        }
    }
}

/// Good data; dimmed and dated when the last attempt to renew it failed.
fn loaded(view: Html, stale: Option<(DateTime<Utc>, &ApiError)>, retry: Callback<()>) -> Html {
    let note = stale.map(|(at, error)| {
        let at = format::clock(at, clock::read(), zone(at));
        html! {
            <div class="stale-note" role="status">
                { icon(Glyph::Warning) }
                <span>{ format!("As of {at}, retrying. {error}") }</span>
                <button type="button" class="button" onclick={move |_| retry.emit(())}>{ "Retry now" }</button>
            </div>
        }
    });
    html! {
        <>
            { for note }
            <div class={classes!("loaded", stale.is_some().then_some("stale"))}>{ view }</div>
        </>
    }
}

/// What failed, in words, and the way to try again.
pub fn failure(error: &ApiError, retry: Callback<()>) -> Html {
    html! {
        <div class="failure" role="alert">
            { icon(Glyph::Warning) }
            <p>{ error.to_string() }</p>
            <button type="button" class="button" onclick={move |_| retry.emit(())}>{ "Try again" }</button>
        </div>
    }
}
