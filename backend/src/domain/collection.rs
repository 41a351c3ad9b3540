//! Collection: how a host's reports are fetched, when that is due, and what became of it.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Port of an SSH server.
pub const DEFAULT_SSH_PORT: u16 = 22;
/// The agent's command where nobody says otherwise: found on the user's `PATH`.
pub const DEFAULT_AGENT_PATH: &str = "infra-watch-agent";
/// Where an agent's endpoint listens, seen from its own host.
pub const DEFAULT_ENDPOINT: &str = "127.0.0.1:7421";

/// First wait after a failure, in seconds; each further one doubles it.
const BACK_OFF_SECONDS: i64 = 30;
/// Longest wait after failures, in seconds.
const BACK_OFF_MAX_SECONDS: i64 = 30 * 60;
/// First wait after a refused key or token, in seconds: hosts lock those out who try too often.
const AUTHENTICATION_BACK_OFF_SECONDS: i64 = 10 * 60;
/// Longest wait after refused keys or tokens, in seconds.
const AUTHENTICATION_BACK_OFF_MAX_SECONDS: i64 = 2 * 3600;

/// How and how often a host's reports are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Seconds between two collections.
    pub interval_seconds: u32,
    /// Who does it.
    pub collected_by: CollectedBy,
    /// Where the reports are.
    pub target: Target,
}

/// Who may collect a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectedBy {
    /// The backend and collectors, whoever comes first.
    #[default]
    Any,
    /// The backend alone.
    Backend,
    /// Collectors alone: the backend cannot reach the host.
    Collector,
}

/// Where a host's reports are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "one a host, and never moved in numbers"
)]
pub enum Target {
    /// At an agent's endpoint.
    Http(HttpTarget),
    /// Behind an SSH server.
    Ssh(SshTarget),
}

/// An agent's endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTarget {
    /// Its whole URL, `/report` included.
    pub url: String,
    /// The bearer token it asks for.
    pub token: String,
    /// SHA-256 of its certificate, 64 lower-case hexadecimal digits; then no other certificate is believed, and this one
    /// whoever signed it.
    pub certificate_fingerprint: Option<String>,
}

/// An SSH server, and what is done behind it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshTarget {
    /// Name or address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// The fingerprint that its host key must have, as OpenSSH writes it: `SHA256:` and 43 characters of base64.
    /// Without it the key that is offered waits for an admin, and nobody logs in.
    pub host_key: Option<String>,
    /// How a report is got.
    pub mode: SshMode,
    /// The agent's command.
    pub agent_path: String,
    /// The agent's state directory; its own choice without it.
    pub state_dir: Option<String>,
    /// Address and port of the agent's endpoint, seen from the host.
    pub endpoint: String,
    /// The bearer token that the endpoint asks for.
    pub token: Option<String>,
    /// Private key to log in with, in OpenSSH's format; the collecting side's own without it.
    pub private_key: Option<String>,
    /// A machine through which the host is reached.
    pub jump: Option<Jump>,
}

/// A machine through which another is reached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// Name or address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// As of [`SshTarget`].
    pub host_key: Option<String>,
    /// As of [`SshTarget`].
    pub private_key: Option<String>,
}

/// How a report is got over SSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SshMode {
    /// The agent's command is run for one report.
    Command,
    /// The endpoint of an agent that runs is asked through the connection.
    Tunnel,
    /// The agent is copied to the host once, and run for one report.
    Upload,
}

// Secrets stay out of logs, whoever writes `{:?}`.
impl fmt::Debug for HttpTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpTarget")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SshTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SshTarget")
            .field("address", &self.address)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Jump {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jump")
            .field("address", &self.address)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What is wanted of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Only points after this, Unix seconds.
    pub since: Option<i64>,
    /// The snapshot with this hash need not be sent again; 64 lower-case hexadecimal digits.
    pub known_snapshot: Option<String>,
}

impl SshTarget {
    /// The one command line that is run: the agent's own, of two checked paths and two checked values.
    pub fn command_line(&self, agent_path: &str, want: &Want) -> String {
        let mut line = format!("{agent_path} report");
        let mut add = |option: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push_str(option);
                line.push_str(&value);
            }
        };
        add(" --state-dir ", self.state_dir.clone());
        add(" --since ", want.since.map(|since| since.to_string()));
        add(" --known-snapshot ", want.known_snapshot.clone());
        line
    }

    /// The line for `authorized_keys` on the host that lets this key do what is needed and no more.
    pub fn authorized_keys_line(&self, public_key: &str) -> String {
        let options = match self.mode {
            SshMode::Command => {
                let command = self.command_line(&self.agent_path, &Want::default());
                format!("restrict,command=\"{command}\"")
            }
            SshMode::Tunnel => {
                let endpoint = &self.endpoint;
                format!("restrict,port-forwarding,permitopen=\"{endpoint}\",command=\"/bin/false\"")
            }
            // It must bring the agent, and so may run what it likes as this user.
            SshMode::Upload => "restrict".to_owned(),
        };
        format!("{options} {public_key}")
    }
}

impl Target {
    /// The host key that is known, of the host or of the machine in between; for an endpoint its certificate.
    pub fn pin(&self, is_jump: bool) -> Option<&str> {
        let pin = match (self, is_jump) {
            (Self::Http(http), _) => &http.certificate_fingerprint,
            (Self::Ssh(ssh), false) => &ssh.host_key,
            (Self::Ssh(ssh), true) => &ssh.jump.as_ref()?.host_key,
        };
        pin.as_deref()
    }

    /// Whether it has private keys of its own, which are lent to nobody.
    pub fn has_private_key(&self) -> bool {
        match self {
            Self::Http(_) => false,
            Self::Ssh(ssh) => {
                let jump = ssh.jump.as_ref();
                ssh.private_key.is_some() || jump.is_some_and(|jump| jump.private_key.is_some())
            }
        }
    }
}

impl Jump {
    /// The line for `authorized_keys` on the machine in between.
    pub fn authorized_keys_line(&self, target: &SshTarget, public_key: &str) -> String {
        let (address, port) = (bracketed(&target.address), target.port);
        format!(
            "restrict,port-forwarding,permitopen=\"{address}:{port}\",command=\"/bin/false\" {public_key}"
        )
    }
}

/// An address as it stands before a colon and a port.
fn bracketed(address: &str) -> String {
    if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    }
}

/// What a collection goes through, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The name becomes an address that may be dialled.
    Resolve,
    /// The connection stands.
    Connect,
    /// The host, or the machine in between, is who it should be: host key or certificate.
    HostKey,
    /// It lets us in: key or token.
    Authenticate,
    /// The agent answers.
    Agent,
    /// What it says is a report of this host.
    Report,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 6] = [
        Self::Resolve,
        Self::Connect,
        Self::HostKey,
        Self::Authenticate,
        Self::Agent,
        Self::Report,
    ];
}

/// What somebody else said, fit to be shown: one line of at most `longest` characters, nothing that moves a cursor.
pub fn quoted(said: &str, longest: usize) -> String {
    let said = said.trim();
    let mut quote: String = said
        .chars()
        .map(|character| {
            if is_plain(character) {
                character
            } else {
                '\u{b7}'
            }
        })
        .take(longest)
        .collect();
    if said.chars().nth(longest).is_some() {
        quote.push('…');
    }
    quote
}

/// Whether a character is shown as itself and changes nothing around it.
fn is_plain(character: char) -> bool {
    let is_invisible = matches!(character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !is_invisible
}

/// A host key that was offered and is not the one that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedHostKey {
    /// Whether it is the machine in between that offers it.
    pub is_jump: bool,
    /// Its kind, as OpenSSH names it: `ssh-ed25519`.
    pub algorithm: String,
    /// Its fingerprint, as OpenSSH writes it.
    pub fingerprint: String,
    /// The fingerprint that is known; none yet when it waits to be confirmed.
    pub known: Option<String>,
}

/// Why a collection gave no report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where it ended.
    pub step: Step,
    /// Why, in a whole sentence without a full stop, fit to be kept and shown.
    pub reason: String,
    /// The host key that it ended at.
    pub host_key: Option<OfferedHostKey>,
    /// Whether it says nothing of the host: whoever collects had no room, or could not keep the report.
    pub is_ours: bool,
}

/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 512;

impl Failure {
    /// One that is about no host key. Whatever the reason holds of what a host said, it becomes one line that is not too
    /// long.
    pub fn new(step: Step, reason: impl AsRef<str>) -> Self {
        Self {
            step,
            reason: quoted(reason.as_ref(), MAX_REASON_CHARS),
            host_key: None,
            is_ours: false,
        }
    }

    /// One that says nothing of the host.
    pub fn ours(step: Step, reason: impl AsRef<str>) -> Self {
        Self {
            is_ours: true,
            ..Self::new(step, reason)
        }
    }

    /// Whether the host shows another key than the one that is known.
    pub fn is_changed_host_key(&self) -> bool {
        self.host_key
            .as_ref()
            .is_some_and(|offered| offered.known.is_some())
    }

    /// How long to wait after so many failures in a row, the last of which is this. `jitter` is from 0 to 1, and keeps
    /// hosts apart that failed together.
    pub fn back_off(&self, failures: u32, jitter: f64) -> TimeDelta {
        let (first, longest) = if self.step == Step::Authenticate {
            (
                AUTHENTICATION_BACK_OFF_SECONDS,
                AUTHENTICATION_BACK_OFF_MAX_SECONDS,
            )
        } else {
            (BACK_OFF_SECONDS, BACK_OFF_MAX_SECONDS)
        };
        let doublings = failures.saturating_sub(1).min(16);
        let whole = first.saturating_mul(1 << doublings).min(longest);
        // From three quarters of it to all of it.
        let milliseconds = whole as f64 * 1000.0 * (0.75 + 0.25 * jitter.clamp(0.0, 1.0));
        TimeDelta::milliseconds(milliseconds as i64)
    }
}

/// The moments at which a host is due: multiples of its interval, moved by a phase of its own so that a fleet is not
/// asked at once.
pub fn next_tick(host_id: Uuid, interval_seconds: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval = i64::from(interval_seconds.max(1)) * 1000;
    // The end of a UUIDv7 is random.
    let (_, tail) = host_id.as_u64_pair();
    let phase = (tail % (interval as u64)) as i64;
    let now = now.timestamp_millis();
    let next = now - (now - phase).rem_euclid(interval) + interval;
    DateTime::from_timestamp_millis(next).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(mode: SshMode) -> SshTarget {
        SshTarget {
            address: "web-1".to_owned(),
            port: 22,
            user: "watch".to_owned(),
            host_key: None,
            mode,
            agent_path: "/usr/bin/infra-watch-agent".to_owned(),
            state_dir: Some("/var/lib/watch".to_owned()),
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            token: Some("secret token".to_owned()),
            private_key: Some("secret key".to_owned()),
            jump: None,
        }
    }

    #[test]
    fn the_command_line() {
        let want = Want {
            since: Some(1_800_000_000),
            known_snapshot: Some("ab12".to_owned()),
        };
        let mut target = target(SshMode::Command);
        assert_eq!(
            target.command_line(&target.agent_path, &want),
            "/usr/bin/infra-watch-agent report --state-dir /var/lib/watch --since 1800000000 --known-snapshot ab12"
        );
        target.state_dir = None;
        assert_eq!(target.command_line("a", &Want::default()), "a report");
    }

    #[test]
    fn what_a_key_may_do() {
        let check = |mode, expect: &str| {
            let line = target(mode).authorized_keys_line("ssh-ed25519 AAAA infra-watch");
            assert_eq!(line, format!("{expect} ssh-ed25519 AAAA infra-watch"));
        };
        check(
            SshMode::Command,
            "restrict,command=\"/usr/bin/infra-watch-agent report --state-dir /var/lib/watch\"",
        );
        check(
            SshMode::Tunnel,
            "restrict,port-forwarding,permitopen=\"127.0.0.1:7421\",command=\"/bin/false\"",
        );
        check(SshMode::Upload, "restrict");
        let jump = Jump {
            address: "bastion".to_owned(),
            port: 22,
            user: "watch".to_owned(),
            host_key: None,
            private_key: None,
        };
        let mut target = target(SshMode::Command);
        target.address = "fd12::1".to_owned();
        assert_eq!(
            jump.authorized_keys_line(&target, "ssh-ed25519 AAAA"),
            "restrict,port-forwarding,permitopen=\"[fd12::1]:22\",command=\"/bin/false\" ssh-ed25519 AAAA"
        );
    }

    #[test]
    fn secrets_are_not_written_into_logs() {
        let ssh = format!("{:?}", Target::Ssh(target(SshMode::Tunnel)));
        let http = Target::Http(HttpTarget {
            url: "https://web-1:7421/report".to_owned(),
            token: "secret token".to_owned(),
            certificate_fingerprint: None,
        });
        for text in [ssh, format!("{http:?}")] {
            assert!(text.contains("web-1") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn quotes() {
        let check = |said: &str, expect: &str| assert_eq!(quoted(said, 10), expect);
        check("  not found\n", "not found");
        check("0123456789", "0123456789");
        check("0123456789a", "0123456789…");
        check("a\x1b[2Jb\r\nc", "a·[2Jb··c");
        check("a\u{202e}b", "a·b");
        check("", "");
        let long = Failure::new(Step::Report, "x\n".repeat(10_000));
        assert_eq!(long.reason.chars().count(), MAX_REASON_CHARS + 1);
        assert!(!long.reason.contains('\n'));
    }

    #[test]
    fn failures_are_waited_out() {
        let check = |step, failures, jitter, seconds: f64| {
            let wait = Failure::new(step, "x").back_off(failures, jitter);
            assert_eq!(wait.num_milliseconds(), (seconds * 1000.0) as i64);
        };
        check(Step::Connect, 1, 1.0, 30.0);
        check(Step::Connect, 1, 0.0, 22.5);
        check(Step::Connect, 2, 1.0, 60.0);
        check(Step::HostKey, 7, 1.0, 1800.0);
        check(Step::HostKey, u32::MAX, 1.0, 1800.0);
        check(Step::Authenticate, 1, 1.0, 600.0);
        check(Step::Authenticate, 3, 1.0, 2400.0);
        check(Step::Authenticate, 9, 1.0, 7200.0);
    }

    #[test]
    fn ticks_are_stable_and_spread() {
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let host = |tail: u64| Uuid::from_u64_pair(7, tail);
        assert_eq!(next_tick(host(0), 30, at(60)), at(90));
        assert_eq!(next_tick(host(0), 30, at(89)), at(90));
        assert_eq!(next_tick(host(7_000), 30, at(66)), at(67));
        assert_eq!(next_tick(host(7_000), 30, at(67)), at(97));
        assert_eq!(next_tick(host(30_007_000), 30, at(67)), at(97));
        assert!(next_tick(host(5), 0, at(67)) > at(67));
    }
}
