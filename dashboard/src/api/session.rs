//! The session: the access token in memory alone, renewed before it ends, ended when the backend says so.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use gloo_timers::callback::Timeout;
use infra_watch_client::{Client, Credentials, types};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use super::{Answer, ApiError};

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
    client: Client,
    credentials: Credentials,
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
        let origin = web_sys::window()
            .and_then(|window| window.location().origin().ok())
            .unwrap_or_default();
        let credentials = Credentials::default();
        let client = Client::new_with_client(
            &format!("{origin}/api/v1"),
            reqwest::Client::new(),
            credentials.clone(),
        );
        Self(Rc::new(Inner {
            client,
            credentials,
            on_change,
            renewal: RefCell::default(),
            timer: RefCell::default(),
        }))
    }

    /// The client; it sends the session's token as long as there is one.
    pub fn client(&self) -> Client {
        self.0.client.clone()
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
        let answer = self
            .0
            .client
            .login()
            .body(body)
            .send()
            .await
            .map_err(ApiError::from)?;
        self.take(answer.into_inner());
        Ok(())
    }

    /// Logs out; nothing of the session stays here even if the backend cannot be told.
    pub async fn logout(&self) {
        let _ = self.0.client.logout().send().await;
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
        match self
            .0
            .client
            .refresh_session()
            .send()
            .await
            .map_err(ApiError::from)
        {
            Ok(answer) => {
                self.take(answer.into_inner());
                Ok(())
            }
            Err(error) => {
                if error.is_unauthorized() {
                    self.end(self.0.credentials.get().is_some());
                }
                Err(error)
            }
        }
    }

    fn take(&self, token: types::SessionToken) {
        self.0.credentials.set(Some(token.access_token));
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
        self.0.credentials.set(None);
        self.0.timer.replace(None);
        self.0.on_change.emit(SessionState::LoggedOut { ended });
    }
}
