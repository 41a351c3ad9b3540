//! The verbs: one path each from a checked request to what is kept, and nothing about HTTP.

pub mod alert;
pub mod alert_rule;
pub mod backup;
pub mod change;
pub mod channel;
pub mod collect;
pub mod collection;
pub mod compare;
pub mod configuration;
pub mod credential;
pub mod deliver;
pub mod drift;
pub mod enroll;
pub mod evaluate;
pub mod host;
pub mod identity;
pub mod ingest;
pub mod job;
pub mod login;
pub mod maintain;
pub mod password;
pub mod preview;
pub mod query;
pub mod silence;
pub mod system;
pub mod token;
pub mod user;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use thiserror::Error;
use uuid::Uuid;

use crate::domain::host::Host;
use crate::domain::role::Role;
use crate::domain::user::User;
use crate::domain::{id, snapshot::hex};
use crate::store::audit::{Actor, AuditEntry};
use crate::store::backup::BackupError;
use crate::store::kv::KvError;
use crate::store::state::Change;
use crate::store::{OpenError, audit};
use sha2::{Digest, Sha256};

/// Why a flow did not do what it was asked.
#[derive(Debug, Error)]
pub enum FlowError {
    /// There is no such thing, or it is not the caller's to see.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It does not go together with what is there.
    #[error("{0}")]
    Conflict(&'static str),
    /// What came is of another host or agent.
    #[error("{0}")]
    Foreign(String),
    /// A field is well-formed but cannot be.
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// What is wrong, in words.
        message: String,
    },
    /// No token, or one that is not valid (any more).
    #[error("not authenticated")]
    Unauthenticated,
    /// The role does not allow it.
    #[error("the role does not allow this")]
    Forbidden,
    /// Tried too often.
    #[error("too many attempts")]
    TooMany {
        /// Seconds until the next attempt.
        retry_after_seconds: u64,
    },
    /// Too much of this is under way.
    #[error("too much is under way")]
    Busy,
    /// A query would take too long.
    #[error("the query took longer than {0} s")]
    QueryTimeout(u64),
    /// A message did not arrive.
    #[error("the message was not delivered: {0}")]
    Undelivered(String),
    /// Nothing was kept.
    #[error("keeping")]
    Store(#[from] KvError),
    /// A backup was not made.
    #[error("making a backup")]
    Backup(#[from] BackupError),
    /// What is kept cannot be read.
    #[error("reading")]
    Read(#[from] OpenError),
}

impl FlowError {
    /// A field is well-formed but cannot be.
    pub fn invalid(field: &str, message: impl ToString) -> Self {
        Self::Invalid {
            field: field.to_owned(),
            message: message.to_string(),
        }
    }
}

/// Who calls, checked.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user behind it.
    pub user: Arc<User>,
    /// What the caller may do: the user's role, or that of the API token if it is less.
    pub role: Role,
    /// The session, unless it is an API token.
    pub session_id: Option<Uuid>,
    /// The API token, unless it is a session.
    pub token_id: Option<Uuid>,
}

/// A principal and the address it calls from.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From which address.
    pub address: IpAddr,
}

impl Caller {
    /// The caller as the audit log names it.
    pub fn actor(&self) -> Actor {
        let (kind, id) = match self.principal.token_id {
            Some(token_id) => ("api_token", token_id),
            None => ("user", self.principal.user.user_id),
        };
        Actor {
            kind: kind.to_owned(),
            id: Some(id),
            name: self.principal.user.username.clone(),
            address: Some(self.address.to_string()),
        }
    }
}

/// A host's record as it stands, to be put back otherwise.
fn change_host(change: &Change<'_>, host_id: Uuid) -> Result<Host, FlowError> {
    let host = change.state.hosts.get(host_id);
    Ok((*host.ok_or(FlowError::NotFound("host"))?).clone())
}

/// Adds to a change what it is, for the audit log.
fn note(
    change: &mut Change<'_>,
    now: DateTime<Utc>,
    actor: Actor,
    action: &str,
    object_id: Option<Uuid>,
    object_name: &str,
) {
    let entry = AuditEntry {
        audit_id: id::new(now),
        at: now,
        actor,
        action: action.to_owned(),
        object_id,
        object_name: object_name.to_owned(),
    };
    audit::append(change, &entry);
}

/// Takes a value that was given; without one the field stays.
fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// SHA-256 in hexadecimal: how keys are kept. They are random and long, so no slow hash is needed.
fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
