//! Settings: flags, environment, file, defaults, in that order of strength, into one checked [`CommandLine`].
//!
//! Each setting is defined once, as an argument of [`ServeArguments`]. The file is TOML; its keys are the names of the flags
//! with underscores. Nothing else reads the environment.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use ipnet::IpNet;
use thiserror::Error;

use crate::domain::role::Role;
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
    /// Ask a running backend whether it is ready; exits with 1 when it is not.
    Health(HealthArguments),
    /// Settings.
    Config {
        /// What about them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
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
    /// After the signal to stop, go on accepting for so long, so that load balancers see it.
    #[arg(long, env = "INFRA_WATCH_DRAIN", default_value = "2s", value_parser = parse_duration, value_name = "DURATION")]
    pub drain: Duration,
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

/// Which backend or store `user` works on.
#[derive(Debug, Args)]
pub struct UserArguments {
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
    /// Directory of the stopped store.
    #[arg(
        long,
        env = "INFRA_WATCH_DATA_DIR",
        default_value = "./data",
        value_name = "DIR",
        global = true
    )]
    pub data_dir: PathBuf,
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

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{path} is not valid TOML: {reason}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A key that is no setting.
    #[error("{path}: there is no setting {key}; `infra-watch config default` lists them")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value of a kind that no setting has.
    #[error("{path}: {key} must be a string, a number, true or false, or a list of strings")]
    Kind {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// Settings that need or exclude each other.
    #[error("{path}: {message}")]
    Pair {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: &'static str,
    },
    /// What clap says of flags, variables and values.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// An empty file where a secret should be.
    #[error("{0} is empty")]
    EmptySecret(PathBuf),
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

/// Parses the command line, with the environment and, for `serve`, the file behind it.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, ConfigError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let first = CommandLine::try_parse_from(&arguments)?;
    match &first.command {
        Command::Serve(serve) => match &serve.config {
            Some(path) => parse_with_file(&arguments, path),
            None => Ok(first),
        },
        _ => Ok(first),
    }
}

/// The file's values become the defaults, so that flags and environment go before them.
fn parse_with_file(arguments: &[OsString], path: &Path) -> Result<CommandLine, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Toml {
            path: path.to_owned(),
            reason: error.message().to_owned(),
        })?;
    let mut command = CommandLine::command();
    // Flags and variables are looked at alone first: a secret given there goes before its other form in the file.
    let alone = command.clone().try_get_matches_from(arguments)?;
    let is_given = |key: &str| {
        let serve = alone.subcommand_matches("serve");
        serve
            .and_then(|serve| serve.value_source(key))
            .is_some_and(|source| {
                matches!(source, ValueSource::CommandLine | ValueSource::EnvVariable)
            })
    };
    for (key, value) in table {
        let unknown = || ConfigError::UnknownKey {
            path: path.to_owned(),
            key: key.clone(),
        };
        let serve = command.find_subcommand("serve").ok_or_else(unknown)?;
        if key == "config"
            || !serve
                .get_arguments()
                .any(|argument| argument.get_id() == key.as_str())
        {
            return Err(unknown());
        }
        let values = plain(&value).ok_or_else(|| ConfigError::Kind {
            path: path.to_owned(),
            key: key.clone(),
        })?;
        let other_form = key
            .strip_suffix("_file")
            .map_or_else(|| format!("{key}_file"), str::to_owned);
        if serve
            .get_arguments()
            .any(|argument| argument.get_id() == other_form.as_str())
            && is_given(&other_form)
        {
            continue;
        }
        command = command.mut_subcommand("serve", |serve| {
            serve.mut_arg(&key, |argument| argument.default_values(values))
        });
    }
    let matches = command.try_get_matches_from(arguments)?;
    let parsed = CommandLine::from_arg_matches(&matches)?;
    if let Command::Serve(serve) = &parsed.command {
        check_pairs(serve, path)?;
    }
    Ok(parsed)
}

/// What clap checks for flags alone: settings that need or exclude each other.
fn check_pairs(serve: &ServeArguments, path: &Path) -> Result<(), ConfigError> {
    let pairs = |message| ConfigError::Pair {
        path: path.to_owned(),
        message,
    };
    if serve.tls_cert.is_some() != serve.tls_key.is_some() {
        return Err(pairs("tls_cert and tls_key go together"));
    }
    let secrets = [
        (
            serve.admin_password.is_some(),
            serve.admin_password_file.is_some(),
        ),
        (
            serve.enrollment_key.is_some(),
            serve.enrollment_key_file.is_some(),
        ),
        (serve.jwt_secret.is_some(), serve.jwt_secret_file.is_some()),
    ];
    if secrets.contains(&(true, true)) {
        return Err(pairs("a secret and its file exclude each other"));
    }
    Ok(())
}

fn plain(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(truth) => Some(vec![truth.to_string()]),
        toml::Value::Array(values) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Checks a file by itself.
///
/// # Errors
/// See [`ConfigError`].
pub fn check_file(path: &Path) -> Result<(), ConfigError> {
    let arguments = ["infra-watch", "serve"].map(OsString::from);
    parse_with_file(&arguments, path).map(|_| ())
}

/// A file with every setting at its default, each explained.
pub fn default_file() -> String {
    let command = CommandLine::command();
    let mut file = "# Settings of `infra-watch serve`. Flags and INFRA_WATCH_… variables go before what stands here.\n".to_owned();
    let serve = command.find_subcommand("serve");
    for argument in serve
        .iter()
        .flat_map(|serve| serve.get_arguments())
        .filter(|argument| argument.get_env().is_some())
    {
        let id = argument.get_id().as_str();
        if id == "config" {
            continue;
        }
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let default = argument
            .get_default_values()
            .first()
            .map(|value| value.to_string_lossy().into_owned());
        let is_list = argument
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1);
        let line = match default {
            Some(default) => format!("{id} = \"{default}\""),
            None if is_list => format!("{id} = []"),
            None => format!("# {id} = \"\""),
        };
        file.push_str(&format!("\n# {help}\n{line}\n"));
    }
    file
}

/// A secret from its setting or from its file, where a line end at the end does not count.
///
/// # Errors
/// When the file cannot be read or is empty.
pub fn secret(
    value: Option<&String>,
    file: Option<&PathBuf>,
) -> Result<Option<String>, ConfigError> {
    let Some(path) = file else {
        return Ok(value.cloned());
    };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.clone(),
        source,
    })?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        Err(ConfigError::EmptySecret(path.clone()))
    } else {
        Ok(Some(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn serve(arguments: &[&str]) -> Result<ServeArguments, ConfigError> {
        let arguments = ["infra-watch", "serve"]
            .iter()
            .chain(arguments)
            .map(OsString::from);
        match parse(arguments)?.command {
            Command::Serve(serve) => Ok(*serve),
            other => panic!("{other:?}"),
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let file = file(
            "listen = \"127.0.0.1:1\"\ndrain = \"7s\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]\n",
        );
        let path = file.path().to_str().unwrap();
        let settings = serve(&["--config", path, "--listen", "127.0.0.1:2"]).unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.drain, Duration::from_secs(7));
        assert_eq!(settings.trusted_proxies.len(), 2);
        assert_eq!(settings.data_dir, Path::new("./data"));
    }

    #[test]
    fn a_secret_given_as_a_flag_goes_before_its_file_in_the_file() {
        let file = file("jwt_secret_file = \"/nonexistent\"\n");
        let path = file.path().to_str().unwrap();
        let settings = serve(&["--config", path, "--jwt-secret", "x"]).unwrap();
        assert_eq!(
            (settings.jwt_secret.as_deref(), settings.jwt_secret_file),
            (Some("x"), None)
        );
    }

    #[test]
    fn a_wrong_file_is_named_with_what_is_wrong() {
        let check = |text: &str, expect: &str| {
            let file = file(text);
            let error = check_file(file.path()).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("listen = ", "not valid TOML");
        check("lisen = \"127.0.0.1:1\"", "no setting lisen");
        check("config = \"x\"", "no setting config");
        check("[listen]\na = 1", "listen must be");
        check("listen = \"nowhere\"", "invalid value 'nowhere'");
        check("drain = \"soon\"", "whole number");
        check("tls_cert = \"cert.pem\"", "go together");
        check(
            "jwt_secret = \"a\"\njwt_secret_file = \"b\"",
            "exclude each other",
        );
    }

    #[test]
    fn the_default_file_is_valid_and_changes_nothing() {
        let text = default_file();
        for name in [
            "listen = \"127.0.0.1:7420\"",
            "data_dir",
            "jwt_secret_file",
            "trusted_proxies = []",
            "log_format",
        ] {
            assert!(text.contains(name), "{name}\n{text}");
        }
        check_file(file(&text).path()).unwrap();
    }

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(
                parse_duration(text).ok(),
                expect.map(Duration::from_millis),
                "{text}"
            );
        };
        check("100ms", Some(100));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("15d", Some(1_296_000_000));
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "30 s",
            "99999999999999999999d",
            "9999999999999999999d",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn secrets_come_from_files_too() {
        let path = file("s3cret words\n");
        assert_eq!(
            secret(None, Some(&path.path().to_owned()))
                .unwrap()
                .as_deref(),
            Some("s3cret words")
        );
        assert!(secret(None, Some(&file("\n").path().to_owned())).is_err());
        assert!(secret(None, Some(&PathBuf::from("/nonexistent"))).is_err());
        assert_eq!(
            secret(Some(&"x".to_owned()), None).unwrap().as_deref(),
            Some("x")
        );
    }
}
