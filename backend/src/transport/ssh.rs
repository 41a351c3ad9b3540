//! Hosts over SSH.

use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::{Transport, TransportError, TransportSettings, Visit};
use crate::domain::collection::{Failure, SshTarget, Step, Want};

/// A private key that logs in.
#[derive(Clone, Debug)]
pub struct SshKey {}

impl SshKey {
    /// Reads a key without a passphrase from a file in OpenSSH's format.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(_path: &Path) -> Result<Self, TransportError> {
        Ok(Self {})
    }

    /// Makes an Ed25519 key, as the text of a file in OpenSSH's format.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<String, TransportError> {
        Ok(String::new())
    }
}

/// Whether this is a private key in OpenSSH's format, without a passphrase; answers with its public part as a line for
/// `authorized_keys`.
///
/// # Errors
/// What is wrong with it, in words that follow its name.
pub fn check_private_key(_text: &str) -> Result<String, &'static str> {
    Ok(String::new())
}

/// Logs in to hosts.
pub struct SshTransport;

impl SshTransport {
    pub(super) fn new(_settings: &TransportSettings) -> Self {
        Self
    }

    pub(super) fn public_key(&self) -> Option<String> {
        None
    }

    pub(super) fn forget(&self, _host_id: Uuid) {}
}

impl Transport for SshTransport {
    type Target = SshTarget;

    async fn fetch(
        &self,
        _host_id: Uuid,
        _target: &SshTarget,
        _want: &Want,
        _visit: &mut Visit,
    ) -> Result<Bytes, Failure> {
        Err(Failure::new(Step::Resolve, "not built yet"))
    }
}
