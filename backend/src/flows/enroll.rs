//! Agents: enrolment with a key, and host tokens given out, renewed and revoked.

use std::sync::Arc;

use uuid::Uuid;

use super::token::Kind;
use super::{Caller, FlowError, change_host, identity, note, sha256_hex};
use crate::app::App;
use crate::domain::credential::{EnrollmentKey, HostToken};
use crate::domain::host::{DEFAULT_INTERVAL_SECONDS, DEFAULT_SNAPSHOT_INTERVAL_SECONDS, Host};
use crate::domain::id;
use crate::domain::report::Facts;
use crate::store::audit::Actor;

/// Most tokens of a host: its own and its successor, and those of copies.
const MAX_TOKENS: usize = 6;

/// Adds a token; of too many, the newest but two make room: the oldest are the host's own.
fn add_token(host: &mut Host, token: HostToken) {
    if host.tokens.len() >= MAX_TOKENS {
        host.tokens.remove(2);
    }
    host.tokens.push(token);
}

/// An agent that makes itself known.
pub struct Introduction {
    /// The agent's random identity.
    pub install_id: Uuid,
    /// The system's machine id.
    pub machine_id: String,
    /// Host name.
    pub hostname: String,
    /// The agent's version.
    pub agent_version: String,
}

/// A host and a token for it.
pub struct Enrolled {
    /// The host.
    pub host_id: Uuid,
    /// The token, in full.
    pub token: String,
    /// What is kept of it.
    pub kept: HostToken,
}

/// The key behind a bearer, if it is one of ours.
pub fn find_key(app: &App, secret: &str) -> Option<Arc<EnrollmentKey>> {
    let hash = sha256_hex(secret);
    app.store
        .state
        .enrollment_keys
        .find(|key| key.key_sha256 == hash)
}

/// Enrols a host, or enrols it again: then it stays the same host, and its old tokens stop working, unless it is another
/// machine while the host is heard.
///
/// # Errors
/// [`FlowError::Unauthenticated`] when the key has expired or is used up. `max_uses` holds under parallel use.
pub async fn enroll(
    app: &App,
    key_id: Uuid,
    introduction: Introduction,
    address: &str,
) -> Result<Enrolled, FlowError> {
    let now = app.clock.now();
    let kept = HostToken::new(id::new(now), now);
    let host_id = app
        .store
        .state
        .change(|change| {
            let state = change.state;
            let key = state
                .enrollment_keys
                .get(key_id)
                .ok_or(FlowError::Unauthenticated)?;
            let known = state
                .hosts
                .find(|host| host.install_id == Some(introduction.install_id));
            key.check(now, known.is_none()).map_err(|reason| {
                tracing::warn!(key = %key.name, %reason, "enrolment refused");
                FlowError::Unauthenticated
            })?;
            let actor = Actor {
                kind: "enrollment_key".to_owned(),
                id: Some(key_id),
                name: key.name.clone(),
                address: Some(address.to_owned()),
            };
            let host = match known {
                Some(known) => {
                    let mut host = (*known).clone();
                    if identity::is_other(app, &host, &introduction.machine_id, now) {
                        // A copy must not shut its original out: both have a token, and reports tell who is who.
                        add_token(&mut host, kept.clone());
                    } else {
                        host.tokens = vec![kept.clone()];
                    }
                    host.agent_version = introduction.agent_version;
                    note(
                        change,
                        now,
                        actor,
                        "host.enroll_again",
                        Some(host.host_id),
                        host.name(),
                    );
                    host
                }
                None => {
                    change.put(EnrollmentKey {
                        uses: key.uses + 1,
                        ..(*key).clone()
                    });
                    let host = Host {
                        host_id: id::new(now),
                        number: change.next_host_number(),
                        install_id: Some(introduction.install_id),
                        given_name: None,
                        labels: key.labels.clone(),
                        facts: Facts {
                            hostname: introduction.hostname,
                            machine_id: introduction.machine_id,
                            ..Facts::default()
                        },
                        agent_version: introduction.agent_version,
                        interval_seconds: DEFAULT_INTERVAL_SECONDS,
                        snapshot_interval_seconds: DEFAULT_SNAPSHOT_INTERVAL_SECONDS,
                        enrolled_at: now,
                        tokens: vec![kept.clone()],
                        snapshot: None,
                        baseline: None,
                        previous_boot_id: None,
                        set_aside: Vec::new(),
                        collection: None,
                    };
                    note(
                        change,
                        now,
                        actor,
                        "host.enroll",
                        Some(host.host_id),
                        host.name(),
                    );
                    host
                }
            };
            tracing::info!(host = host.name(), host_id = %host.host_id, "host enrolled");
            let host_id = host.host_id;
            change.put(host);
            Ok::<_, FlowError>(host_id)
        })
        .await?;
    enrolled(app, host_id, kept)
}

fn enrolled(app: &App, host_id: Uuid, kept: HostToken) -> Result<Enrolled, FlowError> {
    let token = app.tokens.issue(
        Kind::Host,
        host_id,
        kept.token_id,
        app.clock.now(),
        kept.expires_at,
    );
    Ok(Enrolled {
        host_id,
        token: token.map_err(|_| FlowError::Busy)?,
        kept,
    })
}

/// Gives a host a fresh token. The one it used stays valid until the next renewal, in case the answer is lost.
///
/// # Errors
/// [`FlowError::NotFound`] when the host was deleted meanwhile.
pub async fn renew(app: &App, host_id: Uuid, used: Uuid) -> Result<Enrolled, FlowError> {
    let now = app.clock.now();
    let kept = HostToken::new(id::new(now), now);
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            // Older ones are given up; a copy that renews the token it was copied with takes nothing from its original.
            let is_used = |token: &HostToken| token.token_id == used;
            let older = host.tokens.iter().position(is_used).unwrap_or_default();
            host.tokens.drain(..older);
            add_token(&mut host, kept.clone());
            let actor = Actor {
                kind: "host".to_owned(),
                id: Some(host_id),
                name: host.name().to_owned(),
                address: None,
            };
            note(
                change,
                now,
                actor,
                "host.renew_token",
                Some(host_id),
                host.name(),
            );
            change.put(host);
            Ok::<_, FlowError>(())
        })
        .await?;
    enrolled(app, host_id, kept)
}

/// Revokes a host's tokens and gives out a new one.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn reissue(app: &App, caller: &Caller, host_id: Uuid) -> Result<Enrolled, FlowError> {
    let now = app.clock.now();
    let kept = HostToken::new(id::new(now), now);
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            host.tokens = vec![kept.clone()];
            note(
                change,
                now,
                caller.actor(),
                "host.issue_token",
                Some(host_id),
                host.name(),
            );
            change.put(host);
            Ok::<_, FlowError>(())
        })
        .await?;
    enrolled(app, host_id, kept)
}
