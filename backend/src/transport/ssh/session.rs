//! One SSH connection: from a stream to a user that is logged in.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::client::{AuthResult, Config, Handle, Msg, connect_stream};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};
use russh::{AlgorithmKind, Channel, ChannelOpenFailure, Error, SshId};
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use super::host_key::{Family, HostKey, Judge};
use super::key::SshKey;
use super::leash::{Leashed, Stream};
use crate::domain::collection::{Failure, Step};
use crate::outgoing::cause;
use crate::transport::words::quoted;

/// What a channel may send before it was read, in bytes.
const WINDOW_BYTES: u32 = 512 * 1024;
/// Messages of a channel that wait to be read.
const CHANNEL_MESSAGES: usize = 16;
/// After so much silence the other side is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Longest quote of what the other side said, in characters.
const MAX_QUOTE_CHARS: usize = 200;

/// A connection to one machine. Dropped, it is closed.
pub struct Session {
    handle: Handle<Judge>,
    /// The key that the machine showed, which is the known one.
    pub host_key: HostKey,
    _leash: DropGuard,
}

/// Why there is no connection.
pub enum Refused {
    /// The key that was shown is not the known one, or none is known.
    Key(HostKey),
    /// The machine has no key of the family that was asked for.
    NoSuchKey,
    /// It does not speak SSH, or not as it should.
    Other(Error),
}

/// How connections are made that ask for keys of a family, or any.
pub fn config(family: Option<Family>) -> Arc<Config> {
    Arc::new(Config {
        client_id: SshId::Standard("SSH-2.0-InfraWatch".into()),
        window_size: WINDOW_BYTES,
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred: Family::preferred(family),
        keepalive_interval: Some(KEEPALIVE),
        ..Config::default()
    })
}

impl Session {
    /// Exchanges keys over a stream. Nobody has logged in yet.
    ///
    /// # Errors
    /// When the machine is not the known one, or does not speak SSH.
    pub async fn begin(
        stream: impl Stream + 'static,
        config: Arc<Config>,
        pin: Option<&str>,
    ) -> Result<Self, Refused> {
        let (stream, leash) = Leashed::new(stream);
        let shown = Arc::new(OnceLock::new());
        let judge = Judge {
            pin: pin.map(str::to_owned),
            shown: Arc::clone(&shown),
        };
        let connected = connect_stream(config, stream, judge).await;
        match (connected, shown.get().cloned()) {
            (Ok(handle), Some(host_key)) => Ok(Self {
                handle,
                host_key,
                _leash: leash,
            }),
            // It was shown, and was not the known one.
            (Err(Error::UnknownKey), Some(host_key)) => Err(Refused::Key(host_key)),
            (
                Err(Error::NoCommonAlgo {
                    kind: AlgorithmKind::Key,
                    ..
                }),
                _,
            ) => Err(Refused::NoSuchKey),
            (Err(error), _) => Err(Refused::Other(error)),
            (Ok(_), None) => Err(Refused::Other(Error::UnknownKey)),
        }
    }

    /// Logs in with a key, and by no other means.
    ///
    /// # Errors
    /// When the machine refuses.
    pub async fn log_in(&mut self, user: &str, key: &SshKey) -> Result<(), Failure> {
        let failed = |reason: String| Failure::new(Step::Authenticate, reason);
        let lost = |error: Error| failed(format!("logging in as {user} failed: {}", words(&error)));
        let private = key.private();
        let hash = match private.algorithm() {
            Algorithm::Rsa { .. } => match self.handle.best_supported_rsa_hash().await {
                Ok(Some(Some(hash))) => Some(hash),
                Ok(None) => Some(HashAlg::Sha512),
                Ok(Some(None)) => {
                    return Err(failed(
                        "the host takes RSA keys with SHA-1 only, which is no longer safe"
                            .to_owned(),
                    ));
                }
                Err(error) => return Err(lost(error)),
            },
            _ => None,
        };
        let private = PrivateKeyWithHashAlg::new(private, hash);
        match self.handle.authenticate_publickey(user, private).await {
            Ok(AuthResult::Success) => Ok(()),
            // The library says so when nobody is there any more.
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) if remaining_methods.is_empty() && self.handle.is_closed() => {
                Err(lost(Error::Disconnect))
            }
            Ok(AuthResult::Failure { .. }) => Err(failed(format!(
                "the host refuses the key {} for user {user}",
                key.name()
            ))),
            Err(error) => Err(lost(error)),
        }
    }

    /// A channel to run a command in.
    ///
    /// # Errors
    /// When there is none.
    pub async fn channel(&self) -> Result<Channel<Msg>, Failure> {
        self.handle.channel_open_session().await.map_err(|error| {
            let reason = format!("the host opens no session: {}", words(&error));
            Failure::new(Step::Agent, reason)
        })
    }

    /// A channel to another address, seen from this machine.
    ///
    /// # Errors
    /// When it does not let us through, in words that follow the address.
    pub async fn tunnel(&self, host: &str, port: u16) -> Result<Channel<Msg>, String> {
        let opened = self
            .handle
            .channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0);
        opened.await.map_err(|error| words(&error))
    }

    /// Whether the other side still answers.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        // It says that it was sent; only the connection says whether it was answered.
        let answered = timeout(patience, self.handle.send_ping()).await;
        matches!(answered, Ok(Ok(()))) && !self.handle.is_closed()
    }
}

/// What is wrong with a connection.
pub fn words(error: &Error) -> String {
    match error {
        Error::Disconnect | Error::HUP | Error::SendError | Error::RecvError => {
            "the connection was closed".to_owned()
        }
        Error::KeepaliveTimeout => "nobody answers any more".to_owned(),
        Error::Version => "that is not SSH 2".to_owned(),
        Error::IO(error) => cause(error),
        Error::ChannelOpenFailure(failure) => match failure {
            ChannelOpenFailure::AdministrativelyProhibited => "it is forbidden there".to_owned(),
            ChannelOpenFailure::ConnectFailed => "nothing answers there".to_owned(),
            ChannelOpenFailure::ResourceShortage => "it has no resources left".to_owned(),
            ChannelOpenFailure::UnknownChannelType => "it does not know how".to_owned(),
            ChannelOpenFailure::Other { code, .. } => format!("reason {code}"),
        },
        Error::NoCommonAlgo { kind, theirs, .. } => {
            let theirs = quoted(&theirs.join(" "), MAX_QUOTE_CHARS);
            format!("no common algorithm ({kind:?}); it offers {theirs}")
        }
        _ => quoted(&error.to_string(), MAX_QUOTE_CHARS),
    }
}
