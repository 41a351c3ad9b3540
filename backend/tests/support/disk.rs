//! A disk in memory under redb that can be made to fail, and keeps its bytes while handles come and go.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use infra_watch::store::redb::Opener;
use parking_lot::Mutex;
use redb::{Builder, StorageBackend};

/// What the disk does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// All is well.
    Works = 0,
    /// Every write says that no space is left.
    Full = 1,
    /// Everything fails.
    Broken = 2,
}

/// A disk that handles share.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    mood: Arc<AtomicU8>,
}

impl Disk {
    pub fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// Opens a database over the disk, as often as it is asked.
    pub fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move || Builder::new().create_with_backend(disk.clone()))
    }

    fn fails(&self, is_write: bool) -> io::Result<()> {
        let kind = match self.mood.load(Ordering::SeqCst) {
            1 if is_write => io::ErrorKind::StorageFull,
            2 => io::ErrorKind::Other,
            _ => return Ok(()),
        };
        Err(io::Error::from(kind))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.fails(false)?;
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.fails(false)?;
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fails(true)?;
        self.bytes.lock().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fails(true)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fails(true)?;
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}
