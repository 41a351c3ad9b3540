//! How hosts are pulled, and how that goes, in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::scalar::{
    BearerToken, CertificateFingerprint, HostAddress, HostDirectory, HostKeyFingerprint, HostPath,
    Lines, LoopbackEndpoint, Nullable, Number, OptionalHostAddress, SshUser, Text, Whole,
};
use crate::domain::collection as domain;

/// Seconds between two collections: a day at most.
pub type PullInterval = Whole<1, 86_400>;
/// A port.
type Port = Whole<1, 65_535>;
/// A private key in OpenSSH's format; an empty one for none.
type PrivateKey = Lines<16_384>;

/// How reports of a host arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum CollectionKind {
    /// Its agent sends them.
    Push,
    /// They are fetched from its agent's endpoint.
    Http,
    /// They are fetched over SSH.
    Ssh,
}

/// How a report is got over SSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum SshMode {
    /// The agent's command is run for one report.
    Command,
    /// The endpoint of an agent that runs is asked through the connection.
    Tunnel,
    /// The agent is copied to the host once, and run for one report.
    Upload,
}

/// Who may collect a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum CollectedBy {
    /// The backend and collectors, whoever comes first.
    Any,
    /// The backend alone.
    Backend,
    /// Collectors alone.
    Collector,
}

/// What a collection goes through, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum CollectionStep {
    /// The name becomes an address that may be dialled.
    Resolve,
    /// The connection stands.
    Connect,
    /// The host is who it should be: its host key, or its certificate.
    HostKey,
    /// It lets us in: key or token.
    Authenticate,
    /// The agent answers.
    Agent,
    /// What it says is a report of this host.
    Report,
}

/// Pairs of variants that mean the same.
macro_rules! same {
    ($wire:ident: $($variant:ident)*) => {
        impl From<domain::$wire> for $wire {
            fn from(value: domain::$wire) -> Self {
                match value { $(domain::$wire::$variant => Self::$variant,)* }
            }
        }

        impl From<$wire> for domain::$wire {
            fn from(value: $wire) -> Self {
                match value { $($wire::$variant => Self::$variant,)* }
            }
        }
    };
}

same!(SshMode: Command Tunnel Upload);
same!(CollectedBy: Any Backend Collector);

impl From<domain::Step> for CollectionStep {
    fn from(step: domain::Step) -> Self {
        match step {
            domain::Step::Resolve => Self::Resolve,
            domain::Step::Connect => Self::Connect,
            domain::Step::HostKey => Self::HostKey,
            domain::Step::Authenticate => Self::Authenticate,
            domain::Step::Agent => Self::Agent,
            domain::Step::Report => Self::Report,
        }
    }
}

impl From<CollectionStep> for domain::Step {
    fn from(step: CollectionStep) -> Self {
        match step {
            CollectionStep::Resolve => Self::Resolve,
            CollectionStep::Connect => Self::Connect,
            CollectionStep::HostKey => Self::HostKey,
            CollectionStep::Authenticate => Self::Authenticate,
            CollectionStep::Agent => Self::Agent,
            CollectionStep::Report => Self::Report,
        }
    }
}

/// How a host is pulled: `http` takes url, token and certificate_fingerprint; `ssh` address, port, user, host_key, mode,
/// agent_path, state_dir, private_key and jump, and for the mode `tunnel` endpoint and token; `push` nothing. Of a host
/// that exists, what is absent stays.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CollectionSettings {
    /// The way.
    pub kind: CollectionKind,
    /// Who collects; `any` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_by: Option<CollectedBy>,
    /// The endpoint's whole URL, with `/report`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Text<1, 2048>>,
    /// SHA-256 of the endpoint's certificate, in hexadecimal: then only this certificate is believed, whoever signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_fingerprint: Option<CertificateFingerprint>,
    /// Bearer token of the endpoint. Written, never read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<BearerToken>,
    /// Name or address of the SSH server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<HostAddress>,
    /// Its port; 22 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// User to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<SshUser>,
    /// The fingerprint that its host key must have. Without it the key that is offered waits to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKeyFingerprint>,
    /// How a report is got; `command` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SshMode>,
    /// The agent's command; `infra-watch-agent` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_path: Option<HostPath>,
    /// The agent's state directory; its own choice if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<HostDirectory>,
    /// Where the agent's endpoint listens on the host; `127.0.0.1:7421` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<LoopbackEndpoint>,
    /// Private key to log in with, in OpenSSH's format, without a passphrase; the backend's own if absent. Written, never
    /// read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
    /// A machine through which the host is reached; one with an empty address for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<JumpSettings>,
}

/// A machine through which a host is reached.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct JumpSettings {
    /// Name or address.
    pub address: OptionalHostAddress,
    /// Port; 22 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// User to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<SshUser>,
    /// The fingerprint that its host key must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKeyFingerprint>,
    /// Private key to log in with. Written, never read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
}

/// A machine through which a host is reached, without its secrets.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct CollectionJump {
    /// Name or address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// The fingerprint that its host key must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// Whether it has a private key of its own.
    pub has_private_key: bool,
    /// The line for `authorized_keys` there; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized_keys: Option<String>,
}

/// How reports of a host arrive, without secrets, and how collecting them goes. Viewers see the kind alone.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Collection {
    /// The way; the one of pulling where an agent pushes too.
    pub kind: CollectionKind,
    /// Whether an agent was enrolled, and may push.
    pub is_pushed: bool,
    /// Seconds between two collections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// Who collects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_by: Option<CollectedBy>,
    /// The endpoint's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
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
    /// Whether the host has a private key of its own to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_private_key: Option<bool>,
    /// The machine through which the host is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<CollectionJump>,
    /// The line for `authorized_keys` on the host, which lets the key do what is needed and no more; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized_keys: Option<String>,
    /// When the last collection began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When the last began that brought a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<DateTime<Utc>>,
    /// How long the last took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<Number>,
    /// Name of the collector that did the last; absent when it was the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_collector: Option<String>,
    /// How many failed in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Why the last failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Where the last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_step: Option<CollectionStep>,
    /// When the next is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<DateTime<Utc>>,
    /// Fingerprint of the host key that waits to be confirmed; nobody logs in before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_host_key: Option<String>,
    /// Its kind, such as `ssh-ed25519`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_host_key_algorithm: Option<String>,
    /// Whether it is the machine in between that offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_offered_by_jump: Option<bool>,
    /// Fingerprint of the key or certificate that is shown instead of the known one; nobody logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_host_key: Option<String>,
}

/// A fingerprint that an admin has compared.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct ConfirmHostKey {
    /// The `offered_host_key` of the host.
    pub fingerprint: HostKeyFingerprint,
}

/// How a step of a collection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It was passed.
    Passed,
    /// It ended here.
    Failed,
    /// It did not come to this.
    Skipped,
}

/// One step of a collection.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct CollectionTraceStep {
    /// Which.
    pub step: CollectionStep,
    /// How it went.
    pub outcome: StepOutcome,
    /// What was found, or why it failed; for people.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub milliseconds: Nullable<Number>,
}

/// A collection, step by step.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct CollectionTrace {
    /// Every step, in order.
    pub steps: Vec<CollectionTraceStep>,
    /// Whether a report was stored.
    pub is_stored: bool,
}
