//! The backend: the generated client with a session that renews itself, in a context.

mod error;
mod session;

use std::num::NonZeroU64;

use infra_watch_client::{Client, Error, ResponseValue, types};
use uuid::Uuid;
use yew::prelude::*;

pub use error::ApiError;
pub use session::{Session, SessionState};

/// The largest page that the contract allows.
const PAGE_ITEMS: Option<NonZeroU64> = NonZeroU64::new(1000);
/// Entries of the audit log fetched at once: a screen or two.
const AUDIT_ITEMS: Option<NonZeroU64> = NonZeroU64::new(50);

/// A list's request with the size of a page and the place where the page before ended.
macro_rules! limited {
    ($request:expr, $limit:expr, $cursor:expr) => {{
        let mut request = $request;
        if let Some(limit) = $limit {
            request = request.limit(limit);
        }
        if let Some(cursor) = &$cursor {
            request = request.cursor(cursor.clone());
        }
        request
    }};
}

/// What an operation answers.
pub type Answer<T> = Result<T, ApiError>;

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

    /// Every host, page by page.
    pub async fn hosts(&self) -> Answer<Vec<types::Host>> {
        let (mut hosts, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .call(async |client| {
                    limited!(client.list_hosts(), PAGE_ITEMS, cursor)
                        .send()
                        .await
                })
                .await?;
            hosts.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(hosts);
            }
        }
    }

    /// One host.
    pub async fn host(&self, host_id: Uuid) -> Answer<types::Host> {
        self.call(async |client| client.get_host().host_id(host_id).send().await)
            .await
    }

    /// Changes a host's name and labels.
    pub async fn update_host(&self, host_id: Uuid, body: types::UpdateHost) -> Answer<types::Host> {
        self.call(async |client| {
            client
                .update_host()
                .host_id(host_id)
                .body(body.clone())
                .send()
                .await
        })
        .await
    }

    /// Removes a host with everything of it.
    pub async fn delete_host(&self, host_id: Uuid) -> Answer<()> {
        self.call(async |client| client.delete_host().host_id(host_id).send().await)
            .await
            .map(drop)
    }

    /// The names of all series of a host.
    pub async fn series(&self, host_id: Uuid) -> Answer<Vec<types::SeriesInfo>> {
        let (mut series, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .call(async |client| {
                    limited!(client.list_series().host_id(host_id), PAGE_ITEMS, cursor)
                        .send()
                        .await
                })
                .await?;
            series.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(series);
            }
        }
    }

    /// Mean, least and greatest of metrics of a host over buckets of time, in Unix seconds.
    pub async fn trends(
        &self,
        host_id: Uuid,
        metrics: &[String],
        from: i64,
        to: i64,
        step_seconds: i64,
    ) -> Answer<types::Columns> {
        let aggregates = vec![
            types::Aggregate::Avg,
            types::Aggregate::Min,
            types::Aggregate::Max,
        ];
        self.call(async |client| {
            let request = client
                .get_trends()
                .host_id(host_id)
                .metric(metrics.to_vec())
                .aggregate(aggregates.clone());
            request
                .from(from.to_string())
                .to(to.to_string())
                .step(step_seconds.to_string())
                .send()
                .await
        })
        .await
    }

    /// A metric's mean on every host over buckets of time, in Unix seconds.
    pub async fn fleet_trends(
        &self,
        metric: &str,
        from: i64,
        to: i64,
        step_seconds: i64,
    ) -> Answer<types::Columns> {
        self.call(async |client| {
            let request = client
                .get_fleet_trends()
                .metric(vec![metric.to_owned()])
                .group_by("host");
            request
                .from(from.to_string())
                .to(to.to_string())
                .step(step_seconds.to_string())
                .send()
                .await
        })
        .await
    }

    /// Every user.
    pub async fn users(&self) -> Answer<Vec<types::User>> {
        self.call(async |client| {
            limited!(client.list_users(), PAGE_ITEMS, None::<String>)
                .send()
                .await
        })
        .await
        .map(|page| page.items)
    }

    /// Makes a user.
    pub async fn create_user(&self, body: types::CreateUser) -> Answer<types::User> {
        self.call(async |client| client.create_user().body(body.clone()).send().await)
            .await
    }

    /// Changes a user.
    pub async fn update_user(&self, user_id: Uuid, body: types::UpdateUser) -> Answer<types::User> {
        self.call(async |client| {
            client
                .update_user()
                .user_id(user_id)
                .body(body.clone())
                .send()
                .await
        })
        .await
    }

    /// Removes a user.
    pub async fn delete_user(&self, user_id: Uuid) -> Answer<()> {
        self.call(async |client| client.delete_user().user_id(user_id).send().await)
            .await
            .map(drop)
    }

    /// Gives oneself a new password.
    pub async fn change_password(&self, body: types::ChangePassword) -> Answer<()> {
        self.call(async |client| client.change_password().body(body.clone()).send().await)
            .await
            .map(drop)
    }

    /// Every enrolment key.
    pub async fn enrollment_keys(&self) -> Answer<Vec<types::EnrollmentKey>> {
        self.call(async |client| {
            limited!(client.list_enrollment_keys(), PAGE_ITEMS, None::<String>)
                .send()
                .await
        })
        .await
        .map(|page| page.items)
    }

    /// Makes an enrolment key.
    pub async fn create_enrollment_key(
        &self,
        body: types::CreateEnrollmentKey,
    ) -> Answer<types::CreatedEnrollmentKey> {
        self.call(async |client| {
            client
                .create_enrollment_key()
                .body(body.clone())
                .send()
                .await
        })
        .await
    }

    /// Removes an enrolment key.
    pub async fn delete_enrollment_key(&self, key_id: Uuid) -> Answer<()> {
        self.call(async |client| client.delete_enrollment_key().key_id(key_id).send().await)
            .await
            .map(drop)
    }

    /// One's own API tokens.
    pub async fn api_tokens(&self) -> Answer<Vec<types::ApiToken>> {
        self.call(async |client| {
            limited!(client.list_api_tokens(), PAGE_ITEMS, None::<String>)
                .send()
                .await
        })
        .await
        .map(|page| page.items)
    }

    /// Makes an API token.
    pub async fn create_api_token(
        &self,
        body: types::CreateApiToken,
    ) -> Answer<types::CreatedApiToken> {
        self.call(async |client| client.create_api_token().body(body.clone()).send().await)
            .await
    }

    /// Revokes an API token.
    pub async fn delete_api_token(&self, token_id: Uuid) -> Answer<()> {
        self.call(async |client| client.delete_api_token().token_id(token_id).send().await)
            .await
            .map(drop)
    }

    /// A page of the audit log, newest first.
    pub async fn audit(&self, cursor: Option<String>) -> Answer<types::PageAuditEntry> {
        self.call(async |client| {
            limited!(client.list_audit_entries(), AUDIT_ITEMS, cursor)
                .send()
                .await
        })
        .await
    }

    /// How the backend itself is doing.
    pub async fn system(&self) -> Answer<types::System> {
        self.call(async |client| client.get_system().send().await)
            .await
    }

    /// Runs a job now; answers when it is done.
    pub async fn run_job(&self, name: &str) -> Answer<types::Job> {
        self.call(async |client| client.run_job().name(name).send().await)
            .await
    }

    /// Asks; when the access token has ended, renews the session once and asks again.
    async fn call<T>(
        &self,
        request: impl AsyncFn(&Client) -> Result<ResponseValue<T>, Error<types::Problem>>,
    ) -> Answer<T> {
        let client = self.session.client();
        let mut renewed = false;
        loop {
            match request(&client).await.map_err(ApiError::from) {
                Err(error) if error.is_unauthorized() && !renewed => self.session.renew().await?,
                answer => return answer.map(ResponseValue::into_inner),
            }
            renewed = true;
        }
    }
}
