//! Host keys: each is known by its fingerprint or nobody logs in.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use russh::client::{ChannelOpenHandle, Handler, Msg, Session};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, Preferred};

/// A host key, as OpenSSH writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    pub algorithm: String,
    pub fingerprint: String,
    pub family: Option<Family>,
}

impl HostKey {
    fn of(key: &PublicKey) -> Self {
        Self {
            algorithm: key.algorithm().to_string(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            family: Family::of(&key.algorithm()),
        }
    }

    /// Kind and fingerprint.
    pub fn name(&self) -> String {
        format!("{} {}", self.algorithm, self.fingerprint)
    }
}

/// Host keys that a server has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Ed25519,
    Ecdsa,
    Rsa,
}

/// Kinds of signatures of host keys, in order of preference; none is made with SHA-1.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

impl Family {
    /// All, in order of preference.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Ecdsa, Self::Rsa];

    fn of(algorithm: &Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 => Some(Self::Ed25519),
            Algorithm::Ecdsa { .. } => Some(Self::Ecdsa),
            Algorithm::Rsa { .. } => Some(Self::Rsa),
            _ => None,
        }
    }

    /// What to negotiate so that a server shows its key of this family; of any without one.
    pub fn preferred(family: Option<Self>) -> Preferred {
        let is_wanted = |algorithm: &Algorithm| family.is_none() || Self::of(algorithm) == family;
        let key = ALGORITHMS.into_iter().filter(is_wanted).collect();
        Preferred {
            key: Cow::Owned(key),
            ..Preferred::DEFAULT
        }
    }
}

/// Judges the key that a server shows, and lets it ask for nothing.
pub struct Judge {
    /// The fingerprint that the key must have; without one every key is refused.
    pub pin: Option<String>,
    /// The key that was shown.
    pub shown: Arc<OnceLock<HostKey>>,
}

impl Handler for Judge {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        // A certificate is as good as the key in it: no authority is believed.
        let key = HostKey::of(&key.public_key());
        let is_known = self.pin.as_ref() == Some(&key.fingerprint);
        // A connection has one key; another one cannot be shown later.
        Ok(self.shown.set(key).is_ok() && is_known)
    }

    // A handle that is dropped refuses; the library would accept.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }
}
