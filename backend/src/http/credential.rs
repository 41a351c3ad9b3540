//! API tokens, and enrolment keys for admins.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::body::{Created, JsonBody, NoContent, Reply};
use super::guard::{Admin, Viewer};
use super::problem::ApiError;
use super::{Tags, paging};
use crate::app::App;
use crate::flows::credential::{self, NewEnrollmentKey};
use crate::wire::credential::{
    ApiToken, CreateApiToken, CreateEnrollmentKey, CreatedApiToken, CreatedEnrollmentKey,
    EnrollmentKey,
};
use crate::wire::page::{Limit, Page};
use crate::wire::scalar::plain_labels;

/// API tokens and enrolment keys.
pub struct CredentialApi;

#[OpenApi]
impl CredentialApi {
    /// One's own API tokens, oldest first.
    ///
    /// Least role: viewer.
    #[oai(
        path = "/api-tokens",
        method = "get",
        operation_id = "list_api_tokens",
        tag = "Tags::Sessions"
    )]
    async fn list_api_tokens(
        &self,
        caller: Viewer,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<ApiToken>>, ApiError> {
        let tokens = credential::api_tokens(&app, &caller.0);
        paging::by_id(
            tokens,
            |token| token.token_id,
            |token| ApiToken::from(token),
            limit.0,
            cursor.0,
        )
    }

    /// Make an API token; the token is shown this once.
    ///
    /// Least role: viewer. Its role is not above one's own.
    #[oai(
        path = "/api-tokens",
        method = "post",
        operation_id = "create_api_token",
        tag = "Tags::Sessions"
    )]
    async fn create_api_token(
        &self,
        caller: Viewer,
        app: Data<&Arc<App>>,
        body: JsonBody<CreateApiToken>,
    ) -> Result<Created<CreatedApiToken>, ApiError> {
        let CreateApiToken {
            name,
            role,
            expires_at,
        } = body.0;
        let (kept, token) =
            credential::create_api_token(&app, &caller.0, name.0, role.into(), expires_at).await?;
        let ApiToken {
            token_id,
            name,
            role,
            expires_at,
            created_at,
        } = ApiToken::from(&kept);
        Ok(Reply(CreatedApiToken {
            token_id,
            token,
            name,
            role,
            expires_at,
            created_at,
        }))
    }

    /// Revoke one of one's own API tokens.
    ///
    /// Least role: viewer.
    #[oai(
        path = "/api-tokens/:token_id",
        method = "delete",
        operation_id = "delete_api_token",
        tag = "Tags::Sessions"
    )]
    async fn delete_api_token(
        &self,
        caller: Viewer,
        app: Data<&Arc<App>>,
        token_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        credential::delete_api_token(&app, &caller.0, token_id.0).await?;
        Ok(NoContent::Done)
    }

    /// Enrolment keys, oldest first.
    ///
    /// Least role: admin.
    #[oai(
        path = "/enrollment-keys",
        method = "get",
        operation_id = "list_enrollment_keys",
        tag = "Tags::Agents"
    )]
    async fn list_enrollment_keys(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<EnrollmentKey>>, ApiError> {
        let keys = app.store.state.enrollment_keys.all();
        paging::by_id(
            keys,
            |key| key.key_id,
            |key| EnrollmentKey::from(key),
            limit.0,
            cursor.0,
        )
    }

    /// Make an enrolment key; the key is shown this once.
    ///
    /// Least role: admin.
    #[oai(
        path = "/enrollment-keys",
        method = "post",
        operation_id = "create_enrollment_key",
        tag = "Tags::Agents"
    )]
    async fn create_enrollment_key(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: JsonBody<CreateEnrollmentKey>,
    ) -> Result<Created<CreatedEnrollmentKey>, ApiError> {
        let CreateEnrollmentKey {
            name,
            expires_at,
            max_uses,
            labels,
        } = body.0;
        let new = NewEnrollmentKey {
            name: name.0,
            expires_at,
            max_uses: max_uses.and_then(|uses| u32::try_from(uses.0).ok()),
            labels: plain_labels(labels.unwrap_or_default()),
        };
        let (kept, key) = credential::create_enrollment_key(&app, &caller.0, new).await?;
        let EnrollmentKey {
            key_id,
            name,
            expires_at,
            max_uses,
            uses,
            labels,
            created_at,
        } = EnrollmentKey::from(&kept);
        Ok(Reply(CreatedEnrollmentKey {
            key_id,
            key,
            name,
            expires_at,
            max_uses,
            uses,
            labels,
            created_at,
        }))
    }

    /// Revoke an enrolment key; hosts that it enrolled stay.
    ///
    /// Least role: admin.
    #[oai(
        path = "/enrollment-keys/:key_id",
        method = "delete",
        operation_id = "delete_enrollment_key",
        tag = "Tags::Agents"
    )]
    async fn delete_enrollment_key(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        key_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        credential::delete_enrollment_key(&app, &caller.0, key_id.0).await?;
        Ok(NoContent::Done)
    }
}
