//! Why a section of a snapshot could not be collected.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::command::CommandError;

/// See the module. The text goes to the backend: no variant holds a value of the environment or of a file.
#[derive(Debug, Error)]
pub enum FactError {
    /// A file or directory could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was read, and is not what it should be.
    #[error("{} has an unknown form: {what}", path.display())]
    Form {
        /// What was read.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A tool of the system did not do its work.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There is more of something than a snapshot may hold.
    #[error("more than {most} {what}")]
    TooMany {
        /// The bound.
        most: u64,
        /// Of what.
        what: &'static str,
    },
    /// Something that was asked for cannot be had on this host.
    #[error("{0}")]
    Absent(&'static str),
}

impl FactError {
    /// Of a file that could not be read.
    pub fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Read { path, source }
    }

    /// Of a file that is not what it should be.
    pub fn form(path: &Path, what: &'static str) -> Self {
        Self::Form {
            path: path.to_owned(),
            what,
        }
    }
}
