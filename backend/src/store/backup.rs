//! Backups as files: written beside their name and looked through before they get it, and put back into an empty
//! directory, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

use super::archive::{self, ArchiveError, Contents, Part, Passphrase};
use super::kv::{Batch, Class, Key, Kv as _, KvError, Table};
use super::redb::{RESTORING, RedbKv};
use crate::domain::backup::PARTIAL;

/// What file systems have in an empty root directory.
const LOST_AND_FOUND: &str = "lost+found";
/// Parts that wait to be put into the store: each has a megabyte.
const PARTS: usize = 4;
/// Bytes that one transaction of a restore takes.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Why a backup was not made or not put back.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file or directory.
    #[error("using {path}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is too little room.
    #[error("{path} has {free_bytes} bytes free, and a backup may need {wanted_bytes}")]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What should be.
        wanted_bytes: u64,
    },
    /// A file of this name is there already.
    #[error("{0} is there already, and is left as it is")]
    Exists(PathBuf),
    /// The directory is used.
    #[error("{path} is not empty, it has {found}: restore into an empty directory")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// Something that is in it.
        found: String,
    },
    /// The archive itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The restored store.
    #[error("writing the store")]
    Store(#[from] KvError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::Path { path, source }
}

/// A backup that is being written, readable by its owner alone. It goes when it is dropped before it is complete.
pub struct NewBackup {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    is_complete: bool,
}

impl NewBackup {
    /// Begins the file of this name.
    ///
    /// # Errors
    /// [`BackupError::Exists`], or the file system's.
    pub fn create(path: &Path) -> Result<Self, BackupError> {
        if path.exists() {
            return Err(BackupError::Exists(path.to_owned()));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        // What a crash left is begun again.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&partial)(error));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&partial).map_err(at(&partial))?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            file: BufWriter::new(file),
            is_complete: false,
        })
    }

    /// Makes it durable, reads it once from end to end, and gives it its name. `each` is told of each part that is read,
    /// and may refuse to go on.
    ///
    /// # Errors
    /// When what was written is no whole archive, or the file system's.
    pub fn complete(
        mut self,
        passphrase: Option<&Passphrase>,
        each: &mut archive::Receiver<'_>,
    ) -> Result<Contents, BackupError> {
        self.file.flush().map_err(at(&self.partial))?;
        self.file.get_ref().sync_all().map_err(at(&self.partial))?;
        let written = File::open(&self.partial).map_err(at(&self.partial))?;
        let contents = archive::read(BufReader::new(written), passphrase, each)?;
        fs::rename(&self.partial, &self.path).map_err(at(&self.path))?;
        self.is_complete = true;
        sync_directory_of(&self.path)?;
        Ok(contents)
    }
}

impl Write for NewBackup {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewBackup {
    fn drop(&mut self) {
        if !self.is_complete {
            // Nobody takes it for a backup; the next one of this name replaces it.
            drop(fs::remove_file(&self.partial));
        }
    }
}

/// Names of the files in a directory.
///
/// # Errors
/// The file system's.
pub fn names(directory: &Path) -> Result<Vec<String>, BackupError> {
    let entries = fs::read_dir(directory).map_err(at(directory))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(at(directory))
}

/// Refuses a directory with less than so much free.
///
/// # Errors
/// [`BackupError::NoRoom`], or the file system's.
pub fn check_room(directory: &Path, wanted_bytes: u64) -> Result<(), BackupError> {
    let space = rustix::fs::statvfs(directory).map_err(|error| at(directory)(error.into()))?;
    let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
    if free_bytes >= wanted_bytes {
        return Ok(());
    }
    Err(BackupError::NoRoom {
        path: directory.to_owned(),
        free_bytes,
        wanted_bytes,
    })
}

/// Removes files of these names.
///
/// # Errors
/// The file system's.
pub fn remove(directory: &Path, names: &[&str]) -> Result<(), BackupError> {
    for name in names {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(())
}

/// Puts a backup back into a directory that is empty or not there. Nothing of it is left when it cannot be put back
/// whole.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore(
    file: &Path,
    passphrase: Option<Passphrase>,
    directory: &Path,
) -> Result<Contents, BackupError> {
    let input = File::open(file).map_err(at(file))?;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(directory).map_err(at(directory))?;
    let names = names(directory)?;
    let is_ours = |name: &String| [LOST_AND_FOUND, RESTORING].contains(&name.as_str());
    if let Some(found) = names.iter().find(|name| !is_ours(name)) {
        return Err(BackupError::NotEmpty {
            path: directory.to_owned(),
            found: found.clone(),
        });
    }
    let restoring = directory.join(RESTORING);
    // What an interrupted restore left is begun again.
    if restoring.exists() {
        fs::remove_dir_all(&restoring).map_err(at(&restoring))?;
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&restoring)
        .map_err(at(&restoring))?;
    let done = fill(input, passphrase, &restoring).await;
    let done = done.and_then(|contents| move_up(&restoring, directory).map(|()| contents));
    if done.is_err() {
        // What cannot be removed is named by the next attempt.
        drop(fs::remove_dir_all(&restoring));
    }
    done
}

/// Makes store and secrets of an archive.
async fn fill(
    input: File,
    passphrase: Option<Passphrase>,
    directory: &Path,
) -> Result<Contents, BackupError> {
    let (parts, mut arriving) = mpsc::channel(PARTS);
    let reading = tokio::task::spawn_blocking(move || {
        let input = BufReader::new(input);
        archive::read(input, passphrase.as_ref(), &mut |part| {
            // Nobody listens when the store failed, which is said by then.
            let sent = parts.blocking_send(part);
            sent.map_err(|_| ArchiveError::Store(KvError::Io("it is not written".to_owned())))
        })
    });
    let kv = RedbKv::open(directory)?;
    let written = put_all(&kv, &mut arriving, directory).await;
    drop(arriving);
    let read = reading.await;
    // Both end here; the store is closed in good order before it is moved.
    let closed = tokio::task::spawn_blocking(move || kv.close()).await;
    written?;
    closed.map_err(|error| KvError::Io(error.to_string()))?;
    Ok(read.map_err(|error| KvError::Io(error.to_string()))??)
}

async fn put_all(
    kv: &RedbKv,
    arriving: &mut mpsc::Receiver<Part>,
    directory: &Path,
) -> Result<(), BackupError> {
    let mut batches = [Class::State, Class::Series].map(Batch::new);
    while let Some(part) = arriving.recv().await {
        match part {
            Part::Secret(name, text) => write_secret(&directory.join(name), &text)?,
            Part::Entries(table, entries) => {
                let [state, series] = &mut batches;
                let batch = match table.class() {
                    Class::State => state,
                    Class::Series => series,
                };
                put(batch, table, entries);
                if batch.bytes() >= BATCH_BYTES {
                    let full = std::mem::replace(batch, Batch::new(table.class()));
                    kv.write(full).await?;
                }
            }
        }
    }
    for batch in batches {
        kv.write(batch).await?;
    }
    Ok(())
}

fn put(batch: &mut Batch, table: Table, entries: Vec<(Key, Bytes)>) {
    for (key, value) in entries {
        batch.put(table, key, value);
    }
}

fn write_secret(path: &Path, text: &str) -> Result<(), BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(at(path))
}

/// Moves what was put together to its place. The file without which there is no store goes last.
fn move_up(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut names = names(from)?;
    names.sort_unstable_by_key(|name| RedbKv::is_mark(name));
    for (place, name) in names.iter().enumerate() {
        let path = to.join(name);
        if let Err(error) = fs::rename(from.join(name), &path) {
            for moved in names.iter().take(place) {
                // Half a store must not be left; what cannot be moved back is named by the next attempt.
                drop(fs::rename(to.join(moved), from.join(moved)));
            }
            return Err(at(&path)(error));
        }
    }
    fs::remove_dir(from).map_err(at(from))?;
    sync_directory(to)
}

fn sync_directory_of(path: &Path) -> Result<(), BackupError> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => sync_directory(directory),
        _ => sync_directory(Path::new(".")),
    }
}

fn sync_directory(directory: &Path) -> Result<(), BackupError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(at(directory))
}
