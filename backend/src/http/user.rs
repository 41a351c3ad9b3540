//! Users, for admins.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::body::{Created, JsonBody, NoContent, Reply};
use super::guard::Admin;
use super::problem::ApiError;
use super::{Tags, paging};
use crate::app::App;
use crate::flows::user::{self, NewUser, UserPatch};
use crate::wire::page::{Limit, Page};
use crate::wire::user::{CreateUser, UpdateUser, User};

/// Users.
pub struct UserApi;

#[OpenApi(tag = "Tags::Users")]
impl UserApi {
    /// Users, oldest first.
    ///
    /// Least role: admin.
    #[oai(path = "/users", method = "get", operation_id = "list_users")]
    async fn list_users(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<User>>, ApiError> {
        let users = app.store.state.users.all();
        paging::by_id(
            users,
            |user| user.user_id,
            |user| User::from(user),
            limit.0,
            cursor.0,
        )
    }

    /// Make a user.
    ///
    /// Least role: admin.
    #[oai(path = "/users", method = "post", operation_id = "create_user")]
    async fn create_user(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: JsonBody<CreateUser>,
    ) -> Result<Created<User>, ApiError> {
        let CreateUser {
            username,
            password,
            role,
            disabled,
        } = body.0;
        let new = NewUser {
            username: username.0,
            password: password.0,
            role: role.into(),
            disabled: disabled.unwrap_or_default(),
        };
        Ok(Reply(User::from(
            &*user::create(&app, caller.0.actor(), new).await?,
        )))
    }

    /// One user.
    ///
    /// Least role: admin.
    #[oai(path = "/users/:user_id", method = "get", operation_id = "get_user")]
    async fn get_user(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
        user_id: Path<Uuid>,
    ) -> Result<Reply<User>, ApiError> {
        let user = app
            .store
            .state
            .users
            .get(user_id.0)
            .ok_or_else(|| ApiError::not_found("user"))?;
        Ok(Reply(User::from(&*user)))
    }

    /// Change a user; what is absent stays.
    ///
    /// Least role: admin. The last enabled admin cannot be disabled or demoted.
    #[oai(
        path = "/users/:user_id",
        method = "patch",
        operation_id = "update_user"
    )]
    async fn update_user(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        user_id: Path<Uuid>,
        body: JsonBody<UpdateUser>,
    ) -> Result<Reply<User>, ApiError> {
        let UpdateUser {
            username,
            password,
            role,
            disabled,
        } = body.0;
        let patch = UserPatch {
            username: username.map(|username| username.0),
            password: password.map(|password| password.0),
            role: role.map(Into::into),
            disabled,
        };
        Ok(Reply(User::from(
            &*user::update(&app, caller.0.actor(), user_id.0, patch).await?,
        )))
    }

    /// Remove a user with its sessions and API tokens.
    ///
    /// Least role: admin. The last enabled admin cannot be removed.
    #[oai(
        path = "/users/:user_id",
        method = "delete",
        operation_id = "delete_user"
    )]
    async fn delete_user(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        user_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        user::delete(&app, &caller.0, user_id.0).await?;
        Ok(NoContent::Done)
    }
}
