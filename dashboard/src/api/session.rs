//! The session: the access token in memory alone, renewed before it ends, ended when the backend says so.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use gloo_timers::callback::Timeout;
use infra_watch_client::{Operation, Request, operations, types};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use super::{Answer, ApiError, Pending, transport};

/// The token is renewed so many seconds before its end, so that no request meets an ended one.
const RENEW_BEFORE_SECONDS: i64 = 60;
/// A token is not renewed sooner than this, however short its life.
const RENEW_AFTER_SECONDS: i64 = 5;

/// Who is there.
#[derive(Clone, Debug)]
pub enum SessionState {
    /// Not known yet: the cookie is being asked.
    Resuming,
    /// The backend could not be asked.
    Unreachable(ApiError),
    /// Nobody; whether somebody was there before.
    LoggedOut {
        /// The session ended by itself.
        ended: bool,
    },
    /// Somebody.
    LoggedIn(types::Me),
}

/// A session; clones are the same one.
#[derive(Clone)]
pub struct Session(Rc<Inner>);

struct Inner {
    /// The access token.
    token: RefCell<Option<String>>,
    on_change: Callback<SessionState>,
    /// A renewal under way: everyone who needs one waits for the same.
    renewal: RefCell<Option<Shared<LocalBoxFuture<'static, Answer<()>>>>>,
    /// The next renewal.
    timer: RefCell<Option<Timeout>>,
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Session {
    /// A session with nobody in it yet; `on_change` hears who comes and goes.
    pub fn new(on_change: Callback<SessionState>) -> Self {
        Self(Rc::new(Inner {
            token: RefCell::default(),
            on_change,
            renewal: RefCell::default(),
            timer: RefCell::default(),
        }))
    }

    /// Asks; when the access token has ended, renews the session once and asks again.
    pub fn ask(&self, request: Request) -> Pending<Vec<u8>> {
        let session = self.clone();
        Box::pin(async move {
            match session.send(&request).await {
                Err(error) if error.is_unauthorized() => {
                    session.renew().await?;
                    session.send(&request).await
                }
                answer => answer,
            }
        })
    }

    /// Asks for the session that the browser's cookie may belong to.
    pub async fn resume(&self) {
        if let Err(error) = self.renew().await
            && !error.is_unauthorized()
        {
            self.0.on_change.emit(SessionState::Unreachable(error));
        }
    }

    /// Logs in.
    pub async fn login(&self, body: types::Login) -> Answer<()> {
        self.begin(operations::login(&body).into_request()).await
    }

    /// Logs out; nothing of the session stays here even if the backend cannot be told.
    pub async fn logout(&self) {
        let _ = self.send(&operations::logout().into_request()).await;
        self.end(false);
    }

    /// A fresh access token; several callers share one request. A refusal ends the session.
    pub async fn renew(&self) -> Answer<()> {
        let session = self.clone();
        let request = move || {
            let request = async move {
                let answer = session.request().await;
                session.0.renewal.take();
                answer
            };
            request.boxed_local().shared()
        };
        let renewal = self
            .0
            .renewal
            .borrow_mut()
            .get_or_insert_with(request)
            .clone();
        renewal.await
    }

    async fn request(&self) -> Answer<()> {
        let answer = self
            .begin(operations::refresh_session().into_request())
            .await;
        if answer.as_ref().is_err_and(ApiError::is_unauthorized) {
            let was_there = self.0.token.borrow().is_some();
            self.end(was_there);
        }
        answer
    }

    /// Asks for a token and takes it.
    async fn begin(&self, request: Request) -> Answer<()> {
        let body = self.send(&request).await?;
        self.take(operations::Login::read(&body).map_err(|_| ApiError::not_understood())?);
        Ok(())
    }

    async fn send(&self, request: &Request) -> Answer<Vec<u8>> {
        let token = self.0.token.borrow().clone();
        transport::send(request, token.as_deref()).await
    }

    fn take(&self, token: types::SessionToken) {
        self.0.token.replace(Some(token.access_token));
        let seconds = (token.expires_in - RENEW_BEFORE_SECONDS).max(RENEW_AFTER_SECONDS);
        let session = self.clone();
        let timer = Timeout::new(
            u32::try_from(seconds * 1000).unwrap_or(u32::MAX),
            move || {
                // When this one fails, the next request's 401 asks again.
                spawn_local(async move { drop(session.renew().await) });
            },
        );
        self.0.timer.replace(Some(timer));
        self.0.on_change.emit(SessionState::LoggedIn(token.user));
    }

    fn end(&self, ended: bool) {
        self.0.token.replace(None);
        self.0.timer.replace(None);
        self.0.on_change.emit(SessionState::LoggedOut { ended });
    }
}
