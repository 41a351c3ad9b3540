//! The command line: every subcommand, and every setting with its flag, variable, default and explanation.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;
use ipnet::IpNet;

use crate::domain::egress::EgressRules;
use crate::domain::role::Role;
use crate::domain::tier::Retention;
use crate::telemetry::LogFormat;

/// Watches VMs: telemetry, configuration snapshots, drift and alerts in one binary.
#[derive(Debug, Parser)]
#[command(name = "infra-watch", version, max_term_width = 100)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and the dashboard.
    Serve(Box<ServeArguments>),
    /// Print the published OpenAPI document.
    Openapi,
    /// Manage users: through the running backend when --server is given, else on the stopped store.
    User(UserArguments),
    /// Collect hosts for a backend from here, with a collector token, and keep nothing: asks which hosts are due, fetches
    /// their reports over HTTP or SSH, and hands them in.
    Collect(Box<CollectArguments>),
    /// Write a backup of everything, secrets included: of the running backend when --server is given, else of the stopped
    /// store.
    Backup(BackupArguments),
    /// Put a backup back into an empty directory. A damaged one is refused whole.
    Restore(RestoreArguments),
    /// Ask a running backend whether it is ready; exits with 1 when it is not.
    Health(HealthArguments),
    /// Compare two snapshot files, such as `infra-watch-agent report` or the API give them.
    ///
    /// The exit status adds up what differs: 1 something was added, 2 something was removed, 4 something has another
    /// value; 0 when nothing differs, and 8 when the files cannot be compared.
    Diff(DiffArguments),
    /// Print what a shell needs to complete commands and options.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the man pages into a directory.
    Man {
        /// The directory, which must be there.
        directory: PathBuf,
    },
    /// Settings.
    Config {
        /// What about them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What to back up, and where to.
#[derive(Clone, Debug, Args)]
pub struct BackupArguments {
    /// The file to write, which must not be there yet; or a directory, in which the file is called
    /// infra-watch-TIME.backup, with .age behind it when it is encrypted.
    #[arg(value_name = "FILE|DIR")]
    pub to: PathBuf,
    /// Encrypt with the passphrase in this file, as the tool age does.
    #[arg(long, env = "INFRA_WATCH_BACKUP_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// In a directory, keep so many backups and remove the oldest.
    #[arg(long, value_parser = value_parser!(u16).range(1..), value_name = "NUMBER")]
    pub keep: Option<u16>,
    /// Which backend or store.
    #[command(flatten)]
    pub source: SourceArguments,
}

/// What to restore, and where to.
#[derive(Clone, Debug, Args)]
pub struct RestoreArguments {
    /// The backup.
    pub file: PathBuf,
    /// Directory for the store, empty or not there yet.
    #[arg(
        long,
        env = "INFRA_WATCH_DATA_DIR",
        default_value = "./data",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,
    /// File with the passphrase of a backup that is encrypted.
    #[arg(long, env = "INFRA_WATCH_BACKUP_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Which files to compare.
#[derive(Clone, Debug, Args)]
pub struct DiffArguments {
    /// The older one: a report, a snapshot, or its sections, in JSON; `-` for standard input.
    pub left: PathBuf,
    /// The newer one.
    pub right: PathBuf,
    /// How to print what differs.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub format: DiffFormat,
}

/// How differences are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DiffFormat {
    /// A line an item.
    Text,
    /// A unified difference of all items as lines.
    Unified,
    /// A list of items.
    Json,
}

/// Settings of `serve`. Each is a flag, an environment variable and a key of the file, in that order of strength.
#[derive(Clone, Debug, Args)]
pub struct ServeArguments {
    /// File with settings, in TOML.
    #[arg(long, env = "INFRA_WATCH_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on.
    #[arg(
        long,
        env = "INFRA_WATCH_LISTEN",
        default_value = "127.0.0.1:7420",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Directory for everything that is kept.
    #[arg(
        long,
        env = "INFRA_WATCH_DATA_DIR",
        default_value = "./data",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,
    /// Address under which people reach the dashboard; an https one keeps cookies to TLS.
    #[arg(long, env = "INFRA_WATCH_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Networks of proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, env = "INFRA_WATCH_TRUSTED_PROXIES", value_delimiter = ',', num_args = 1.., value_name = "CIDR")]
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that webhooks and mail may go to although they are not the internet, separated by commas.
    #[arg(long, env = "INFRA_WATCH_EGRESS_ALLOW", value_delimiter = ',', num_args = 1.., value_name = "CIDR")]
    pub egress_allow: Vec<IpNet>,
    /// Let webhooks and mail go to every private network, and webhooks, mail, polls and SSH to this machine itself, as
    /// in labs. Polls and SSH may always go to private networks.
    #[arg(long, env = "INFRA_WATCH_ALLOW_PRIVATE_EGRESS", value_parser = BoolishValueParser::new())]
    pub allow_private_egress: bool,
    /// Private key that logs in to hosts over SSH, in OpenSSH's format without a passphrase; else an Ed25519 key is made
    /// and kept in the data directory.
    #[arg(long, env = "INFRA_WATCH_SSH_KEY_FILE", value_name = "FILE")]
    pub ssh_key_file: Option<PathBuf>,
    /// Directory with infra-watch-agent-x86_64 and infra-watch-agent-aarch64, static, for hosts that the agent is
    /// uploaded to.
    #[arg(long, env = "INFRA_WATCH_AGENT_BINARIES", value_name = "DIR")]
    pub agent_binaries: Option<PathBuf>,
    /// Certificate chain in PEM; with --tls-key the listener speaks TLS. Read again when it changes.
    #[arg(
        long,
        env = "INFRA_WATCH_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Private key in PEM.
    #[arg(
        long,
        env = "INFRA_WATCH_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// Name of the first admin; counts at the first start only.
    #[arg(
        long,
        env = "INFRA_WATCH_ADMIN_USERNAME",
        default_value = "admin",
        value_name = "NAME"
    )]
    pub admin_username: String,
    /// Password of the first admin; without one it is made and printed once. Counts at the first start only.
    #[arg(
        long,
        env = "INFRA_WATCH_ADMIN_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub admin_password: Option<String>,
    /// File with the password of the first admin.
    #[arg(
        long,
        env = "INFRA_WATCH_ADMIN_PASSWORD_FILE",
        value_name = "FILE",
        conflicts_with = "admin_password"
    )]
    pub admin_password_file: Option<PathBuf>,
    /// A ready enrolment key, at least 16 characters.
    #[arg(
        long,
        env = "INFRA_WATCH_ENROLLMENT_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub enrollment_key: Option<String>,
    /// File with a ready enrolment key.
    #[arg(
        long,
        env = "INFRA_WATCH_ENROLLMENT_KEY_FILE",
        value_name = "FILE",
        conflicts_with = "enrollment_key"
    )]
    pub enrollment_key_file: Option<PathBuf>,
    /// Key that signs tokens, at least 32 bytes; else one is made and kept in the data directory.
    #[arg(
        long,
        env = "INFRA_WATCH_JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub jwt_secret: Option<String>,
    /// File with the key that signs tokens.
    #[arg(
        long,
        env = "INFRA_WATCH_JWT_SECRET_FILE",
        value_name = "FILE",
        conflicts_with = "jwt_secret"
    )]
    pub jwt_secret_file: Option<PathBuf>,
    /// Least time between two commits of measurements: posts in between are written together.
    #[arg(long, env = "INFRA_WATCH_GROUP_COMMIT_INTERVAL", default_value = "100ms", value_parser = parse_duration, value_name = "DURATION")]
    pub group_commit_interval: Duration,
    /// How long every single measurement is kept: at least 9d, since agents bring up to a week late.
    #[arg(long, env = "INFRA_WATCH_RETENTION_RAW", default_value = "30d", value_parser = parse_duration, value_name = "DURATION")]
    pub retention_raw: Duration,
    /// How long buckets of five minutes are kept: at least as long as single measurements.
    #[arg(long, env = "INFRA_WATCH_RETENTION_FIVE_MINUTES", default_value = "90d", value_parser = parse_duration, value_name = "DURATION")]
    pub retention_five_minutes: Duration,
    /// How long buckets of an hour are kept: at least as long as those of five minutes.
    #[arg(long, env = "INFRA_WATCH_RETENTION_HOUR", default_value = "730d", value_parser = parse_duration, value_name = "DURATION")]
    pub retention_hour: Duration,
    /// How long configuration snapshots and their changes are kept; the one that was in force then stays, and baselines.
    #[arg(long, env = "INFRA_WATCH_RETENTION_SNAPSHOTS", default_value = "365d", value_parser = parse_duration, value_name = "DURATION")]
    pub retention_snapshots: Duration,
    /// How long entries of the audit log are kept.
    #[arg(long, env = "INFRA_WATCH_RETENTION_AUDIT", default_value = "365d", value_parser = parse_duration, value_name = "DURATION")]
    pub retention_audit: Duration,
    /// Reports are refused with 503 while less than this is free on the disk, such as 128MiB or 2GiB.
    #[arg(long, env = "INFRA_WATCH_DISK_RESERVE", default_value = "128MiB", value_parser = parse_size, value_name = "SIZE")]
    pub disk_reserve: u64,
    /// Directory for backups that the backend makes by itself, which must be there; better on another disk. Without it
    /// none are made.
    #[arg(long, env = "INFRA_WATCH_BACKUP_DIR", value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,
    /// How old the newest backup may become before another one is made.
    #[arg(long, env = "INFRA_WATCH_BACKUP_INTERVAL", default_value = "1d", value_parser = parse_period, value_name = "DURATION")]
    pub backup_interval: Duration,
    /// How many backups are kept; the oldest go.
    #[arg(long, env = "INFRA_WATCH_BACKUP_KEEP", default_value = "7", value_parser = value_parser!(u16).range(1..), value_name = "NUMBER")]
    pub backup_keep: u16,
    /// File with the passphrase that backups are encrypted with.
    #[arg(long, env = "INFRA_WATCH_BACKUP_PASSPHRASE_FILE", value_name = "FILE")]
    pub backup_passphrase_file: Option<PathBuf>,
    /// Ends the process when a named point of the store is passed so often: NAME:PASSES. For tests.
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "NAME:PASSES")]
    pub fault_point: Option<String>,
    /// After the signal to stop, go on accepting for so long, so that load balancers see it.
    #[arg(long, env = "INFRA_WATCH_DRAIN", default_value = "2s", value_parser = parse_duration, value_name = "DURATION")]
    pub drain: Duration,
    /// The log.
    #[command(flatten)]
    pub logging: LogArguments,
}

/// What is logged on standard error, and how.
#[derive(Clone, Debug, Args)]
pub struct LogArguments {
    /// How log lines look.
    #[arg(
        long,
        env = "INFRA_WATCH_LOG_FORMAT",
        default_value = "text",
        value_enum,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// Which log lines are written: error, warn, info, debug, trace, or targets with levels.
    #[arg(
        long,
        env = "INFRA_WATCH_LOG",
        default_value = "info,tokio_cron_scheduler=warn",
        value_name = "FILTER"
    )]
    pub log: String,
}

/// What a collector collects for whom.
#[derive(Clone, Debug, Args)]
pub struct CollectArguments {
    /// The backend, such as `https://watch.example`.
    #[arg(long, env = "INFRA_WATCH_SERVER", value_name = "URL")]
    pub server: String,
    /// A collector token for it; better given as a file, where other users cannot see it.
    #[arg(
        long,
        env = "INFRA_WATCH_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// File with a collector token.
    #[arg(long, env = "INFRA_WATCH_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Only hosts with these labels, of those that the token allows; separated by commas.
    #[arg(long, value_parser = parse_label, value_delimiter = ',', num_args = 1.., value_name = "NAME=VALUE")]
    pub selector: Vec<(String, String)>,
    /// Collect what is due now, and end: the default.
    #[arg(long)]
    pub once: bool,
    /// Collect what is due, again and again after so long.
    #[arg(long, value_parser = parse_period, value_name = "DURATION", conflicts_with = "once")]
    pub every: Option<Duration>,
    /// Private key that logs in to hosts, in OpenSSH's format without a passphrase.
    #[arg(long, env = "INFRA_WATCH_SSH_KEY_FILE", value_name = "FILE")]
    pub ssh_key_file: Option<PathBuf>,
    /// Directory with infra-watch-agent-x86_64 and infra-watch-agent-aarch64, static, for hosts that the agent is
    /// uploaded to.
    #[arg(long, env = "INFRA_WATCH_AGENT_BINARIES", value_name = "DIR")]
    pub agent_binaries: Option<PathBuf>,
    /// Certificates (PEM) that the backend's may be signed by, besides the system's.
    #[arg(long, env = "INFRA_WATCH_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Let polls and SSH go to this machine itself too, as in labs.
    #[arg(long, env = "INFRA_WATCH_ALLOW_PRIVATE_EGRESS", value_parser = BoolishValueParser::new())]
    pub allow_private_egress: bool,
    /// The log.
    #[command(flatten)]
    pub logging: LogArguments,
}

impl ServeArguments {
    /// Where webhooks and mail may go.
    pub fn egress(&self) -> EgressRules {
        EgressRules {
            allow: self.egress_allow.clone(),
            allow_private: self.allow_private_egress,
        }
    }

    /// How long measurements are kept.
    pub fn retention(&self) -> Retention {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Retention {
            raw_seconds: seconds(self.retention_raw),
            five_minutes_seconds: seconds(self.retention_five_minutes),
            hour_seconds: seconds(self.retention_hour),
        }
    }
}

/// Which backend or store a command works on.
#[derive(Clone, Debug, Args)]
pub struct SourceArguments {
    /// A running backend to go through, such as `https://watch.example`.
    #[arg(long, env = "INFRA_WATCH_SERVER", value_name = "URL", global = true)]
    pub server: Option<String>,
    /// An admin's API token for it.
    #[arg(
        long,
        env = "INFRA_WATCH_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        global = true
    )]
    pub token: Option<String>,
    /// File with an admin's API token.
    #[arg(
        long,
        env = "INFRA_WATCH_TOKEN_FILE",
        value_name = "FILE",
        global = true
    )]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that the backend's may be signed by, besides the system's.
    #[arg(long, env = "INFRA_WATCH_CA_FILE", value_name = "FILE", global = true)]
    pub ca_file: Option<PathBuf>,
    /// Directory of the stopped store.
    #[arg(
        long,
        env = "INFRA_WATCH_DATA_DIR",
        default_value = "./data",
        value_name = "DIR",
        global = true
    )]
    pub data_dir: PathBuf,
}

/// What to do with users, and where.
#[derive(Debug, Args)]
pub struct UserArguments {
    /// Which backend or store.
    #[command(flatten)]
    pub source: SourceArguments,
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user. Without --password-file the password is read from standard input.
    Add {
        /// The new user's name.
        username: String,
        /// viewer, operator or admin.
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// File with the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give a user another password and end its sessions. Without --password-file it is read from standard input.
    SetPassword {
        /// The user's name.
        username: String,
        /// File with the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List users with their roles.
    List,
}

/// Which backend `health` asks.
#[derive(Debug, Args)]
pub struct HealthArguments {
    /// The backend's address.
    #[arg(
        long,
        env = "INFRA_WATCH_SERVER",
        default_value = "http://127.0.0.1:7420",
        value_name = "URL"
    )]
    pub server: String,
    /// Certificates (PEM) that the backend's may be signed by, besides the system's.
    #[arg(long, env = "INFRA_WATCH_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// What about settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a file with every setting at its default.
    Default,
    /// Check a file and say what is wrong with it.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// Parses a duration such as `100ms`, `30s`, `5m`, `12h` or `15d`.
///
/// # Errors
/// In words, when it is not one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(
                "a duration is a whole number and ms, s, m, h or d, such as 30s".to_owned(),
            );
        }
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a duration begins with a whole number, such as 30s".to_owned())?;
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(|| "the duration is too long".to_owned())
}

/// Parses the time between two sweeps of a collector.
fn parse_period(text: &str) -> Result<Duration, String> {
    let period = parse_duration(text)?;
    if period < Duration::from_secs(1) {
        return Err("must be at least 1s".to_owned());
    }
    Ok(period)
}

/// Parses a label such as `site=b`.
fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is name=value, such as site=b".to_owned()),
    }
}

/// Parses a size such as `64MiB` or `2GiB` into bytes.
///
/// # Errors
/// In words, when it is not one.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("a size is a whole number and KiB, MiB or GiB, such as 64MiB".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a size begins with a whole number, such as 64MiB".to_owned())?;
    number
        .checked_mul(factor)
        .ok_or_else(|| "the size is too large".to_owned())
}
