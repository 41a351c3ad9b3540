//! Reading the kernel's texts, and saying once when one of them cannot be read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thiserror::Error;

/// Why a source gave no numbers.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file or directory could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was read, and is not what it should be.
    #[error("{} has an unknown form", path.display())]
    Form {
        /// What was read.
        path: PathBuf,
    },
}

/// First size of the buffer: most texts fit.
const BUFFER_BYTES: usize = 8 << 10;

/// Reads the kernel's texts into one buffer. Files stay open: the kernel writes the text anew for whoever reads from
/// the beginning, and opening costs more than reading.
#[derive(Default)]
pub struct Reader {
    files: Vec<(&'static str, File)>,
    buffer: Vec<u8>,
    text: String,
}

impl Reader {
    /// The text of the file `name` under `root`; what is not UTF-8 is replaced.
    pub fn text(&mut self, root: &Path, name: &'static str) -> Result<&str, SourceError> {
        let length = match self.read(root, name) {
            Ok(length) => length,
            Err(source) => {
                // Next time it is opened again.
                self.files.retain(|(known, _)| *known != name);
                return Err(SourceError::Read {
                    path: root.join(name),
                    source,
                });
            }
        };
        let bytes = &self.buffer[..length];
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Ok(text);
        }
        self.text = String::from_utf8_lossy(bytes).into_owned();
        Ok(&self.text)
    }

    /// Fills the buffer and gives the length of the text.
    fn read(&mut self, root: &Path, name: &'static str) -> io::Result<usize> {
        let place = match self.files.iter().position(|(known, _)| *known == name) {
            Some(place) => place,
            None => {
                self.files.push((name, File::open(root.join(name))?));
                self.files.len() - 1
            }
        };
        let file = &self.files[place].1;
        let mut length = 0;
        loop {
            if self.buffer.len() - length < BUFFER_BYTES / 2 {
                self.buffer.resize(self.buffer.len() * 2 + BUFFER_BYTES, 0);
            }
            match file.read_at(&mut self.buffer[length..], length as u64) {
                Ok(0) => return Ok(length),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the table of mounts `name` may have changed since it was read: the kernel marks it as exceptional then.
    /// Asking costs a hundredth of reading.
    pub fn has_changed(&self, name: &'static str) -> bool {
        let Some((_, file)) = self.files.iter().find(|(known, _)| *known == name) else {
            return true;
        };
        let mut asked = [PollFd::new(file, PollFlags::PRI)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut asked, Some(&at_once)).is_err()
            || asked[0]
                .revents()
                .intersects(PollFlags::PRI | PollFlags::ERR)
    }

    /// What `parse` makes of the file `name` under `root`.
    pub fn parse<T>(
        &mut self,
        root: &Path,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SourceError> {
        let text = self.text(root, name)?;
        parse(text).ok_or_else(|| SourceError::Form {
            path: root.join(name),
        })
    }
}

/// The trimmed text of one small file, if it can be read and says something.
pub fn read_text(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Which sources fail at present, so that each change is logged and not each tick.
#[derive(Default)]
pub struct Sources {
    failing: BTreeSet<&'static str>,
}

impl Sources {
    /// Takes note of how reading `source` ended.
    pub fn note(&mut self, source: &'static str, outcome: Result<(), SourceError>) {
        match outcome {
            Ok(()) => {
                if self.failing.remove(source) {
                    tracing::info!(source, "is measured again");
                }
            }
            Err(error) => {
                if self.failing.insert(source) {
                    tracing::warn!(source, %error, "cannot be measured; said once until it works again");
                }
            }
        }
    }
}
