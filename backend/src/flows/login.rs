//! Sessions: login, refresh, logout, and a new password for oneself.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::token::Kind;
use super::{Caller, FlowError, Principal, note};
use crate::app::App;
use crate::domain::id;
use crate::domain::session::{ACCESS_TOKEN_SECONDS, Rotation, Session};
use crate::domain::user::{User, check_password};
use crate::store::audit::Actor;

/// A session's access token and refresh cookie.
pub struct LoggedIn {
    /// Who.
    pub principal: Principal,
    /// The access token.
    pub access_token: String,
    /// Its life in seconds.
    pub expires_in_seconds: i64,
    /// The refresh cookie.
    pub refresh_cookie: String,
}

/// Checks name and password and begins a session. The same error, after the same time, for an unknown user, a
/// wrong password and a disabled account.
///
/// # Errors
/// [`FlowError::Unauthenticated`], [`FlowError::TooMany`], and those of hashing and keeping.
pub async fn login(
    app: &App,
    username: &str,
    password: &str,
    address: IpAddr,
) -> Result<LoggedIn, FlowError> {
    let now = app.clock.now();
    let reserved = app
        .login_limiter
        .lock()
        .reserve(username, address, now.timestamp());
    let reservation = reserved.map_err(|retry_after_seconds| {
        app.metrics.logins.with_label_values(&["limited"]).inc();
        tracing::warn!(%address, "login refused: too many failures");
        FlowError::TooMany {
            retry_after_seconds,
        }
    })?;
    let user = app
        .store
        .state
        .users
        .find(|user| user.username.eq_ignore_ascii_case(username));
    let matches = app
        .passwords
        .verify(
            password,
            user.as_ref().map(|user| user.password_hash.as_str()),
        )
        .await;
    if matches.is_err() {
        // Nothing was guessed: the attempt never ran.
        app.login_limiter.lock().release(&reservation);
    }
    let Some(user) = user
        .as_ref()
        .filter(|user| matches.as_ref().is_ok_and(|matches| *matches) && !user.disabled)
    else {
        matches?;
        app.metrics.logins.with_label_values(&["failed"]).inc();
        tracing::warn!(%address, "login failed");
        // What was typed as a name may be a password: only a known name is written down.
        let name = user
            .as_ref()
            .map_or("unknown", |user| user.username.as_str());
        let actor = Actor {
            kind: "anonymous".to_owned(),
            id: None,
            name: name.to_owned(),
            address: Some(address.to_string()),
        };
        let user_id = user.as_ref().map(|user| user.user_id);
        app.store
            .state
            .change(|change| {
                note(change, now, actor, "session.refuse", user_id, name);
                Ok::<_, FlowError>(())
            })
            .await?;
        return Err(FlowError::Unauthenticated);
    };
    app.login_limiter.lock().release(&reservation);
    let session = app
        .store
        .state
        .change(|change| {
            // Password or role may have changed while the hash ran.
            let current = change
                .state
                .users
                .get(user.user_id)
                .filter(|current| current.version == user.version);
            let user = current.ok_or(FlowError::Unauthenticated)?;
            let session = Session {
                session_id: id::new(now),
                user_id: user.user_id,
                user_version: user.version,
                generation: 0,
                rotated_at: now,
                created_at: now,
            };
            change.put(session.clone());
            let actor = Actor {
                kind: "user".to_owned(),
                id: Some(user.user_id),
                name: user.username.clone(),
                address: Some(address.to_string()),
            };
            note(
                change,
                now,
                actor,
                "session.create",
                Some(session.session_id),
                &user.username,
            );
            Ok::<_, FlowError>(session)
        })
        .await?;
    app.metrics.logins.with_label_values(&["ok"]).inc();
    logged_in(app, &session)
}

fn logged_in(app: &App, session: &Session) -> Result<LoggedIn, FlowError> {
    let now = app.clock.now();
    let user = app
        .store
        .state
        .users
        .get(session.user_id)
        .ok_or(FlowError::Unauthenticated)?;
    let expires_at = now + TimeDelta::seconds(ACCESS_TOKEN_SECONDS);
    let access_token = app.tokens.issue(
        Kind::Access,
        user.user_id,
        session.session_id,
        now,
        expires_at,
    );
    Ok(LoggedIn {
        access_token: access_token.map_err(|_| FlowError::Busy)?,
        expires_in_seconds: ACCESS_TOKEN_SECONDS,
        refresh_cookie: app.tokens.refresh_cookie(session),
        principal: Principal {
            role: user.role,
            user,
            session_id: Some(session.session_id),
            token_id: None,
        },
    })
}

/// Exchanges a refresh cookie for a fresh access token and the next cookie.
///
/// # Errors
/// [`FlowError::Unauthenticated`] for a cookie that is not genuine, too old, or came back after it was replaced;
/// the last ends the session.
pub async fn refresh(app: &App, cookie: &str) -> Result<LoggedIn, FlowError> {
    let now = app.clock.now();
    let (session_id, generation) = app
        .tokens
        .read_refresh_cookie(cookie)
        .ok_or(FlowError::Unauthenticated)?;
    let session = app
        .store
        .state
        .change(|change| {
            let state = change.state;
            let session = state
                .sessions
                .get(session_id)
                .ok_or(FlowError::Unauthenticated)?;
            let user = state
                .users
                .get(session.user_id)
                .filter(|user| !user.disabled && user.version == session.user_version);
            let rotation = if user.is_some() {
                session.rotate(generation, now)
            } else {
                Rotation::Expired
            };
            match rotation {
                Rotation::Advance => {
                    let next = Session {
                        generation: session.generation + 1,
                        rotated_at: now,
                        ..(*session).clone()
                    };
                    change.put(next.clone());
                    Ok::<_, FlowError>(Some(next))
                }
                Rotation::Repeat => Ok(Some((*session).clone())),
                Rotation::Reused => {
                    change.delete::<Session>(session_id);
                    tracing::warn!(%session_id, "session ended: an old refresh cookie came back");
                    note(
                        change,
                        now,
                        Actor::system(),
                        "session.end_reused",
                        Some(session_id),
                        "an old refresh cookie came back",
                    );
                    Ok(None)
                }
                Rotation::Expired => {
                    change.delete::<Session>(session_id);
                    Ok(None)
                }
            }
        })
        .await?;
    logged_in(app, &session.ok_or(FlowError::Unauthenticated)?)
}

/// Ends the caller's session; its access token stops working at once.
///
/// # Errors
/// [`FlowError::Conflict`] for an API token, which has no session.
pub async fn logout(app: &App, caller: &Caller) -> Result<(), FlowError> {
    let session_id = caller.principal.session_id.ok_or(FlowError::Conflict(
        "an API token has no session; delete the token instead",
    ))?;
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            change.delete::<Session>(session_id);
            note(
                change,
                now,
                caller.actor(),
                "session.end",
                Some(session_id),
                &caller.principal.user.username,
            );
            Ok(())
        })
        .await
}

/// Gives the caller a new password and ends the other sessions of that user.
///
/// # Errors
/// [`FlowError::Invalid`] when the current password is wrong or the new one is not accepted.
pub async fn change_password(
    app: &App,
    caller: &Caller,
    current: &str,
    new: &str,
) -> Result<(), FlowError> {
    let user = &caller.principal.user;
    check_password(&user.username, new)
        .map_err(|error| FlowError::invalid("new_password", error))?;
    let now = app.clock.now();
    // A stolen access token must not allow more guesses than the login page does.
    let reserved =
        app.login_limiter
            .lock()
            .reserve(&user.username, caller.address, now.timestamp());
    let reservation = reserved.map_err(|retry_after_seconds| FlowError::TooMany {
        retry_after_seconds,
    })?;
    let matches = app
        .passwords
        .verify(current, Some(&user.password_hash))
        .await;
    if matches.is_err() {
        // Nothing was guessed: the attempt never ran.
        app.login_limiter.lock().release(&reservation);
    }
    if !matches? {
        return Err(FlowError::invalid(
            "current_password",
            "is not the current password",
        ));
    }
    app.login_limiter.lock().release(&reservation);
    let password_hash = app.passwords.hash(new).await?;
    app.store
        .state
        .change(|change| {
            let state = change.state;
            let user = state
                .users
                .get(user.user_id)
                .filter(|now| now.version == user.version)
                .ok_or(FlowError::Unauthenticated)?;
            let version = user.version + 1;
            for session in state
                .sessions
                .all()
                .iter()
                .filter(|session| session.user_id == user.user_id)
            {
                if Some(session.session_id) == caller.principal.session_id {
                    change.put(Session {
                        user_version: version,
                        ..(**session).clone()
                    });
                } else {
                    change.delete::<Session>(session.session_id);
                }
            }
            note(
                change,
                now,
                caller.actor(),
                "user.change_password",
                Some(user.user_id),
                &user.username,
            );
            change.put(User {
                password_hash,
                version,
                ..(*user).clone()
            });
            Ok(())
        })
        .await
}
