//! The agents that are uploaded: which there are, and what they hash to.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::fs;
use tokio::task::spawn_blocking;

use crate::domain::collection::{Failure, Step};
use crate::domain::snapshot::hex;

/// Largest agent, in bytes: a static one has 3 MB.
const MAX_BINARY_BYTES: u64 = 64 * 1024 * 1024;

/// What an agent is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// As `uname -m` names it.
    pub fn of(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// By what a file is known to be unchanged.
type Stamp = (u64, Option<SystemTime>);

/// A directory of agents.
pub struct Binaries {
    directory: Option<PathBuf>,
    known: Mutex<HashMap<Architecture, (Stamp, String)>>,
}

impl Binaries {
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self {
            directory,
            known: Mutex::new(HashMap::new()),
        }
    }

    /// SHA-256 of an agent, computed once for each that is put there.
    ///
    /// # Errors
    /// When there is none.
    pub async fn hash(&self, architecture: Architecture) -> Result<String, Failure> {
        let path = self.path(architecture)?;
        let metadata = fs::metadata(&path).await;
        let metadata = metadata.map_err(|error| unreadable(architecture, &error))?;
        let stamp = (metadata.len(), metadata.modified().ok());
        let known = self.known.lock().get(&architecture).cloned();
        match known {
            Some((known, hash)) if known == stamp => Ok(hash),
            _ => {
                let (_, hash) = self.load(architecture).await?;
                self.known
                    .lock()
                    .insert(architecture, (stamp, hash.clone()));
                Ok(hash)
            }
        }
    }

    /// An agent, and SHA-256 of it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn load(&self, architecture: Architecture) -> Result<(Bytes, String), Failure> {
        let path = self.path(architecture)?;
        let read = spawn_blocking(move || {
            if std::fs::metadata(&path)?.len() > MAX_BINARY_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let bytes = std::fs::read(&path)?;
            let hash = hex(&Sha256::digest(&bytes));
            Ok((Bytes::from(bytes), hash))
        });
        let read = read.await.map_err(io::Error::other);
        read.flatten()
            .map_err(|error| unreadable(architecture, &error))
    }

    fn path(&self, architecture: Architecture) -> Result<PathBuf, Failure> {
        let name = format!("infra-watch-agent-{}", architecture.name());
        match &self.directory {
            Some(directory) => Ok(directory.join(name)),
            None => Err(Failure::new(
                Step::Agent,
                "there is no agent to upload: --agent-binaries must name a directory with them",
            )),
        }
    }
}

fn unreadable(architecture: Architecture, error: &io::Error) -> Failure {
    let name = architecture.name();
    let reason = format!(
        "the agent for {name} in --agent-binaries cannot be read: {}",
        error.kind()
    );
    Failure::new(Step::Agent, reason)
}
