//! The file of settings by itself: written out with every key explained, and checked.

use std::path::Path;

use clap::Args as _;

use super::{ConfigError, Settings, parse_file};

/// What stands behind each key in the file: what is built in, or what it may look like where nothing is.
const VALUES: &[(&str, &str)] = &[
    ("server", "\"https://watch.example.org\""),
    ("enrollment_key", "\"\""),
    ("enrollment_key_file", "\"/etc/infra-watch/enrollment-key\""),
    ("interval", "\"30s\""),
    ("snapshot_interval", "\"1h\""),
    ("state_dir", "\"/var/lib/infra-watch-agent\""),
    ("host_root", "\"/host\""),
    ("environment_allow", "[]"),
    ("files", "[]"),
    ("files_text", "[]"),
    ("services", "false"),
    ("ca_file", "\"/etc/infra-watch/ca.pem\""),
    ("spool_size", "\"64MiB\""),
    ("spool_age", "\"24h\""),
    ("listen", "\"127.0.0.1:7421\""),
    ("token_file", "\"/etc/infra-watch/reader-token\""),
    ("allowed_hosts", "[]"),
    ("tls_cert", "\"/etc/infra-watch/agent.pem\""),
    ("tls_key", "\"/etc/infra-watch/agent-key.pem\""),
    ("log_level", "\"info\""),
    ("log_format", "\"text\""),
];

/// A file with every key, explained and commented out.
pub fn default_file() -> String {
    let mut file = "# Settings of infra-watch-agent. Flags and INFRA_WATCH_AGENT_… variables go before what stands here.\n\
        # What is commented out shows what is built in, or what a value looks like.\n"
        .to_owned();
    for argument in Settings::augment_args(clap::Command::new("")).get_arguments() {
        let key = argument.get_id().as_str();
        let value = VALUES.iter().find(|(name, _)| *name == key);
        let value = value.map_or("\"\"", |(_, value)| value);
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        file.push_str(&format!("\n# {help}\n# {key} = {value}\n"));
    }
    file
}

/// Checks a file by itself: its form, and that its settings fit together. What they name is not opened.
///
/// # Errors
/// See [`ConfigError`].
pub fn check_file(path: &Path) -> Result<(), ConfigError> {
    let settings = Settings::default().over(parse_file(path)?)?;
    settings.interval_seconds()?;
    settings.snapshot_interval_seconds()?;
    settings.spool_limits()?;
    settings.files()?;
    settings.endpoint_beside()?;
    if settings.server.is_some() {
        settings.server_url()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        check_file(file.path()).map_err(|error| crate::chain(&error))
    }

    #[test]
    fn the_default_file_is_valid_and_sets_nothing() {
        let text = default_file();
        check(&text).unwrap();
        let set: toml::Table = text.parse().unwrap();
        assert!(set.is_empty(), "{set:?}");
    }

    #[test]
    fn every_key_of_the_default_file_is_a_setting_and_every_setting_is_a_key() {
        let text = default_file();
        for argument in Settings::augment_args(clap::Command::new("")).get_arguments() {
            let key = argument.get_id().as_str();
            assert!(VALUES.iter().any(|(name, _)| *name == key), "{key}");
        }
        for (key, value) in VALUES {
            assert!(text.contains(&format!("# {key} = {value}\n")), "{key}");
            let file: Settings = toml::from_str(&format!("{key} = {value}")).unwrap();
            assert!(file.merge(Settings::default()).interval_seconds().is_ok());
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refused = |text: &str, expect: &str| {
            let error = check(text).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("server = \"https://watch.example.org\"\ninterval = \"10s\"\n").unwrap();
        refused("sever = \"https://a.example\"", "unknown field `sever`");
        refused("server = \"ftp://a.example\"", "http://");
        refused("interval = \"0s\"", "--interval must be");
        refused("spool_size = \"1KiB\"", "--spool-size must be");
        refused("files = [\"etc\"]", "must be an absolute path");
        refused("listen = \"127.0.0.1:7421\"", "--token-file is missing");
        refused(
            "enrollment_key = \"a\"\nenrollment_key_file = \"/b\"",
            "not both",
        );
        refused("server = ", "cannot be understood");
    }
}
