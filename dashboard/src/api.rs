//! The backend: the operations of the generated client in a session that renews itself, in a context.

mod error;
mod session;
mod transport;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use infra_watch_client::{NotRead, Operation, Page, Request, types};
use yew::prelude::*;

pub use error::ApiError;
pub use session::{Session, SessionState};

/// The largest page that the contract allows.
pub const PAGE_ITEMS: u64 = 1000;

/// What an operation answers.
pub type Answer<T> = Result<T, ApiError>;

/// An answer that can be awaited; nothing is sent before. It is boxed so that what awaits it is small, and the same
/// for all that answer alike.
pub type Pending<T> = LocalBoxFuture<'static, Answer<T>>;

/// Reads the body of a success.
type Reader<T> = fn(&[u8]) -> Result<T, NotRead>;

/// What asks for the page at a cursor.
type AskPage = dyn Fn(Option<&str>) -> Request;

/// The items of a page, and the cursor of the next.
type Items<T> = (Vec<T>, Option<String>);

/// The first pages of a list.
pub struct Pages<T> {
    /// What is on them.
    pub items: Vec<T>,
    /// How many were asked for.
    pub count: usize,
    /// Whether another follows.
    pub has_more: bool,
}

/// The way to the backend for someone who is logged in.
#[derive(Clone, PartialEq)]
pub struct Api {
    session: Session,
}

/// The way to the backend; only asked for under [`crate::app::App`].
#[hook]
pub fn use_api() -> Api {
    use_context().unwrap_or_else(|| Api::new(Session::new(Callback::noop())))
}

/// Who is logged in.
#[hook]
pub fn use_role() -> types::Role {
    use_context().unwrap_or(types::Role::Viewer)
}

impl Api {
    /// Speaks within a session.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// Asks for one of [`infra_watch_client::operations`].
    pub fn ask<O: Operation>(&self, operation: O) -> Pending<O::Answer> {
        self.read(operation.into_request(), O::read)
    }

    /// The part that is the same for all that answer alike.
    fn read<T: 'static>(&self, request: Request, read: Reader<T>) -> Pending<T> {
        let body = self.session.ask(request);
        Box::pin(body.map(move |body| read(&body?).map_err(|_| ApiError::not_understood())))
    }

    /// Asks for every item of a list, page by page; `page` is given the cursor of each.
    pub fn all<O>(
        &self,
        page: impl Fn(Option<&str>) -> O + 'static,
    ) -> Pending<Vec<<O::Answer as Page>::Item>>
    where
        O: Operation<Answer: Page<Item: 'static>>,
    {
        Box::pin(self.pages(usize::MAX, page).map(|pages| Ok(pages?.items)))
    }

    /// Asks for the first pages of a list.
    pub fn pages<O>(
        &self,
        count: usize,
        page: impl Fn(Option<&str>) -> O + 'static,
    ) -> Pending<Pages<<O::Answer as Page>::Item>>
    where
        O: Operation<Answer: Page<Item: 'static>>,
    {
        self.follow(
            count,
            Box::new(move |cursor| page(cursor).into_request()),
            |body| O::read(body).map(Page::into_parts),
        )
    }

    /// The part that is the same for all lists of the same items.
    fn follow<T: 'static>(
        &self,
        count: usize,
        page: Box<AskPage>,
        read: Reader<Items<T>>,
    ) -> Pending<Pages<T>> {
        let api = self.clone();
        Box::pin(async move {
            let (mut items, mut cursor) = (Vec::new(), None::<String>);
            for _ in 0..count {
                let (more, next) = api.read(page(cursor.as_deref()), read).await?;
                items.extend(more);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            Ok(Pages {
                items,
                count,
                has_more: cursor.is_some(),
            })
        })
    }
}
