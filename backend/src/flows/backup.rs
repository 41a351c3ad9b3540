//! Backups: as a stream to whoever asks, and as files in a directory, again and again.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Caller, FlowError, note};
use crate::app::App;
use crate::domain::backup::{abandoned, file_name, is_due, newest, surplus};
use crate::store::archive::{self, ArchiveError, Head, Passphrase};
use crate::store::backup::{BackupError, NewBackup, check_room, names, remove};
use crate::store::migration;

/// Bytes that travel together.
const CHUNK_BYTES: usize = 64 * 1024;
/// Time for the caller to take one.
const CHUNK_PATIENCE: Duration = Duration::from_secs(60);
/// Chunks that wait for the caller to take them.
const CHUNKS: usize = 8;

/// Backups that the backend makes by itself.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// Where they are kept.
    pub directory: PathBuf,
    /// How old the newest may become.
    pub interval: TimeDelta,
    /// How many are kept.
    pub keep: usize,
    /// What they are encrypted with.
    pub passphrase: Option<Passphrase>,
    /// Bytes that must stay free on the disk beside the backup.
    pub reserve_bytes: u64,
}

/// A backup on its way, in chunks; it ends with an error when it could not be made.
pub type Chunks = mpsc::Receiver<io::Result<Bytes>>;

/// Begins a backup for a caller. It is as the store is now, however long the caller takes.
///
/// # Errors
/// [`FlowError::Busy`] while another one is made; the store's.
pub async fn begin(app: &Arc<App>, caller: &Caller) -> Result<Chunks, FlowError> {
    let alone = alone(app)?;
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            note(change, now, caller.actor(), "backup.create", None, "");
            Ok::<_, FlowError>(())
        })
        .await?;
    let head = head(app, now).await?;
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || {
        let _alone = alone;
        let output = Output {
            runtime: Handle::current(),
            chunk: BytesMut::with_capacity(CHUNK_BYTES),
            sender: sender.clone(),
        };
        match archive::write(app.store.kv.as_ref(), head, &app.secrets, output, None) {
            Ok(contents) => tracing::info!(entries = contents.total(), "backup sent"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "backup not sent");
                // Who is gone needs no telling; who is there must not take half for the whole.
                drop(sender.blocking_send(Err(io::Error::other("the backup broke off"))));
            }
        }
    });
    Ok(chunks)
}

/// Makes a backup in the directory that is set, when one is due or with `hurry`, and removes what is too many. Returns
/// how many were made.
///
/// # Errors
/// [`FlowError::Conflict`] with `hurry` and without a directory; the disk's.
pub async fn keep(app: &Arc<App>, hurry: bool) -> Result<usize, FlowError> {
    let Some(plan) = app.backups.clone() else {
        return if hurry {
            Err(FlowError::Conflict(
                "there is no --backup-dir to make backups in",
            ))
        } else {
            Ok(0)
        };
    };
    let now = app.clock.now();
    let there = names(&plan.directory)?;
    let newest_at = newest(&there, now);
    if let Some(newest_at) = newest_at {
        app.metrics.last_backup.set(newest_at.timestamp());
    }
    if !hurry && !is_due(newest_at, plan.interval, now) {
        return Ok(0);
    }
    let alone = match alone(app) {
        // One is being sent to somebody: this one's turn comes with the next look.
        Err(FlowError::Busy) if !hurry => return Ok(0),
        alone => alone?,
    };
    let head = head(app, now).await?;
    let made = tokio::task::spawn_blocking({
        let app = Arc::clone(app);
        move || {
            let _alone = alone;
            make(&app, &plan, head)
        }
    });
    let made = made.await.unwrap_or_else(|error| {
        let error = io::Error::other(error.to_string());
        Err(ArchiveError::Write(error).into())
    })?;
    app.metrics.last_backup.set(now.timestamp());
    tracing::info!(path = %made.display(), "backup made");
    Ok(1)
}

fn make(app: &App, plan: &BackupPlan, head: Head) -> Result<PathBuf, BackupError> {
    let (passphrase, now) = (plan.passphrase.as_ref(), head.created_at);
    let directory = &plan.directory;
    remove(directory, &abandoned(&names(directory)?, now))?;
    let store_bytes = app.store.kv.disk().map_or(0, |disk| disk.used_bytes);
    check_room(directory, store_bytes.saturating_add(plan.reserve_bytes))?;
    let path = directory.join(file_name(now, passphrase.is_some()));
    let mut file = NewBackup::create(&path)?;
    let output = WhileServing {
        output: &mut file,
        stopping: &app.stopping,
    };
    archive::write(
        app.store.kv.as_ref(),
        head,
        &app.secrets,
        output,
        passphrase,
    )?;
    file.complete(passphrase, &mut |_| match app.stopping.is_cancelled() {
        true => Err(ArchiveError::Write(stops())),
        false => Ok(()),
    })?;
    remove(directory, &surplus(&names(directory)?, plan.keep, now))?;
    Ok(path)
}

/// One at a time: each reads all there is.
fn alone(app: &App) -> Result<OwnedMutexGuard<()>, FlowError> {
    let alone = Arc::clone(&app.backup_alone);
    alone.try_lock_owned().map_err(|_| FlowError::Busy)
}

async fn head(app: &App, now: DateTime<Utc>) -> Result<Head, FlowError> {
    let format = migration::format(app.store.kv.as_ref()).await?;
    Ok(Head::new(format.unwrap_or_default(), now))
}

/// Hands chunks to the caller, and fails when the caller is gone.
struct Output {
    runtime: Handle,
    chunk: BytesMut,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = self.chunk.split().freeze();
        if chunk.is_empty() {
            return Ok(());
        }
        // Whoever takes next to nothing would keep the store from giving up what is overwritten meanwhile.
        let sent = tokio::time::timeout(CHUNK_PATIENCE, self.sender.send(Ok(chunk)));
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn stops() -> io::Error {
    io::Error::other("the backend stops")
}

/// Fails when the backend stops, which must not wait for a backup.
struct WhileServing<'a, W> {
    output: W,
    stopping: &'a CancellationToken,
}

impl<W: Write> Write for WhileServing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stopping.is_cancelled() {
            return Err(stops());
        }
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
