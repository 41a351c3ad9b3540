//! The state directory: who this agent is, its token, and the lock that keeps a second agent out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::clock;
use crate::facts::{KEY_BYTES, Key};
use crate::files;

const INSTALL_ID: &str = "install-id";
const TOKEN: &str = "token.json";
const LOCK: &str = "lock";
const ENVIRONMENT_KEY: &str = "environment-key";
const ALIVE: &str = "alive";

/// Why the state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// The system refused.
    #[error("cannot use the state directory {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent runs there.
    #[error("another agent uses the state directory {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The key was changed by somebody else.
    #[error("{} is no key; remove it to have another made, with which all hashed values change", path.display())]
    EnvironmentKey {
        /// The file.
        path: PathBuf,
    },
    /// The identity was changed by somebody else.
    #[error("{} holds no UUID; remove it to make this a new host", path.display())]
    InstallId {
        /// The file.
        path: PathBuf,
    },
}

/// A token that the backend gave this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The backend that gave it; for another backend it is worth nothing.
    pub server: String,
    /// The host's id there.
    pub host_id: Uuid,
    /// The secret.
    pub token: String,
    /// When it came, in Unix seconds.
    pub obtained_at: i64,
    /// When it ends, in Unix seconds.
    pub expires_at: i64,
}

impl Token {
    /// Whether more than half of its life is over.
    pub fn is_past_half(&self, now: i64) -> bool {
        let life = self.expires_at.saturating_sub(self.obtained_at).max(0);
        now >= self.obtained_at.saturating_add(life / 2)
    }
}

/// The file that says when the agent last measured, by when it was changed, and how often it does, by what is in it.
#[derive(Debug)]
pub struct Alive {
    directory: PathBuf,
    interval_seconds: u32,
    /// Open once the agent has measured.
    file: Option<File>,
}

impl Alive {
    /// Says that the agent measures now.
    pub fn touch(&mut self) {
        // What cannot be said now is said at the next interval; whoever asks sees that it is old.
        if let Err(error) = self.try_touch() {
            tracing::debug!(%error, "cannot say that the agent is alive");
        }
    }

    fn try_touch(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let text = format!("{}\n", self.interval_seconds);
                files::write_atomically(&self.directory, ALIVE, text.as_bytes())?;
                let file = OpenOptions::new()
                    .write(true)
                    .open(self.directory.join(ALIVE))?;
                self.file.insert(file)
            }
        };
        file.set_modified(SystemTime::UNIX_EPOCH + clock::since_epoch())
    }
}

/// The agent's directory, which only its user may enter.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Held by the one agent that may write to the directory; the system lets go of it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateDir {
    /// Opens the directory, made if it is absent.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        files::make_private_directory(path).map_err(|source| io_error(path, source))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The directory as it is, which may be no directory at all: what is in it can be read, and perhaps no more.
    pub fn as_it_is(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock, or says that another agent has it.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let path = self.path.join(LOCK);
        let file = files::open_private(&path, OpenOptions::new().write(true))
            .map_err(|source| io_error(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked {
                path: self.path.clone(),
            }),
            Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
        }
    }

    /// What shows that an agent that measures so often is alive.
    pub fn alive(&self, interval_seconds: u32) -> Alive {
        Alive {
            directory: self.path.clone(),
            interval_seconds,
            file: None,
        }
    }

    /// When an agent last measured here, and how many seconds it lets pass between two measurements.
    pub fn last_alive(&self) -> Option<(SystemTime, u32)> {
        let path = self.path.join(ALIVE);
        let interval_seconds = fs::read_to_string(&path).ok()?.trim().parse().ok()?;
        let measured_at = fs::metadata(&path).and_then(|file| file.modified()).ok()?;
        Some((measured_at, interval_seconds))
    }

    /// This agent's identity: random, made once.
    pub fn install_id(&self) -> Result<Uuid, StateError> {
        let path = self.path.join(INSTALL_ID);
        if !path.exists() {
            files::write_once(
                &self.path,
                INSTALL_ID,
                format!("{}\n", Uuid::now_v7()).as_bytes(),
            )
            .map_err(|source| io_error(&path, source))?;
        }
        let text = fs::read_to_string(&path).map_err(|source| io_error(&path, source))?;
        text.trim()
            .parse()
            .map_err(|_| StateError::InstallId { path })
    }

    /// The key under which values of the environment are hashed: random, made once, never sent.
    pub fn environment_key(&self) -> Result<Key, StateError> {
        let path = self.path.join(ENVIRONMENT_KEY);
        if !path.exists() {
            let mut bytes = [0; KEY_BYTES];
            getrandom::fill(&mut bytes)
                .map_err(|error| io::Error::other(error.to_string()))
                .and_then(|()| files::write_once(&self.path, ENVIRONMENT_KEY, &bytes))
                .map_err(|source| io_error(&path, source))?;
        }
        let bytes = fs::read(&path).map_err(|source| io_error(&path, source))?;
        let bytes = bytes
            .try_into()
            .map_err(|_| StateError::EnvironmentKey { path })?;
        Ok(Key::from_bytes(bytes))
    }

    /// The token for `server`, if there is one. A file that cannot be understood is as good as none.
    pub fn token(&self, server: &str) -> Option<Token> {
        let text = fs::read(self.path.join(TOKEN)).ok()?;
        let token: Token = serde_json::from_slice(&text).ok()?;
        (token.server == server).then_some(token)
    }

    /// Keeps the token.
    pub fn save_token(&self, token: &Token) -> Result<(), StateError> {
        let path = self.path.join(TOKEN);
        serde_json::to_vec(token)
            .map_err(io::Error::from)
            .and_then(|text| files::write_atomically(&self.path, TOKEN, &text))
            .map_err(|source| io_error(&path, source))
    }
}

fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_token_and_lock() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        let install_id = state.install_id().unwrap();
        assert_eq!(
            StateDir::open(state.path()).unwrap().install_id().unwrap(),
            install_id
        );

        let token = Token {
            server: "https://watch.example".to_owned(),
            host_id: Uuid::nil(),
            token: "secret".to_owned(),
            obtained_at: 100,
            expires_at: 200,
        };
        assert_eq!(state.token(&token.server), None);
        state.save_token(&token).unwrap();
        assert_eq!(state.token(&token.server).as_ref(), Some(&token));
        assert_eq!(state.token("https://other.example"), None);

        let lock = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(StateError::Locked { .. })));
        drop(lock);
        state.lock().unwrap();

        fs::write(state.path().join(INSTALL_ID), "web-1").unwrap();
        assert!(matches!(
            state.install_id(),
            Err(StateError::InstallId { .. })
        ));
    }

    #[test]
    fn the_key_of_the_environment_is_made_once() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path()).unwrap();
        let tag = |state: &StateDir| state.environment_key().unwrap().tag("A", "x");
        let first = tag(&state);
        assert_eq!(tag(&StateDir::open(root.path()).unwrap()), first);
        let path = root.path().join(ENVIRONMENT_KEY);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(
            (metadata.permissions().mode() & 0o777, metadata.len()),
            (0o600, 32)
        );
        let other = tempfile::tempdir().unwrap();
        assert_ne!(tag(&StateDir::open(other.path()).unwrap()), first);
        fs::write(&path, "short").unwrap();
        let error = state.environment_key().unwrap_err();
        assert!(matches!(error, StateError::EnvironmentKey { .. }));
    }

    #[test]
    fn half_of_a_life() {
        let check = |obtained_at, expires_at, now, expect| {
            let token = Token {
                server: String::new(),
                host_id: Uuid::nil(),
                token: String::new(),
                obtained_at,
                expires_at,
            };
            assert_eq!(
                token.is_past_half(now),
                expect,
                "{obtained_at} {expires_at} {now}"
            );
        };
        check(100, 200, 149, false);
        check(100, 200, 150, true);
        check(100, 90, 100, true);
        check(0, i64::MAX, 5, false);
    }
}
