//! Settings: flags, environment, file, defaults, in that order of strength, into one checked [`CommandLine`].
//!
//! Each setting is defined once, as an argument of [`ServeArguments`]. The file is TOML; its keys are the names of the flags
//! with underscores. Nothing else reads the environment.

mod arguments;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};
use thiserror::Error;

pub use self::arguments::*;

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
    /// Times of keeping that contradict each other.
    #[error("{0}")]
    Retention(&'static str),
    /// What clap says of flags, variables and values.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// An empty file where a secret should be.
    #[error("{0} is empty")]
    EmptySecret(PathBuf),
}

/// The whole command line, for manuals and completions.
pub fn command() -> clap::Command {
    CommandLine::command()
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
            None => {
                serve.retention().check().map_err(ConfigError::Retention)?;
                Ok(first)
            }
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
        serve.retention().check().map_err(ConfigError::Retention)?;
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
            None if !argument.get_action().takes_values() => format!("{id} = false"),
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
    use std::time::Duration;

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
    fn what_may_be_dialled_comes_from_flags_and_files() {
        let none = serve(&[]).unwrap().egress();
        assert_eq!((none.allow.len(), none.allow_private), (0, false));
        let file =
            file("egress_allow = [\"10.0.0.0/8\", \"fd00::/8\"]\nallow_private_egress = true\n");
        let path = file.path().to_str().unwrap();
        let filed = serve(&["--config", path]).unwrap().egress();
        assert_eq!((filed.allow.len(), filed.allow_private), (2, true));
        let flags = ["--egress-allow", "10.0.0.5/32", "--allow-private-egress"];
        let given = serve(&flags).unwrap().egress();
        assert_eq!((given.allow.len(), given.allow_private), (1, true));
        assert!(serve(&["--egress-allow", "10.0.0.5/33"]).is_err());
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
        check("disk_reserve = \"lots\"", "such as 64MiB");
        check("retention_raw = \"8d\"", "at least 9d");
        check("retention_five_minutes = \"29d\"", "at least retention_raw");
        check("retention_hour = \"1d\"", "at least retention_five_minutes");
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
            "egress_allow = []",
            "allow_private_egress = false",
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
    fn what_is_kept_is_checked_for_flags_too() {
        assert!(serve(&["--retention-raw", "8d"]).is_err());
        let settings = serve(&["--retention-raw", "10d", "--disk-reserve", "2GiB"]).unwrap();
        assert_eq!(settings.retention().raw_seconds, 864_000);
        assert_eq!(settings.disk_reserve, 2 << 30);
        for bad in ["", "12", "MiB", "1MB", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
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
