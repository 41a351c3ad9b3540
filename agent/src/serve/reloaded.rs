//! What is made of files, and made again when they change: so tokens and certificates are replaced without a restart.

use std::error::Error;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use parking_lot::Mutex;

/// See the module.
pub struct Reloaded<T, E, const FILES: usize> {
    paths: [PathBuf; FILES],
    make: fn(&[PathBuf; FILES]) -> Result<T, E>,
    current: Mutex<([Stamp; FILES], T)>,
}

/// What tells two states of a file apart: when it was written, which file it is, and how long. None if there is none.
type Stamp = Option<(i64, i64, u64, u64)>;

impl<T: Clone, E: Error + 'static, const FILES: usize> Reloaded<T, E, FILES> {
    /// Makes it for the first time.
    pub fn new(
        paths: [PathBuf; FILES],
        make: fn(&[PathBuf; FILES]) -> Result<T, E>,
    ) -> Result<Self, E> {
        // Before reading: a change meanwhile must be seen later.
        let stamps = stamps(&paths);
        let made = make(&paths)?;
        Ok(Self {
            paths,
            make,
            current: Mutex::new((stamps, made)),
        })
    }

    /// What the files say now; while they are broken or away, what they said before.
    pub fn get(&self) -> T {
        let mut current = self.current.lock();
        let now = stamps(&self.paths);
        if now != current.0 {
            current.0 = now;
            let file = self.paths.first().map(|path| path.display().to_string());
            match (self.make)(&self.paths) {
                Ok(made) => {
                    tracing::info!(file, "read again");
                    current.1 = made;
                }
                Err(error) => {
                    tracing::error!(file, error = crate::chain(&error), "the old one is kept");
                }
            }
        }
        current.1.clone()
    }
}

fn stamps<const FILES: usize>(paths: &[PathBuf; FILES]) -> [Stamp; FILES] {
    paths.each_ref().map(|path| {
        let metadata = path.metadata().ok()?;
        Some((
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ino(),
            metadata.len(),
        ))
    })
}
