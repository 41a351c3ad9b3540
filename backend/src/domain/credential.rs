//! What machines and scripts hold instead of a password: enrolment keys, API tokens, host tokens.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::role::Role;
use super::selector::Selector;

/// Life of a host token: a year, in seconds. Agents renew past half of it.
pub const HOST_TOKEN_SECONDS: i64 = 365 * 24 * 3600;
/// Life of an API token that names no end: a year, in seconds.
pub const API_TOKEN_SECONDS: i64 = 365 * 24 * 3600;
/// Longest life of an API token: ten years, in seconds.
pub const API_TOKEN_MAX_SECONDS: i64 = 10 * 365 * 24 * 3600;

/// A key with which new agents make themselves known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrollmentKey {
    /// Identifier, UUIDv7.
    pub key_id: Uuid,
    /// What the admin calls it.
    pub name: String,
    /// SHA-256 of the key, hexadecimal; the key itself is shown once and not kept.
    pub key_sha256: String,
    /// Labels that hosts enrolled with it start with.
    pub labels: BTreeMap<String, String>,
    /// No enrolment from then on.
    pub expires_at: Option<DateTime<Utc>>,
    /// How many hosts it may enrol.
    pub max_uses: Option<u32>,
    /// How many it has enrolled.
    pub uses: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Why an enrolment key opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Its time is over.
    #[error("the enrolment key has expired")]
    Expired,
    /// It has enrolled as many hosts as it may.
    #[error("the enrolment key is used up")]
    UsedUp,
}

impl EnrollmentKey {
    /// Whether the key may enrol at `now`; a host that enrols again does not use it up further.
    pub fn check(&self, now: DateTime<Utc>, is_new_host: bool) -> Result<(), KeyError> {
        if self.expires_at.is_some_and(|end| now >= end) {
            return Err(KeyError::Expired);
        }
        if is_new_host && self.max_uses.is_some_and(|max| self.uses >= max) {
            return Err(KeyError::UsedUp);
        }
        Ok(())
    }
}

/// A token for scripts, with at most its owner's role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Identifier, UUIDv7.
    pub token_id: Uuid,
    /// Its owner.
    pub user_id: Uuid,
    /// What the owner calls it.
    pub name: String,
    /// What it may do; never more than its owner may at the time of use.
    pub role: Role,
    /// It ends then.
    pub expires_at: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A token for a collector: it may collect the hosts that it is bound to, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectorToken {
    /// Identifier, UUIDv7.
    pub token_id: Uuid,
    /// What the admin calls it.
    pub name: String,
    /// Hosts that it may collect.
    pub selector: Selector,
    /// It ends then.
    pub expires_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A host token that was given out and not revoked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostToken {
    /// The token's `jti`.
    pub token_id: Uuid,
    /// It ends then.
    pub expires_at: DateTime<Utc>,
}

impl HostToken {
    /// A token given out at `now`, a year long.
    pub fn new(token_id: Uuid, now: DateTime<Utc>) -> Self {
        Self {
            token_id,
            expires_at: now + TimeDelta::seconds(HOST_TOKEN_SECONDS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enrolment_keys() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let key = |expires_in_hours: Option<i64>, max_uses, uses| EnrollmentKey {
            key_id: Uuid::nil(),
            name: String::new(),
            key_sha256: String::new(),
            labels: BTreeMap::new(),
            expires_at: expires_in_hours.map(|hours| now + TimeDelta::hours(hours)),
            max_uses,
            uses,
            created_at: now,
        };
        let check = |key: EnrollmentKey, is_new, expect| assert_eq!(key.check(now, is_new), expect);
        check(key(None, None, 1_000_000), true, Ok(()));
        check(key(Some(1), Some(2), 1), true, Ok(()));
        check(key(Some(0), None, 0), true, Err(KeyError::Expired));
        check(key(None, Some(2), 2), true, Err(KeyError::UsedUp));
        check(key(None, Some(2), 2), false, Ok(()));
    }
}
