//! A real SSH server, and one who collects from it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use infra_watch::domain::collection::{Failure, SshMode, SshTarget, Step, Target, Want};
use infra_watch::domain::egress::EgressRules;
use infra_watch::domain::report::Report;
use infra_watch::transport::{SshKey, TransportSettings, Transports, Visit, read};
use uuid::Uuid;

use crate::sshd::{Sshd, user};
use crate::{endpoint, process};

/// Long enough for what is good, on a machine under load.
pub const PATIENT: Duration = Duration::from_secs(60);
/// Short enough for what never ends.
pub const IMPATIENT: Duration = Duration::from_secs(3);
/// Key of the host that is visited.
pub const HOST: Uuid = Uuid::from_u128(7);

/// A server that lets in who collects.
pub struct Lab {
    pub sshd: Sshd,
    pub transports: Transports,
}

impl Lab {
    pub async fn start() -> Self {
        Self::with(&["ed25519"], PATIENT).await
    }

    pub async fn with(kinds: &[&str], patience: Duration) -> Self {
        let sshd = Sshd::start(kinds).await;
        symlink(process::agent_binary(), sshd.path("agent")).unwrap();
        let (transports, public_key) = collecting(TransportSettings::default(), patience);
        sshd.authorize(&public_key);
        Self { sshd, transports }
    }

    /// The same, but what is installed there is quick.
    pub fn quick_target(&self) -> SshTarget {
        SshTarget {
            agent_path: self.sshd.script("quick-agent", &quick_agent()),
            ..self.target()
        }
    }

    /// The server with its only host key, and the agent that is installed there.
    pub fn target(&self) -> SshTarget {
        target(&self.sshd, &self.sshd.fingerprint("ed25519"))
    }

    pub async fn fetch(&self, target: &SshTarget, visit: &mut Visit) -> Result<Report, Failure> {
        fetch(&self.transports, target, visit).await
    }

    /// Fetches, and checks where and how that fails.
    pub async fn check(&self, target: &SshTarget, step: Step, expect: &str) -> Failure {
        let outcome = self.fetch(target, &mut Visit::new(true)).await;
        is_failure(outcome, step, expect)
    }
}

/// What prints a report at once.
pub fn quick_agent() -> String {
    format!("echo '{}'", endpoint::report())
}

/// One who collects with a key of their own.
pub fn collecting(settings: TransportSettings, patience: Duration) -> (Transports, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, SshKey::generate().unwrap()).unwrap();
    let egress = EgressRules {
        allow: Vec::new(),
        allow_private: true,
    };
    let transports = Transports::new(TransportSettings {
        egress,
        key: Some(SshKey::open(&path).unwrap()),
        patience: Some(patience),
        ..settings
    })
    .unwrap();
    let public_key = transports.public_key(None).unwrap();
    (transports, public_key)
}

pub fn target(sshd: &Sshd, host_key: &str) -> SshTarget {
    SshTarget {
        address: "127.0.0.1".to_owned(),
        port: sshd.port,
        user: user(),
        host_key: Some(host_key.to_owned()),
        mode: SshMode::Command,
        agent_path: sshd.path("agent").display().to_string(),
        state_dir: Some(sshd.path("state").display().to_string()),
        endpoint: "127.0.0.1:7421".to_owned(),
        token: None,
        private_key: None,
        jump: None,
    }
}

pub async fn fetch(
    transports: &Transports,
    target: &SshTarget,
    visit: &mut Visit,
) -> Result<Report, Failure> {
    let target = Target::Ssh(target.clone());
    let bytes = transports
        .fetch(HOST, &target, &Want::default(), visit)
        .await?;
    read(&bytes)
}

pub fn is_failure(outcome: Result<Report, Failure>, step: Step, expect: &str) -> Failure {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.step, step, "{failure:?}");
    assert!(failure.reason.contains(expect), "{failure:?}");
    assert!(!failure.reason.ends_with('.'), "{failure:?}");
    failure
}

pub fn steps(visit: &Visit) -> Vec<Step> {
    visit.passed.iter().map(|passed| passed.step).collect()
}
