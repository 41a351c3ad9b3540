//! A machine that is logged in to, the host or the one in between, and what is said of it when that fails.

use super::host_key::HostKey;
use super::key::SshKey;
use super::session::words;
use crate::domain::collection::{Failure, Jump, OfferedHostKey, SshTarget, Step};

/// A machine that is logged in to.
pub struct Machine<'a> {
    pub address: &'a str,
    pub port: u16,
    pub user: &'a str,
    pub pin: Option<&'a str>,
    pub key: SshKey,
    pub is_jump: bool,
}

impl<'a> Machine<'a> {
    /// The host that is visited. `own_key` is that of who collects.
    ///
    /// # Errors
    /// When there is no key.
    pub fn host(target: &'a SshTarget, own_key: Option<&SshKey>) -> Result<Self, Failure> {
        Ok(Self {
            address: &target.address,
            port: target.port,
            user: &target.user,
            pin: target.host_key.as_deref(),
            key: key(target.private_key.as_deref(), own_key, "host")?,
            is_jump: false,
        })
    }

    /// The machine in between.
    ///
    /// # Errors
    /// As of [`Machine::host`].
    pub fn jump(jump: &'a Jump, own_key: Option<&SshKey>) -> Result<Self, Failure> {
        Ok(Self {
            address: &jump.address,
            port: jump.port,
            user: &jump.user,
            pin: jump.host_key.as_deref(),
            key: key(jump.private_key.as_deref(), own_key, "jump host")?,
            is_jump: true,
        })
    }

    /// Address and port, as people write them.
    pub fn place(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }

    /// That it does not speak SSH.
    pub fn is_no_ssh(&self, error: &russh::Error) -> Failure {
        let (place, why) = (self.place(), words(error));
        Failure::new(
            Step::HostKey,
            format!("{place} gave no host key: {why}; is it an SSH server?"),
        )
    }

    /// That it shows no key that could be known.
    pub fn has_no_safe_key(&self) -> Failure {
        let place = self.place();
        Failure::new(
            Step::HostKey,
            format!("{place} has no host key of a kind that is still safe"),
        )
    }

    /// That it shows another key than the known one, or that none is known.
    pub fn shows_unknown(&self, key: HostKey) -> Failure {
        let role = if self.is_jump { "jump host" } else { "host" };
        let (fingerprint, algorithm) = (&key.fingerprint, &key.algorithm);
        let reason = match self.pin {
            Some(known) => format!(
                "the {role} key is {fingerprint} ({algorithm}), and {known} is known; nobody logged in: if the {role} \
                 was set up anew, an admin must set the new fingerprint"
            ),
            None => format!(
                "the {role} key {fingerprint} ({algorithm}) is not confirmed yet; nobody logged in"
            ),
        };
        Failure {
            host_key: Some(OfferedHostKey {
                is_jump: self.is_jump,
                algorithm: key.algorithm,
                fingerprint: key.fingerprint,
                known: self.pin.map(str::to_owned),
            }),
            ..Failure::new(Step::HostKey, reason)
        }
    }
}

/// The key to log in with.
fn key(of_target: Option<&str>, own: Option<&SshKey>, role: &str) -> Result<SshKey, Failure> {
    let failed = |reason: String| Failure::new(Step::Authenticate, reason);
    match (of_target, own) {
        (Some(text), _) => {
            SshKey::parse(text).map_err(|fault| failed(format!("the key for the {role} {fault}")))
        }
        (None, Some(own)) => Ok(own.clone()),
        (None, None) => Err(failed(format!(
            "there is no key to log in to the {role} with: --ssh-key-file must name one, or the host have its own"
        ))),
    }
}
