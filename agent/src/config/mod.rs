//! Settings: flags, then the environment, then the file, then what is built in. Nothing else reads the environment.

mod endpoint;
mod environment;
mod file;
mod units;
mod watched;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use reqwest::Url;
use serde::Deserialize;
use thiserror::Error;

use crate::spool::Limits;
pub use environment::{environment, original_command};
use environment::{from_environment, lookup};
pub use file::{check_file, default_file};
pub use units::{Size, Span};
use units::{list, switch};

/// The variable that names the file.
const CONFIG_VARIABLE: &str = "INFRA_WATCH_AGENT_CONFIG";
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_SNAPSHOT_INTERVAL: Duration = Duration::from_secs(3600);
const DEFAULT_SPOOL_SIZE: u64 = 64 << 20;
const DEFAULT_SPOOL_AGE: Duration = Duration::from_secs(24 * 3600);
/// Below this the spool would hold nothing worth the name.
const MIN_SPOOL_SIZE: u64 = 64 << 10;
/// Bounds of the contract.
const MAX_INTERVAL_SECONDS: u64 = 86_400;
const MAX_SNAPSHOT_INTERVAL_SECONDS: u64 = 31_536_000;

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of settings is not what it should be.
    #[error("{} cannot be understood", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A variable of the environment is not what it should be.
    #[error("{variable} cannot be understood")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Something that is needed is not there, or does not fit.
    #[error("{0}")]
    Invalid(String),
}

/// Everything that can be set, each by a flag, a variable and a key of the same name.
#[derive(Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the backend, such as `https://watch.example.org`
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Key under which this host enrols; better given as a file, where other users cannot see it
    #[arg(long, value_name = "KEY")]
    pub enrollment_key: Option<String>,
    /// File with the enrolment key; needed until the host has its token, and to enrol again when that is revoked
    #[arg(long, value_name = "FILE")]
    pub enrollment_key_file: Option<PathBuf>,
    /// How often to measure and report [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub interval: Option<Span>,
    /// How often to take a snapshot of the configuration [default: 1h]
    #[arg(long, value_name = "DURATION")]
    pub snapshot_interval: Option<Span>,
    /// Directory for identity, token and backlog [default: /var/lib/infra-watch-agent for root, else
    /// ~/.local/state/infra-watch-agent]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where the root directory of the machine is, if not at `/`: for an agent in a container, into which it is mounted
    /// read-only
    #[arg(long, value_name = "DIR")]
    pub host_root: Option<PathBuf>,
    /// Environment variables whose values are sent in plain, besides PATH, LANG and the like; `*` stands for any
    /// characters. Of all others only a keyed hash is sent. What looks like a secret is hashed all the same
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    #[serde(default, deserialize_with = "list")]
    pub environment_allow: Option<Vec<String>>,
    /// Files that are watched: their hash, mode and owner are sent. Absolute paths with `*`, `?` and `**`
    #[arg(long, value_name = "GLOB", num_args = 1.., value_delimiter = ',')]
    #[serde(default, deserialize_with = "list")]
    pub files: Option<Vec<String>>,
    /// Like --files, and the text is sent too where it is small and nothing in it looks like a secret
    #[arg(long, value_name = "GLOB", num_args = 1.., value_delimiter = ',')]
    #[serde(default, deserialize_with = "list")]
    pub files_text: Option<Vec<String>>,
    /// Watch systemd's services too: which are enabled, which run, which failed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[serde(default, deserialize_with = "switch")]
    pub services: Option<bool>,
    /// Certificates (PEM) that the backend's must be signed by, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Most that the backlog on disk may take while the backend is away; the oldest is dropped [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub spool_size: Option<Size>,
    /// How long the backlog is kept [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub spool_age: Option<Span>,
    /// Address and port of the local endpoint, where the backend may read what this host measures [default: no
    /// endpoint for run, 127.0.0.1:7421 for serve]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// File with the token that readers of the endpoint show: at least 16 characters. It is read again when it changes
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Names under which the endpoint may be asked, besides this host's name and addresses; `*` allows all
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    #[serde(default, deserialize_with = "list")]
    pub allowed_hosts: Option<Vec<String>>,
    /// Certificates (PEM) with which the endpoint speaks TLS; read again when they change
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key (PEM) of the endpoint's certificate
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How much to log on standard error [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Form of the log [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs an operator.
    Error,
    /// What may need one.
    Warn,
    /// A line for each report too.
    #[default]
    Info,
    /// What happens inside.
    Debug,
    /// Everything.
    Trace,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings of all three layers: `flags` before `environment` before the file that either names.
pub fn layered(
    flags: Settings,
    environment: &[(String, String)],
    config_file: Option<&Path>,
) -> Result<Settings, ConfigError> {
    let mut settings = flags.over(from_environment(environment)?)?;
    let named = lookup(environment, CONFIG_VARIABLE).map(Path::new);
    if let Some(path) = config_file.or(named) {
        settings = settings.over(parse_file(path)?)?;
    }
    Ok(settings)
}

fn parse_file(path: &Path) -> Result<Settings, ConfigError> {
    toml::from_str(&read(path)?).map_err(|source| ConfigError::File {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

impl Settings {
    /// These settings, and where they are silent those of the weaker layer.
    fn over(self, mut weaker: Self) -> Result<Self, ConfigError> {
        for layer in [&self, &weaker] {
            if layer.enrollment_key.is_some() && layer.enrollment_key_file.is_some() {
                let message =
                    "give the enrolment key itself or a file with it, not both in one place";
                return Err(ConfigError::Invalid(message.to_owned()));
            }
        }
        // The key and the file with the key are one setting.
        if self.enrollment_key.is_some() || self.enrollment_key_file.is_some() {
            weaker.enrollment_key = None;
            weaker.enrollment_key_file = None;
        }
        Ok(self.merge(weaker))
    }

    fn merge(self, weaker: Self) -> Self {
        Self {
            server: self.server.or(weaker.server),
            enrollment_key: self.enrollment_key.or(weaker.enrollment_key),
            enrollment_key_file: self.enrollment_key_file.or(weaker.enrollment_key_file),
            interval: self.interval.or(weaker.interval),
            snapshot_interval: self.snapshot_interval.or(weaker.snapshot_interval),
            state_dir: self.state_dir.or(weaker.state_dir),
            host_root: self.host_root.or(weaker.host_root),
            environment_allow: self.environment_allow.or(weaker.environment_allow),
            files: self.files.or(weaker.files),
            files_text: self.files_text.or(weaker.files_text),
            services: self.services.or(weaker.services),
            ca_file: self.ca_file.or(weaker.ca_file),
            spool_size: self.spool_size.or(weaker.spool_size),
            spool_age: self.spool_age.or(weaker.spool_age),
            listen: self.listen.or(weaker.listen),
            token_file: self.token_file.or(weaker.token_file),
            allowed_hosts: self.allowed_hosts.or(weaker.allowed_hosts),
            tls_cert: self.tls_cert.or(weaker.tls_cert),
            tls_key: self.tls_key.or(weaker.tls_key),
            log_level: self.log_level.or(weaker.log_level),
            log_format: self.log_format.or(weaker.log_format),
        }
    }

    /// The backend's address without a slash at its end, checked.
    pub fn server_url(&self) -> Result<String, ConfigError> {
        let invalid = |message: String| Err(ConfigError::Invalid(message));
        let Some(server) = &self.server else {
            return invalid("--server is missing: the backend's address".to_owned());
        };
        let server = server.trim().trim_end_matches('/');
        match Url::parse(server) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                invalid("--server must begin with http:// or https://".to_owned())
            }
            Ok(url)
                if url.query().is_some()
                    || url.fragment().is_some()
                    || !url.username().is_empty() =>
            {
                invalid(
                    "--server must be an address alone, without user, query or fragment".to_owned(),
                )
            }
            Ok(_) => Ok(server.to_owned()),
            Err(error) => invalid(format!("--server is no address: {error}")),
        }
    }

    /// The enrolment key, read from its file if need be.
    pub fn enrollment_key(&self) -> Result<Option<String>, ConfigError> {
        let key = match (&self.enrollment_key, &self.enrollment_key_file) {
            (Some(key), _) => key.trim().to_owned(),
            (None, Some(path)) => read(path)?.trim().to_owned(),
            (None, None) => return Ok(None),
        };
        if key.is_empty() || key.chars().any(char::is_control) {
            return Err(ConfigError::Invalid(
                "the enrolment key is empty or no single line".to_owned(),
            ));
        }
        Ok(Some(key))
    }

    /// Seconds between two measurements.
    pub fn interval_seconds(&self) -> Result<NonZeroU32, ConfigError> {
        seconds(
            "--interval",
            self.interval,
            DEFAULT_INTERVAL,
            MAX_INTERVAL_SECONDS,
        )
    }

    /// Seconds between two snapshots.
    pub fn snapshot_interval_seconds(&self) -> Result<NonZeroU32, ConfigError> {
        let (default, most) = (DEFAULT_SNAPSHOT_INTERVAL, MAX_SNAPSHOT_INTERVAL_SECONDS);
        seconds("--snapshot-interval", self.snapshot_interval, default, most)
    }

    /// The state directory: the one that is set, or the usual one of this user.
    pub fn state_dir(
        &self,
        is_root: bool,
        environment: &[(String, String)],
    ) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &self.state_dir {
            return Ok(path.clone());
        }
        if is_root {
            return Ok(PathBuf::from("/var/lib/infra-watch-agent"));
        }
        let state_home = lookup(environment, "XDG_STATE_HOME").map(PathBuf::from);
        state_home
            .or_else(|| Some(Path::new(lookup(environment, "HOME")?).join(".local/state")))
            .map(|state_home| state_home.join("infra-watch-agent"))
            .ok_or_else(|| {
                ConfigError::Invalid("--state-dir is missing: this user has no home".to_owned())
            })
    }

    /// The root directory of the machine that is measured. One that was set must show a machine: a container that
    /// measures itself unnoticed would be the wrong thing.
    pub fn host_root(&self) -> Result<PathBuf, ConfigError> {
        let Some(root) = &self.host_root else {
            return Ok(PathBuf::from("/"));
        };
        // As the table of mounts calls it.
        if let Ok(path) = fs::canonicalize(root)
            && root.is_absolute()
            && path.join("proc/stat").is_file()
        {
            return Ok(path);
        }
        Err(ConfigError::Invalid(format!(
            "--host-root {}: there is no machine; mount its root directory there, read-only",
            root.display()
        )))
    }

    /// How much the backlog may hold.
    pub fn spool_limits(&self) -> Result<Limits, ConfigError> {
        let max_bytes = self.spool_size.map_or(DEFAULT_SPOOL_SIZE, |size| size.0);
        if max_bytes < MIN_SPOOL_SIZE {
            return Err(ConfigError::Invalid(
                "--spool-size must be at least 64KiB".to_owned(),
            ));
        }
        let max_age = self.spool_age.map_or(DEFAULT_SPOOL_AGE, |age| age.0);
        Ok(Limits {
            max_bytes,
            max_age_seconds: i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX),
        })
    }
}

/// Whether what is sent to this server can be read on the way: no TLS, and not this machine itself.
pub fn is_exposed(server: &str) -> bool {
    let Ok(url) = Url::parse(server) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    url.scheme() == "http" && !is_loopback
}

fn seconds(
    flag: &str,
    span: Option<Span>,
    default: Duration,
    most: u64,
) -> Result<NonZeroU32, ConfigError> {
    let seconds = span.map_or(default, |span| span.0).as_secs();
    u32::try_from(seconds)
        .ok()
        .filter(|_| seconds <= most)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| {
            ConfigError::Invalid(format!("{flag} must be from 1s to {}d", most / 86_400))
        })
}

#[cfg(test)]
mod tests;
