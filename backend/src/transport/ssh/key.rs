//! The private keys that log in.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey};

use crate::transport::TransportError;

/// What every key is called in `authorized_keys`.
const COMMENT: &str = "infra-watch";
/// Largest key, in bytes: RSA with 16,384 bits has 12 KiB.
const MAX_KEY_BYTES: usize = 16 * 1024;
/// What a key in OpenSSH's format begins with.
const HEADER: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
/// Permissions of a file that others than its owner have.
const OTHERS: u32 = 0o077;

/// A private key that logs in.
#[derive(Clone)]
pub struct SshKey(Arc<PrivateKey>);

// The secret stays out of logs, whoever writes `{:?}`.
impl fmt::Debug for SshKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SshKey").field(&self.name()).finish()
    }
}

impl SshKey {
    /// Reads a key without a passphrase from a file in OpenSSH's format.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> Result<Self, TransportError> {
        let refused = |reason: String| TransportError::Key {
            path: path.to_owned(),
            reason,
        };
        let file = File::open(path).map_err(|error| refused(error.to_string()))?;
        let metadata = file
            .metadata()
            .map_err(|error| refused(error.to_string()))?;
        let mode = metadata.permissions().mode();
        if mode & OTHERS != 0 {
            tracing::warn!(path = %path.display(), "others than its owner may read the SSH key");
        }
        let mut text = String::new();
        file.take(MAX_KEY_BYTES as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|error| refused(error.to_string()))?;
        Self::parse(&text).map_err(|fault| refused(format!("it {fault}")))
    }

    /// Makes an Ed25519 key, as the text of a file in OpenSSH's format.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<String, TransportError> {
        let mut key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519)
            .map_err(|error| TransportError::Generate(error.to_string()))?;
        key.set_comment(COMMENT);
        let text = key.to_openssh(LineEnding::LF);
        let text = text.map_err(|error| TransportError::Generate(error.to_string()))?;
        Ok((*text).clone())
    }

    /// Reads a key.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow its name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_KEY_BYTES {
            return Err("must have at most 16 KiB");
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let text = lines.join("\n");
        let text = text.trim();
        if !text.starts_with(HEADER) {
            return Err(
                "must be a private key in OpenSSH's format, as `ssh-keygen -p -f FILE` writes it",
            );
        }
        let key = PrivateKey::from_openssh(format!("{text}\n"));
        let mut key = key.map_err(|_| "must be a whole private key in OpenSSH's format")?;
        if key.is_encrypted() {
            return Err("must not be encrypted with a passphrase, which nobody could type");
        }
        let is_known = matches!(
            key.algorithm(),
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. }
        );
        if !is_known {
            return Err("must be an Ed25519, ECDSA or RSA key");
        }
        key.set_comment(COMMENT);
        Ok(Self(Arc::new(key)))
    }

    /// The whole key, as the text of a file in OpenSSH's format.
    ///
    /// # Errors
    /// When it cannot be written in that format.
    pub fn text(&self) -> Result<String, TransportError> {
        let text = self.0.to_openssh(LineEnding::LF);
        let text = text.map_err(|error| TransportError::Generate(error.to_string()))?;
        Ok((*text).clone())
    }

    /// The public part, as a line for `authorized_keys`.
    pub fn public_line(&self) -> String {
        let line = self.0.public_key().to_openssh();
        line.unwrap_or_default()
    }

    /// Kind and fingerprint, as OpenSSH writes them.
    pub fn name(&self) -> String {
        let public = self.0.public_key();
        let fingerprint = public.fingerprint(HashAlg::Sha256);
        format!("{} {fingerprint}", public.algorithm())
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
    }
}

/// Whether this is a private key in OpenSSH's format, without a passphrase; answers with its public part as a line for
/// `authorized_keys`.
///
/// # Errors
/// What is wrong with it, in words that follow its name.
pub fn check_private_key(text: &str) -> Result<String, &'static str> {
    SshKey::parse(text).map(|key| key.public_line())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ssh-keygen -t ed25519 -N secret`.
    const ENCRYPTED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABB5wCiiOo
c5gdUW/QtClqBuAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIPxmHDrmk1t4bUVj
fDxRHBE7wjOxeV8CX/b57E0xes/fAAAAkM+QEBODq+ze1TXmbNxWQvqsniHGJ7vjNTuVRX
aqC9WTerV1aXY9wfaOWYSwBOTlCfhgzk/BxgHvbX+yI2DYrPXYDG/HUTDlReYTlxo1QyOK
ZFfdYJ0HKhjC80pn5GZx6xJ48HznDbL/SbsGvb7h01fIXXOH9P2P5JUb6b2IYLx1VbWB+x
Q5xZKI7JLF/taxcA==
-----END OPENSSH PRIVATE KEY-----";

    #[test]
    fn a_key_is_made_and_read() {
        let text = SshKey::generate().unwrap();
        let line = check_private_key(&text).unwrap();
        assert!(line.starts_with("ssh-ed25519 AAAA"), "{line}");
        assert!(line.ends_with(" infra-watch"), "{line}");
        assert_eq!(
            check_private_key(&text.replace('\n', "\r\n")),
            Ok(line.clone())
        );
        assert_eq!(check_private_key(text.trim_end()), Ok(line));
        assert_ne!(text, SshKey::generate().unwrap());
    }

    #[test]
    fn what_is_no_key() {
        let check = |text: &str, expect: &str| {
            let fault = check_private_key(text).unwrap_err();
            assert!(fault.contains(expect), "{fault}");
        };
        let text = SshKey::generate().unwrap();
        check("", "OpenSSH's format");
        check("ssh-ed25519 AAAA", "OpenSSH's format");
        check("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", "ssh-keygen -p");
        check(&text[..text.len() / 2], "a whole private key");
        check(HEADER, "a whole private key");
        check(&"a".repeat(20_000), "16 KiB");
        check(ENCRYPTED, "encrypted with a passphrase");
    }

    #[test]
    fn a_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let missing = SshKey::open(&path).unwrap_err().to_string();
        assert!(missing.starts_with("reading the SSH key in /"), "{missing}");
        std::fs::write(&path, ENCRYPTED).unwrap();
        let refused = SshKey::open(&path).unwrap_err().to_string();
        assert!(refused.contains("it must not be encrypted"), "{refused}");
        let text = SshKey::generate().unwrap();
        std::fs::write(&path, &text).unwrap();
        let key = SshKey::open(&path).unwrap();
        let written = format!("{key:?}");
        assert!(
            written.starts_with("SshKey(\"ssh-ed25519 SHA256:"),
            "{written}"
        );
        assert_eq!(key.public_line(), check_private_key(&text).unwrap());
    }
}
