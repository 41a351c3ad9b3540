//! API tokens, enrolment keys and host tokens in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::scalar::{Labels, Nullable, Text, Whole, wire_labels};
use super::user::Role;
use crate::domain;

/// A new API token.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateApiToken {
    /// What it is for.
    pub name: Text<1, 128>,
    /// Not above one's own.
    pub role: Role,
    /// When it ends; a year from now if absent, ten years at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// An API token, without the token itself.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ApiToken {
    /// Identifier.
    pub token_id: Uuid,
    /// What it is for.
    pub name: String,
    /// What it may do; never more than its owner.
    pub role: Role,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<&domain::credential::ApiToken> for ApiToken {
    fn from(token: &domain::credential::ApiToken) -> Self {
        Self {
            token_id: token.token_id,
            name: token.name.clone(),
            role: token.role.into(),
            expires_at: token.expires_at,
            created_at: token.created_at,
        }
    }
}

/// A new API token with the token itself, shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct CreatedApiToken {
    /// Identifier.
    pub token_id: Uuid,
    /// The token, for `Authorization: Bearer`; it is not kept.
    pub token: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A new enrolment key.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateEnrollmentKey {
    /// What it is for.
    pub name: Text<1, 128>,
    /// No enrolment from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// How many hosts it may enrol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<Whole<1, 1_000_000>>,
    /// Labels that hosts enrolled with it start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// An enrolment key, without the key itself.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct EnrollmentKey {
    /// Identifier.
    pub key_id: Uuid,
    /// What it is for.
    pub name: String,
    /// No enrolment from then on.
    pub expires_at: Nullable<DateTime<Utc>>,
    /// How many hosts it may enrol.
    pub max_uses: Nullable<u32>,
    /// How many it has enrolled.
    pub uses: u32,
    /// Labels that hosts enrolled with it start with.
    pub labels: Labels,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<&domain::credential::EnrollmentKey> for EnrollmentKey {
    fn from(key: &domain::credential::EnrollmentKey) -> Self {
        Self {
            key_id: key.key_id,
            name: key.name.clone(),
            expires_at: key.expires_at.into(),
            max_uses: key.max_uses.into(),
            uses: key.uses,
            labels: wire_labels(&key.labels),
            created_at: key.created_at,
        }
    }
}

/// A new enrolment key with the key itself, shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct CreatedEnrollmentKey {
    /// Identifier.
    pub key_id: Uuid,
    /// The key, for an agent's `--enrollment-key`; only its hash is kept.
    pub key: String,
    /// What it is for.
    pub name: String,
    /// No enrolment from then on.
    pub expires_at: Nullable<DateTime<Utc>>,
    /// How many hosts it may enrol.
    pub max_uses: Nullable<u32>,
    /// How many it has enrolled.
    pub uses: u32,
    /// Labels that hosts enrolled with it start with.
    pub labels: Labels,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An agent that makes itself known.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Enroll {
    /// The agent's random identity.
    pub install_id: Uuid,
    /// The system's machine id.
    pub machine_id: Text<0, 256>,
    /// Host name.
    pub hostname: Text<1, 253>,
    /// The agent's version.
    pub agent_version: Text<1, 64>,
}

/// A host and the token under which its agent reports.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct HostToken {
    /// The host.
    pub host_id: Uuid,
    /// A JWT for `Authorization: Bearer`, audience `infra-watch:agent`.
    pub token: String,
    /// When it ends; agents renew past half of its life.
    pub expires_at: DateTime<Utc>,
}
