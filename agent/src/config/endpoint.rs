//! The local endpoint, as it was set.

use std::net::{Ipv4Addr, SocketAddr};

use super::{ConfigError, Settings};
use crate::serve::Options;

/// Where the endpoint listens if nothing else is said.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7421);

impl Settings {
    /// The endpoint, which is all that there is.
    pub fn endpoint(&self) -> Result<Options, ConfigError> {
        self.endpoint_at(self.listen.unwrap_or(DEFAULT_LISTEN))
    }

    /// The endpoint beside what is pushed, if one is wanted.
    pub fn endpoint_beside(&self) -> Result<Option<Options>, ConfigError> {
        self.listen
            .map(|listen| self.endpoint_at(listen))
            .transpose()
    }

    fn endpoint_at(&self, listen: SocketAddr) -> Result<Options, ConfigError> {
        let invalid = |message: &str| Err(ConfigError::Invalid(message.to_owned()));
        let Some(token_file) = self.token_file.clone() else {
            return invalid("--token-file is missing: a file with the token that readers show");
        };
        let tls = match (self.tls_cert.clone(), self.tls_key.clone()) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return invalid("--tls-cert and --tls-key go together"),
        };
        Ok(Options {
            listen,
            token_file,
            allowed_hosts: self.allowed_hosts.clone().unwrap_or_default(),
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let listen = "10.0.0.5:1".parse().ok();
        let full = Settings {
            listen,
            token_file: Some("/t".into()),
            tls_cert: Some("/c".into()),
            tls_key: Some("/k".into()),
            allowed_hosts: Some(vec!["a".to_owned()]),
            ..Settings::default()
        };
        let expect = Options {
            listen: "10.0.0.5:1".parse().unwrap(),
            token_file: "/t".into(),
            allowed_hosts: vec!["a".to_owned()],
            tls: Some(("/c".into(), "/k".into())),
        };
        assert_eq!(full.endpoint().unwrap(), expect);
        assert_eq!(full.endpoint_beside().unwrap(), Some(expect));

        let silent = Settings {
            token_file: Some("/t".into()),
            ..Settings::default()
        };
        assert_eq!(silent.endpoint().unwrap().listen, DEFAULT_LISTEN);
        assert_eq!(silent.endpoint_beside().unwrap(), None);

        let check = |settings: Settings, expect: &str| {
            let error = settings.endpoint_beside().unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(
            Settings {
                listen,
                ..Settings::default()
            },
            "--token-file is missing",
        );
        check(
            Settings {
                tls_key: None,
                ..full
            },
            "go together",
        );
    }
}
