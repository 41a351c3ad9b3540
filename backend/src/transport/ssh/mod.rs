//! Hosts over SSH.

mod binaries;
mod command;
mod connect;
mod host_key;
mod key;
mod leash;
mod machine;
mod pool;
mod session;
mod tunnel;
mod upload;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use uuid::Uuid;

use self::binaries::Binaries;
use self::connect::{Connection, Connector};
pub use self::key::{SshKey, check_private_key};
use self::pool::Pool;
use self::upload::{Upload, Uploader};
use super::bounded::Budget;
use super::{Transport, TransportSettings, Visit};
use crate::domain::collection::{Failure, SshMode, SshTarget, Step, Want};
use crate::domain::egress::Purpose;
use crate::outgoing::Resolver;

/// Time for a whole collection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time until a connection stands.
const DIAL_PATIENCE: Duration = Duration::from_secs(5);
/// Characters of the hash of a snapshot.
const HASH_CHARS: usize = 64;

/// Logs in to hosts.
pub struct SshTransport {
    key: Option<SshKey>,
    connector: Connector,
    uploader: Uploader,
    pool: Pool,
    budget: Budget,
    patience: Duration,
    dial_patience: Duration,
}

impl SshTransport {
    pub(super) fn new(settings: &TransportSettings, budget: Budget) -> Self {
        let patience = settings.patience.unwrap_or(PATIENCE);
        let dial_patience = patience.min(DIAL_PATIENCE);
        let resolver = Resolver::new(settings.egress.clone(), Purpose::Collection);
        Self {
            key: settings.key.clone(),
            connector: Connector::new(resolver, dial_patience),
            uploader: Uploader::new(Binaries::new(settings.agent_binaries.clone())),
            pool: Pool::default(),
            budget,
            patience,
            dial_patience,
        }
    }

    pub(super) fn public_key(&self) -> Option<String> {
        self.key.as_ref().map(SshKey::public_line)
    }

    pub(super) fn forget(&self, host_id: Uuid) {
        self.pool.forget(host_id);
        self.connector.forget(host_id);
        self.uploader.forget(host_id);
    }

    async fn visit(
        &self,
        host_id: Uuid,
        target: &SshTarget,
        want: &Want,
        visit: &mut Visit,
    ) -> Result<Bytes, Failure> {
        check(target, want)?;
        let kept = if visit.may_reuse {
            self.kept(host_id, target, visit).await
        } else {
            None
        };
        let connection = match kept {
            Some(kept) => kept,
            None => {
                let own_key = self.key.as_ref();
                let connecting = self.connector.connect(host_id, target, own_key, visit);
                connecting.await?
            }
        };
        let (session, budget) = (&connection.host, &self.budget);
        let report = match target.mode {
            SshMode::Command => command::report(session, target, want, budget, visit).await?,
            SshMode::Tunnel => tunnel::report(session, target, want, budget, visit).await?,
            SshMode::Upload => {
                let upload = Upload {
                    host_id,
                    session,
                    target,
                    want,
                    budget,
                };
                self.uploader.report(upload, visit).await?
            }
        };
        visit.pass(Step::Agent, format!("{} bytes", report.len()));
        if visit.may_reuse {
            self.pool.keep(host_id, target, connection);
        }
        Ok(report)
    }

    /// The connection that was kept, if it still stands.
    async fn kept(
        &self,
        host_id: Uuid,
        target: &SshTarget,
        visit: &mut Visit,
    ) -> Option<Connection> {
        let kept = self.pool.take(host_id, target)?;
        visit.begin(Step::Connect, "asking whether the kept connection stands");
        if !kept.host.is_alive(self.dial_patience).await {
            return None;
        }
        visit.pass(Step::Resolve, "a kept connection");
        visit.pass(Step::Connect, "a kept connection");
        visit.pass(Step::HostKey, kept.host.host_key.name());
        visit.pass(Step::Authenticate, format!("as {}", target.user));
        Some(kept)
    }
}

impl Transport for SshTransport {
    type Target = SshTarget;

    async fn fetch(
        &self,
        host_id: Uuid,
        target: &SshTarget,
        want: &Want,
        visit: &mut Visit,
    ) -> Result<Bytes, Failure> {
        match timeout(self.patience, self.visit(host_id, target, want, visit)).await {
            Ok(visited) => visited,
            Err(_) => Err(visit.took_too_long(self.patience)),
        }
    }
}

/// Sees once more that nothing gets into the command line but paths and values: they were checked when they were given,
/// and a shell reads them now.
fn check(target: &SshTarget, want: &Want) -> Result<(), Failure> {
    let is_path = |path: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
        !path.is_empty() && !path.starts_with('-') && path.bytes().all(is_plain)
    };
    let is_hash =
        |hash: &str| hash.len() == HASH_CHARS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fault = if !is_path(&target.agent_path) {
        "the agent's path"
    } else if !target.state_dir.as_deref().is_none_or(is_path) {
        "the state directory"
    } else if !want.known_snapshot.as_deref().is_none_or(is_hash) {
        "the hash of the known snapshot"
    } else {
        return Ok(());
    };
    let reason = format!("{fault} cannot stand in a command line");
    Err(Failure::new(Step::Agent, reason))
}
