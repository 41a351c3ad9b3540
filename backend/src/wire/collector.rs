//! Collectors, in JSON: their tokens, what they are lent, and what they bring.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::collection::{CollectionKind, CollectionStep, SshMode};
use super::drift::Selector;
use super::report::Report;
use super::scalar::{Nullable, Number, Text, Whole};
use crate::domain;

/// A new collector token.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateCollectorToken {
    /// What the collector is called.
    pub name: Text<1, 128>,
    /// Hosts that it may collect; `{}` means all.
    pub selector: Selector,
    /// When it ends; a year from now if absent, ten years at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A collector token, without the token itself.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct CollectorToken {
    /// Identifier.
    pub token_id: Uuid,
    /// What the collector is called.
    pub name: String,
    /// Hosts that it may collect.
    pub selector: Selector,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl From<&domain::credential::CollectorToken> for CollectorToken {
    fn from(token: &domain::credential::CollectorToken) -> Self {
        Self {
            token_id: token.token_id,
            name: token.name.clone(),
            selector: Selector::from(&token.selector),
            expires_at: token.expires_at,
            created_by: token.created_by.clone(),
            created_at: token.created_at,
        }
    }
}

/// A new collector token with the token itself, shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct CreatedCollectorToken {
    /// Identifier.
    pub token_id: Uuid,
    /// The token, for `infra-watch collect --token-file`; it is not kept.
    pub token: String,
    /// What the collector is called.
    pub name: String,
    /// Hosts that it may collect.
    pub selector: Selector,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A collector asks for hosts that are due.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct RequestLease {
    /// At most so many.
    pub max: Whole<1, 100>,
    /// Only these, of those that its token allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

/// Hosts that are lent to a collector.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Leases {
    /// The hosts.
    pub items: Vec<Lease>,
}

/// A host that is lent to a collector for 60 s.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Lease {
    /// The host.
    pub host_id: Uuid,
    /// Names the lease, for what is brought.
    pub lease_id: Uuid,
    /// How the host is collected.
    pub collection: LeasedCollection,
    /// Only points after this are wanted, Unix seconds.
    pub since: Nullable<i64>,
    /// The snapshot with this hash is not wanted again.
    pub known_snapshot: Nullable<String>,
}

/// How a host is collected, with tokens and without private keys: the collector has its own.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct LeasedCollection {
    /// The way, `http` or `ssh`.
    pub kind: CollectionKind,
    /// The endpoint's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Bearer token of the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// SHA-256 of the certificate that is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_fingerprint: Option<String>,
    /// Name or address of the SSH server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// User.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The fingerprint that its host key must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// How a report is got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SshMode>,
    /// The agent's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_path: Option<String>,
    /// The agent's state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// Where the agent's endpoint listens on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The machine through which the host is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<LeasedJump>,
}

/// A machine through which a host is reached.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct LeasedJump {
    /// Name or address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// The fingerprint that its host key must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

impl From<&domain::collection::Target> for LeasedCollection {
    fn from(target: &domain::collection::Target) -> Self {
        let nothing = |kind| Self {
            kind,
            url: None,
            token: None,
            certificate_fingerprint: None,
            address: None,
            port: None,
            user: None,
            host_key: None,
            mode: None,
            agent_path: None,
            state_dir: None,
            endpoint: None,
            jump: None,
        };
        match target.clone() {
            domain::collection::Target::Http(http) => Self {
                url: Some(http.url),
                token: Some(http.token),
                certificate_fingerprint: http.certificate_fingerprint,
                ..nothing(CollectionKind::Http)
            },
            domain::collection::Target::Ssh(ssh) => Self {
                token: ssh.token,
                address: Some(ssh.address),
                port: Some(ssh.port),
                user: Some(ssh.user),
                host_key: ssh.host_key,
                mode: Some(ssh.mode.into()),
                agent_path: Some(ssh.agent_path),
                state_dir: ssh.state_dir,
                endpoint: Some(ssh.endpoint),
                jump: ssh.jump.map(|jump| LeasedJump {
                    address: jump.address,
                    port: jump.port,
                    user: jump.user,
                    host_key: jump.host_key,
                }),
                ..nothing(CollectionKind::Ssh)
            },
        }
    }
}

impl LeasedCollection {
    /// What the collector is to reach; `None` when the backend speaks another language.
    pub fn into_domain(self) -> Option<domain::collection::Target> {
        use domain::collection::{HttpTarget, Jump, SshTarget, Target};
        match self.kind {
            CollectionKind::Push => None,
            CollectionKind::Http => Some(Target::Http(HttpTarget {
                url: self.url?,
                token: self.token?,
                certificate_fingerprint: self.certificate_fingerprint,
            })),
            CollectionKind::Ssh => Some(Target::Ssh(SshTarget {
                address: self.address?,
                port: self.port?,
                user: self.user?,
                host_key: self.host_key,
                mode: self.mode?.into(),
                agent_path: self.agent_path?,
                state_dir: self.state_dir,
                endpoint: self.endpoint?,
                token: self.token,
                private_key: None,
                jump: self.jump.map(|jump| Jump {
                    address: jump.address,
                    port: jump.port,
                    user: jump.user,
                    host_key: jump.host_key,
                    private_key: None,
                }),
            })),
        }
    }
}

/// What a collector brings of a host: its report, or why there is none.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct HandIn {
    /// The lease.
    pub lease_id: Uuid,
    /// How long the collection took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<Number>,
    /// The report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Why there is no report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CollectionError>,
}

/// Why a collection gave no report.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CollectionError {
    /// Where it ended.
    pub step: CollectionStep,
    /// Why, in words.
    pub reason: Text<1, 1024>,
    /// The host key that it ended at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<OfferedHostKey>,
    /// Whether it says nothing of the host, such as that the collector had no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_ours: Option<bool>,
}

/// A host key that is not the one that is known.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct OfferedHostKey {
    /// Whether it is the machine in between that offers it.
    pub is_jump: bool,
    /// Its kind.
    pub algorithm: Text<1, 64>,
    /// Its fingerprint.
    pub fingerprint: Text<1, 128>,
    /// The one that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Text<1, 128>>,
}

impl From<CollectionError> for domain::collection::Failure {
    fn from(error: CollectionError) -> Self {
        Self {
            host_key: error
                .host_key
                .map(|key| domain::collection::OfferedHostKey {
                    is_jump: key.is_jump,
                    algorithm: key.algorithm.0,
                    fingerprint: key.fingerprint.0,
                    known: key.known.map(|known| known.0),
                }),
            is_ours: error.is_ours.unwrap_or_default(),
            ..Self::new(error.step.into(), error.reason.0)
        }
    }
}

impl From<domain::collection::Failure> for CollectionError {
    fn from(failure: domain::collection::Failure) -> Self {
        Self {
            step: failure.step.into(),
            reason: Text(failure.reason),
            is_ours: failure.is_ours.then_some(true),
            host_key: failure.host_key.map(|key| OfferedHostKey {
                is_jump: key.is_jump,
                algorithm: Text(key.algorithm),
                fingerprint: Text(key.fingerprint),
                known: key.known.map(Text),
            }),
        }
    }
}
