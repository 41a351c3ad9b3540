//! `backup` and `restore`: everything into one file, and back.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use thiserror::Error;

use super::client::{self, ClientError};
use super::serve::{keep_to_ourselves, kept_secrets};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{BackupArguments, ConfigError, RestoreArguments, secret};
use crate::domain::backup::{abandoned, file_name, surplus};
use crate::outgoing::cause;
use crate::store::archive::{self, ArchiveError, Contents, Head, Passphrase};
use crate::store::backup::{self, BackupError, NewBackup};
use crate::store::kv::{KvError, Table};
use crate::store::migration;
use crate::store::redb::RedbKv;

/// Time for the backend to begin, and for each chunk after that.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no backup, or why it was not put back.
#[derive(Debug, Error)]
pub enum BackupCommandError {
    /// Settings.
    #[error("reading settings")]
    Config(#[from] ConfigError),
    /// `--server` without a token.
    #[error("--server needs --token-file, or INFRA_WATCH_TOKEN, with an admin's API token")]
    NoToken,
    /// `--keep` without a directory.
    #[error("--keep needs a directory, and {0} is none")]
    NoDirectory(PathBuf),
    /// The HTTP client.
    #[error("preparing HTTP")]
    Client(#[from] ClientError),
    /// The running backend cannot be reached, or broke off.
    #[error("asking {server} for a backup: {reason}")]
    Unreachable {
        /// The backend.
        server: String,
        /// Why, in words.
        reason: String,
    },
    /// The running backend refuses.
    #[error("the backend refuses: {0}")]
    Refused(String),
    /// A directory without a store.
    #[error(
        "there is no store in {0}: give --data-dir of a stopped backend, or --server of a running one"
    )]
    NoStore(PathBuf),
    /// The stopped store does not open: it may be in use.
    #[error("opening the store in {path}; if the backend runs, give --server and --token-file")]
    Open {
        /// The data directory.
        path: PathBuf,
        /// Why not.
        source: KvError,
    },
    /// The secrets beside the store cannot be read.
    #[error("reading {path}")]
    Secret {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What it was made of gave up.
    #[error("working in the background: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl From<ArchiveError> for BackupCommandError {
    fn from(error: ArchiveError) -> Self {
        Self::Backup(error.into())
    }
}

/// Writes a backup and says what is in it.
///
/// # Errors
/// See [`BackupCommandError`]. No file is left then.
pub async fn back_up(arguments: BackupArguments) -> Result<String, BackupCommandError> {
    let passphrase = passphrase(arguments.passphrase_file.as_ref())?;
    let now = SystemClock.now();
    let is_directory = arguments.to.is_dir();
    if arguments.keep.is_some() && !is_directory {
        return Err(BackupCommandError::NoDirectory(arguments.to));
    }
    let path = if is_directory {
        let names = backup::names(&arguments.to)?;
        backup::remove(&arguments.to, &abandoned(&names, now))?;
        arguments.to.join(file_name(now, passphrase.is_some()))
    } else {
        arguments.to.clone()
    };
    let file = NewBackup::create(&path)?;
    let source = arguments.source;
    let token = secret(source.token.as_ref(), source.token_file.as_ref())?;
    let contents = match (source.server, token) {
        (Some(server), Some(token)) => {
            let ca_file = source.ca_file.as_deref();
            of_backend(file, passphrase, &server, &token, ca_file).await?
        }
        (Some(_), None) => return Err(BackupCommandError::NoToken),
        (None, _) => of_store(file, passphrase, source.data_dir).await?,
    };
    if let Some(keep) = arguments.keep {
        let names = backup::names(&arguments.to)?;
        backup::remove(&arguments.to, &surplus(&names, usize::from(keep), now))?;
    }
    let bytes = fs::metadata(&path).map_or(0, |file| file.len());
    Ok(format!(
        "{}: {}, {bytes} bytes\n",
        path.display(),
        describe(&contents)
    ))
}

/// Puts a backup back and says what was in it.
///
/// # Errors
/// See [`BackupCommandError`]. Nothing is left in the directory then.
pub async fn restore(arguments: RestoreArguments) -> Result<String, BackupCommandError> {
    keep_to_ourselves();
    let passphrase = passphrase(arguments.passphrase_file.as_ref())?;
    let directory = &arguments.data_dir;
    let contents = backup::restore(&arguments.file, passphrase, directory).await?;
    Ok(format!(
        "{}: {}\n",
        directory.display(),
        describe(&contents)
    ))
}

fn passphrase(file: Option<&PathBuf>) -> Result<Option<Passphrase>, ConfigError> {
    Ok(secret(None, file)?.map(Passphrase::new))
}

fn describe(contents: &Contents) -> String {
    let of = |table: Table| contents.entries.get(table.name()).copied().unwrap_or(0);
    format!(
        "{} records of {}, with {} hosts and {} users",
        contents.total(),
        contents.head.created_at.format("%Y-%m-%d %H:%M:%S UTC"),
        of(Table::Hosts),
        of(Table::Users),
    )
}

/// What a running backend sends is encrypted on its way, so that it never lies on the disk in plain.
async fn of_backend(
    file: NewBackup,
    passphrase: Option<Passphrase>,
    server: &str,
    token: &str,
    ca_file: Option<&Path>,
) -> Result<Contents, BackupCommandError> {
    let unreachable = |error: reqwest::Error| BackupCommandError::Unreachable {
        server: server.to_owned(),
        reason: cause(&error),
    };
    let client = client::builder("backup", ca_file)?
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .build()
        .map_err(unreachable)?;
    let request = client.post(client::url(server, "/backup"));
    let request = request.bearer_auth(token);
    let mut answer = request.send().await.map_err(unreachable)?;
    if answer.status() != StatusCode::OK {
        return Err(BackupCommandError::Refused(client::detail(answer).await));
    }
    let mut sealed = archive::Sealed::new(file, passphrase.as_ref())?;
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        sealed.write_all(&chunk).map_err(ArchiveError::Write)?;
    }
    let file = sealed.finish().map_err(ArchiveError::Write)?;
    complete(file, passphrase).await
}

async fn of_store(
    mut file: NewBackup,
    passphrase: Option<Passphrase>,
    data_dir: PathBuf,
) -> Result<Contents, BackupCommandError> {
    // A wrong directory must not become a new store.
    if !RedbKv::exists(&data_dir) {
        return Err(BackupCommandError::NoStore(data_dir));
    }
    let secrets = kept_secrets(&data_dir)
        .map_err(|(path, source)| BackupCommandError::Secret { path, source })?;
    let open_error = |source| BackupCommandError::Open {
        path: data_dir.clone(),
        source,
    };
    let directory = data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || RedbKv::open(&directory)).await?;
    let kv = opened.map_err(open_error)?;
    let format = migration::format(&kv).await;
    let format = format.map_err(|error| open_error(KvError::Io(super::chain(&error))))?;
    let head = Head::new(format.unwrap_or_default(), SystemClock.now());
    let sealed_with = passphrase.clone();
    let written = tokio::task::spawn_blocking(move || {
        let written = archive::write(&kv, head, &secrets, &mut file, sealed_with.as_ref());
        kv.close();
        written.map(|_| file)
    });
    complete(written.await??, passphrase).await
}

async fn complete(
    file: NewBackup,
    passphrase: Option<Passphrase>,
) -> Result<Contents, BackupCommandError> {
    let completed =
        tokio::task::spawn_blocking(move || file.complete(passphrase.as_ref(), &mut |_| Ok(())));
    Ok(completed.await??)
}
