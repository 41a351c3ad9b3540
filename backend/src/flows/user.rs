//! Users: making, changing and removing accounts, and the first admin.

use std::sync::Arc;

use uuid::Uuid;

use super::{Caller, FlowError, note, token};
use crate::app::App;
use crate::domain::credential::ApiToken;
use crate::domain::id;
use crate::domain::role::Role;
use crate::domain::session::Session;
use crate::domain::user::{User, check_password, is_last_admin};
use crate::store::audit::Actor;
use crate::store::state::{Change, State};

/// A new account.
pub struct NewUser {
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: String,
    /// What it may do.
    pub role: Role,
    /// Whether it cannot log in.
    pub disabled: bool,
}

/// What shall be different about an account.
#[derive(Default)]
pub struct UserPatch {
    /// Another name.
    pub username: Option<String>,
    /// Another password.
    pub password: Option<String>,
    /// Another role.
    pub role: Option<Role>,
    /// Whether it cannot log in.
    pub disabled: Option<bool>,
}

const NAME_TAKEN: FlowError = FlowError::Conflict("a user with this name exists");
const LAST_ADMIN: FlowError = FlowError::Conflict("this is the last enabled admin");

fn is_taken(state: &State, username: &str, except: Option<Uuid>) -> bool {
    state
        .users
        .find(|user| user.username.eq_ignore_ascii_case(username) && Some(user.user_id) != except)
        .is_some()
}

/// Makes an account.
///
/// # Errors
/// [`FlowError::Conflict`] for a name that is taken, [`FlowError::Invalid`] for a password that is not accepted.
pub async fn create(app: &App, actor: Actor, new: NewUser) -> Result<Arc<User>, FlowError> {
    check_password(&new.username, &new.password)
        .map_err(|error| FlowError::invalid("password", error))?;
    if is_taken(&app.store.state, &new.username, None) {
        return Err(NAME_TAKEN);
    }
    let now = app.clock.now();
    let user = User {
        user_id: id::new(now),
        password_hash: app.passwords.hash(&new.password).await?,
        username: new.username,
        role: new.role,
        disabled: new.disabled,
        version: 1,
        created_at: now,
    };
    app.store
        .state
        .change(|change| {
            if is_taken(change.state, &user.username, None) {
                return Err(NAME_TAKEN);
            }
            note(
                change,
                now,
                actor,
                "user.create",
                Some(user.user_id),
                &user.username,
            );
            change.put(user.clone());
            Ok(Arc::new(user))
        })
        .await
}

/// Changes an account. Another password, role or `disabled` ends its sessions.
///
/// # Errors
/// As [`create`], [`FlowError::NotFound`], and [`FlowError::Conflict`] for the last admin.
pub async fn update(
    app: &App,
    actor: Actor,
    user_id: Uuid,
    patch: UserPatch,
) -> Result<Arc<User>, FlowError> {
    let now = app.clock.now();
    let before = app
        .store
        .state
        .users
        .get(user_id)
        .ok_or(FlowError::NotFound("user"))?;
    let password_hash = match &patch.password {
        Some(password) => {
            let username = patch.username.as_deref().unwrap_or(&before.username);
            check_password(username, password)
                .map_err(|error| FlowError::invalid("password", error))?;
            Some(app.passwords.hash(password).await?)
        }
        None => None,
    };
    app.store
        .state
        .change(|change| {
            let state = change.state;
            let before = state
                .users
                .get(user_id)
                .ok_or(FlowError::NotFound("user"))?;
            let mut user = (*before).clone();
            if let Some(username) = patch.username {
                if is_taken(state, &username, Some(user_id)) {
                    return Err(NAME_TAKEN);
                }
                user.username = username;
            }
            user.role = patch.role.unwrap_or(user.role);
            user.disabled = patch.disabled.unwrap_or(user.disabled);
            let stays_admin = user.role == Role::Admin && !user.disabled;
            if !stays_admin && is_last_admin(state.users.all().iter().map(AsRef::as_ref), user_id) {
                return Err(LAST_ADMIN);
            }
            let ends_sessions = password_hash.is_some()
                || user.role != before.role
                || user.disabled != before.disabled;
            user.password_hash = password_hash.unwrap_or(user.password_hash);
            if ends_sessions {
                user.version += 1;
                end_sessions(change, user_id);
            }
            note(
                change,
                now,
                actor,
                "user.update",
                Some(user_id),
                &user.username,
            );
            change.put(user.clone());
            Ok(Arc::new(user))
        })
        .await
}

fn end_sessions(change: &mut Change<'_>, user_id: Uuid) {
    for session in change
        .state
        .sessions
        .all()
        .iter()
        .filter(|session| session.user_id == user_id)
    {
        change.delete::<Session>(session.session_id);
    }
}

/// Removes an account with its sessions and API tokens.
///
/// # Errors
/// [`FlowError::NotFound`], and [`FlowError::Conflict`] for the last admin.
pub async fn delete(app: &App, caller: &Caller, user_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let state = change.state;
            let user = state
                .users
                .get(user_id)
                .ok_or(FlowError::NotFound("user"))?;
            if is_last_admin(state.users.all().iter().map(AsRef::as_ref), user_id) {
                return Err(LAST_ADMIN);
            }
            end_sessions(change, user_id);
            for token in state
                .api_tokens
                .all()
                .iter()
                .filter(|token| token.user_id == user_id)
            {
                change.delete::<ApiToken>(token.token_id);
            }
            change.delete::<User>(user_id);
            note(
                change,
                now,
                caller.actor(),
                "user.delete",
                Some(user_id),
                &user.username,
            );
            Ok(())
        })
        .await
}

/// Makes the first admin of an empty store. Returns the password if one had to be made up.
///
/// # Errors
/// As [`create`].
pub async fn ensure_first_admin(
    app: &App,
    username: &str,
    password: Option<String>,
) -> Result<Option<String>, FlowError> {
    if !app.store.state.users.is_empty() {
        return Ok(None);
    }
    let made_up = password.is_none();
    let password = match password {
        Some(password) => password,
        None => token::random_secret("")
            .map_err(|_| FlowError::Busy)?
            .chars()
            .take(24)
            .collect(),
    };
    let new = NewUser {
        username: username.to_owned(),
        password: password.clone(),
        role: Role::Admin,
        disabled: false,
    };
    create(app, Actor::system(), new).await?;
    Ok(made_up.then_some(password))
}
