//! What is watched beside measurements, as it was set.

use super::{ConfigError, Settings};
use crate::facts::{Environment, Files, Key};

impl Settings {
    /// Which files are watched.
    pub fn files(&self) -> Result<Files, ConfigError> {
        let patterns = |flag: &str, patterns: &Option<Vec<String>>| {
            let patterns = patterns.clone().unwrap_or_default();
            match patterns.iter().find(|pattern| !pattern.starts_with('/')) {
                Some(pattern) => Err(ConfigError::Invalid(format!(
                    "{flag} {pattern}: must be an absolute path"
                ))),
                None => Ok(patterns),
            }
        };
        Ok(Files {
            hashed: patterns("--files", &self.files)?,
            shown: patterns("--files-text", &self.files_text)?,
        })
    }

    /// How the environment is told, with the key that this host has for it.
    pub fn watched_environment(&self, key: Option<Key>) -> Environment {
        Environment {
            // In a container the process has the container's environment, not the machine's.
            own: match self.host_root {
                Some(_) => Vec::new(),
                None => own_environment(),
            },
            allow: self.environment_allow.clone().unwrap_or_default(),
            key,
        }
    }

    /// Whether services are watched.
    pub fn services(&self) -> bool {
        self.services.unwrap_or(false)
    }
}

/// All variables of this process, as facts and not as settings; what is not UTF-8 is replaced.
fn own_environment() -> Vec<(String, String)> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let pairs = std::env::vars_os();
    pairs
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect()
}
