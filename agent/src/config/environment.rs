//! Settings in variables of the environment, and what else is read there.

use clap::Args as _;

use super::{ConfigError, Settings};

/// What every variable of ours begins with.
const PREFIX: &str = "INFRA_WATCH_AGENT_";
/// Where sshd says what somebody wanted to run whose key may only run one command.
const ORIGINAL_COMMAND: &str = "SSH_ORIGINAL_COMMAND";

/// Variables of the environment that concern us, by full name; what is empty counts as absent.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            // What sshd says must not vanish because it is no UTF-8.
            let value = if name == ORIGINAL_COMMAND {
                value.to_string_lossy().into_owned()
            } else {
                value.into_string().ok()?
            };
            Some((name, value))
        })
        .filter(|(name, value)| {
            let is_ours = name.starts_with(PREFIX)
                || ["XDG_STATE_HOME", "HOME", ORIGINAL_COMMAND].contains(&name.as_str());
            is_ours && !value.is_empty()
        })
        .collect()
}

/// What was to be run over SSH in place of this command, if sshd forced this one.
pub fn original_command(environment: &[(String, String)]) -> Option<&str> {
    lookup(environment, ORIGINAL_COMMAND)
}

/// The settings that variables hold.
pub fn from_environment(environment: &[(String, String)]) -> Result<Settings, ConfigError> {
    // The flags' names are the one list of what can be set.
    let known = Settings::augment_args(clap::Command::new(""));
    let mut settings = Settings::default();
    for argument in known.get_arguments() {
        let key = argument.get_id().as_str();
        let variable = format!("{PREFIX}{}", key.to_ascii_uppercase());
        if let Some(value) = lookup(environment, &variable) {
            let object = serde_json::json!({ key: value });
            let one: Settings = serde_json::from_value(object)
                .map_err(|source| ConfigError::Variable { variable, source })?;
            settings = one.merge(settings);
        }
    }
    Ok(settings)
}

/// The value of a variable.
pub fn lookup<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}
