//! API tokens and enrolment keys: made, shown once, revoked.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::token::{Kind, random_secret};
use super::{Caller, FlowError, note, sha256_hex};
use crate::app::App;
use crate::domain::credential::{
    API_TOKEN_MAX_SECONDS, API_TOKEN_SECONDS, ApiToken, CollectorToken, EnrollmentKey,
};
use crate::domain::id;
use crate::domain::role::Role;
use crate::domain::selector::Selector;
use crate::store::audit::Actor;

/// Shortest enrolment key that an operator may choose, in bytes.
pub const ENROLLMENT_KEY_MIN_BYTES: usize = 16;

/// Most collector tokens.
const COLLECTOR_TOKENS: usize = 1_000;
/// Most API tokens of one user.
const API_TOKENS_PER_USER: usize = 100;

/// Makes an API token with at most the caller's role.
///
/// # Errors
/// [`FlowError::Invalid`] for a role above the caller's or an end outside its bounds.
pub async fn create_api_token(
    app: &App,
    caller: &Caller,
    name: String,
    role: Role,
    expires_at: Option<DateTime<Utc>>,
) -> Result<(ApiToken, String), FlowError> {
    let now = app.clock.now();
    if role > caller.principal.role {
        return Err(FlowError::invalid("role", "is above your own"));
    }
    let mut expires_at = token_end(expires_at, now)?;
    if let Some(parent) = caller
        .principal
        .token_id
        .and_then(|id| app.store.state.api_tokens.get(id))
    {
        // What a token makes does not outlive it.
        expires_at = expires_at.min(parent.expires_at);
    }
    let token = ApiToken {
        token_id: id::new(now),
        user_id: caller.principal.user.user_id,
        name,
        role,
        expires_at,
        created_at: now,
    };
    let secret = app
        .tokens
        .issue(Kind::Api, token.user_id, token.token_id, now, expires_at)
        .map_err(|_| FlowError::Busy)?;
    app.store
        .state
        .change(|change| {
            let tokens = change.state.api_tokens.all();
            if tokens
                .iter()
                .filter(|kept| kept.user_id == token.user_id)
                .count()
                >= API_TOKENS_PER_USER
            {
                return Err(FlowError::Conflict(
                    "a user has at most 100 API tokens; delete one first",
                ));
            }
            note(
                change,
                now,
                caller.actor(),
                "api_token.create",
                Some(token.token_id),
                &token.name,
            );
            change.put(token.clone());
            Ok((token, secret))
        })
        .await
}

/// Revokes one of the caller's API tokens.
///
/// # Errors
/// [`FlowError::NotFound`], also for another's.
pub async fn delete_api_token(app: &App, caller: &Caller, token_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let token = change
                .state
                .api_tokens
                .get(token_id)
                .filter(|token| token.user_id == caller.principal.user.user_id);
            let token = token.ok_or(FlowError::NotFound("API token"))?;
            change.delete::<ApiToken>(token_id);
            note(
                change,
                now,
                caller.actor(),
                "api_token.delete",
                Some(token_id),
                &token.name,
            );
            Ok(())
        })
        .await
}

/// Makes a token for a collector.
///
/// # Errors
/// [`FlowError::Invalid`] for an end outside its bounds, [`FlowError::Conflict`] for one too many.
pub async fn create_collector_token(
    app: &App,
    caller: &Caller,
    name: String,
    selector: Selector,
    expires_at: Option<DateTime<Utc>>,
) -> Result<(CollectorToken, String), FlowError> {
    let now = app.clock.now();
    let token = CollectorToken {
        token_id: id::new(now),
        name,
        selector,
        expires_at: token_end(expires_at, now)?,
        created_by: caller.principal.user.username.clone(),
        created_at: now,
    };
    let id = token.token_id;
    let secret = app
        .tokens
        .issue(Kind::Collector, id, id, now, token.expires_at)
        .map_err(|_| FlowError::Busy)?;
    app.store
        .state
        .change(|change| {
            if change.state.collector_tokens.len() >= COLLECTOR_TOKENS {
                return Err(FlowError::Conflict(
                    "there are at most 1,000 collector tokens; delete one first",
                ));
            }
            let actor = caller.actor();
            note(
                change,
                now,
                actor,
                "collector_token.create",
                Some(id),
                &token.name,
            );
            change.put(token.clone());
            Ok((token, secret))
        })
        .await
}

/// Revokes a collector token.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn delete_collector_token(
    app: &App,
    caller: &Caller,
    token_id: Uuid,
) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let token = change.state.collector_tokens.get(token_id);
            let token = token.ok_or(FlowError::NotFound("collector token"))?;
            change.delete::<CollectorToken>(token_id);
            let (actor, name) = (caller.actor(), &token.name);
            note(
                change,
                now,
                actor,
                "collector_token.delete",
                Some(token_id),
                name,
            );
            Ok(())
        })
        .await
}

/// When a token ends: a year from now unless it is said otherwise.
fn token_end(
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, FlowError> {
    let expires_at = expires_at.unwrap_or(now + TimeDelta::seconds(API_TOKEN_SECONDS));
    if expires_at <= now || expires_at - now > TimeDelta::seconds(API_TOKEN_MAX_SECONDS) {
        return Err(FlowError::invalid(
            "expires_at",
            "must be in the future and at most ten years away",
        ));
    }
    Ok(expires_at)
}

/// The caller's API tokens, oldest first.
pub fn api_tokens(app: &App, caller: &Caller) -> Vec<Arc<ApiToken>> {
    let mut tokens = app.store.state.api_tokens.all();
    tokens.retain(|token| token.user_id == caller.principal.user.user_id);
    tokens
}

/// What a new enrolment key shall be.
pub struct NewEnrollmentKey {
    /// What it is for.
    pub name: String,
    /// No enrolment from then on.
    pub expires_at: Option<DateTime<Utc>>,
    /// How many hosts it may enrol.
    pub max_uses: Option<u32>,
    /// Labels that its hosts start with.
    pub labels: BTreeMap<String, String>,
}

/// Makes an enrolment key; the key itself is in the answer and nowhere else.
///
/// # Errors
/// [`FlowError::Invalid`] for an end in the past.
pub async fn create_enrollment_key(
    app: &App,
    caller: &Caller,
    new: NewEnrollmentKey,
) -> Result<(EnrollmentKey, String), FlowError> {
    let now = app.clock.now();
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(FlowError::invalid("expires_at", "must be in the future"));
    }
    let secret = random_secret("iwe_").map_err(|_| FlowError::Busy)?;
    let key = keep_enrollment_key(app, caller.actor(), new, &secret).await?;
    Ok((key, secret))
}

async fn keep_enrollment_key(
    app: &App,
    actor: Actor,
    new: NewEnrollmentKey,
    secret: &str,
) -> Result<EnrollmentKey, FlowError> {
    let now = app.clock.now();
    let key = EnrollmentKey {
        key_id: id::new(now),
        name: new.name,
        key_sha256: sha256_hex(secret),
        labels: new.labels,
        expires_at: new.expires_at,
        max_uses: new.max_uses,
        uses: 0,
        created_at: now,
    };
    app.store
        .state
        .change(|change| {
            note(
                change,
                now,
                actor,
                "enrollment_key.create",
                Some(key.key_id),
                &key.name,
            );
            change.put(key.clone());
            Ok(key)
        })
        .await
}

/// Sees to it that the key given at start is there.
///
/// # Errors
/// [`FlowError::Invalid`] for one that is too short to be safe.
pub async fn ensure_enrollment_key(app: &App, secret: &str) -> Result<(), FlowError> {
    if secret.len() < ENROLLMENT_KEY_MIN_BYTES {
        return Err(FlowError::invalid(
            "enrollment_key",
            format!("must have at least {ENROLLMENT_KEY_MIN_BYTES} characters"),
        ));
    }
    let hash = sha256_hex(secret);
    if app
        .store
        .state
        .enrollment_keys
        .find(|key| key.key_sha256 == hash)
        .is_none()
    {
        let new = NewEnrollmentKey {
            name: "given at start".to_owned(),
            expires_at: None,
            max_uses: None,
            labels: BTreeMap::new(),
        };
        keep_enrollment_key(app, Actor::system(), new, secret).await?;
    }
    Ok(())
}

/// Revokes an enrolment key; hosts that it enrolled stay.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn delete_enrollment_key(
    app: &App,
    caller: &Caller,
    key_id: Uuid,
) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let key = change
                .state
                .enrollment_keys
                .get(key_id)
                .ok_or(FlowError::NotFound("enrolment key"))?;
            change.delete::<EnrollmentKey>(key_id);
            note(
                change,
                now,
                caller.actor(),
                "enrollment_key.delete",
                Some(key_id),
                &key.name,
            );
            Ok(())
        })
        .await
}
