//! A backup as one file: a tar of everything that is kept, compressed with zstd, and encrypted as the tool `age` does
//! where a passphrase is given.
//!
//! Its members, in this order: `archive.json` says what wrote it; `secrets/…` are the keys without which tokens are
//! worth nothing after a restore; `tables/TABLE/NUMBER` hold entries, each as key and value with their lengths in front
//! (LEB128); `manifest.json` has SHA-256 and length of every member before it and the number of entries of each table.
//! A file without a manifest that fits is damaged.

mod cipher;
mod read;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::cipher::{Passphrase, Sealed};
pub use self::read::read;
pub use self::write::write;
use super::kv::{Key, KvError, Table};

/// The form of archives that this build writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// Names of the members.
const HEAD: &str = "archive.json";
const SECRETS: &str = "secrets/";
const TABLES: &str = "tables/";
const MANIFEST: &str = "manifest.json";
/// A piece of a table is closed when it has so many bytes; one entry more may be in it.
const PIECE_BYTES: usize = 1024 * 1024;
/// No member is larger: a piece and one entry more.
const MEMBER_BYTES: u64 = 16 * 1024 * 1024;
/// Nor is the manifest, with some 130 bytes for each piece: that of a store of 2 TB.
const MANIFEST_BYTES: u64 = 256 * 1024 * 1024;

fn most_bytes(member: &str) -> u64 {
    if member == MANIFEST {
        MANIFEST_BYTES
    } else {
        MEMBER_BYTES
    }
}

/// What wrote an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The form of the archive.
    pub format: u32,
    /// Version of the build that wrote it.
    pub version: String,
    /// Format of the store; see [`super::migration`].
    pub store_format: u32,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl Head {
    /// Of an archive that is written now, of a store of this format.
    pub fn new(store_format: u32, now: DateTime<Utc>) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_format,
            created_at: now,
        }
    }
}

/// Files of secrets that stand beside the store, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, String>);

impl Secrets {
    /// The key that signs tokens.
    pub const JWT_SECRET: &str = "jwt_secret";
    /// The private key that logs in to hosts.
    pub const SSH_KEY: &str = "ssh_key";
    /// Every name that there may be.
    pub const ALL: [&str; 2] = [Self::JWT_SECRET, Self::SSH_KEY];
}

// The secrets stay out of logs, whoever writes `{:?}`.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The last member: what all others must be.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    members: Vec<Member>,
    entries: BTreeMap<String, u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    name: String,
    bytes: u64,
    sha256: String,
}

/// What is in a whole archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What wrote it.
    pub head: Head,
    /// Entries of each table, by its name.
    pub entries: BTreeMap<String, u64>,
}

impl Contents {
    /// Entries of all tables.
    pub fn total(&self) -> u64 {
        self.entries.values().sum()
    }
}

/// Something that was read of an archive, which counts only when all of it was read.
#[derive(Debug)]
pub enum Part {
    /// A secret: its name and text.
    Secret(&'static str, String),
    /// Entries of a table, in the order of their keys.
    Entries(Table, Vec<(Key, Bytes)>),
}

/// Why an archive was not written, or not read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// It cannot be written to where it should go.
    #[error("writing the backup")]
    Write(#[source] io::Error),
    /// The store cannot be read.
    #[error("reading the store")]
    Store(#[from] KvError),
    /// It cannot be encrypted.
    #[error("encrypting the backup: {0}")]
    Encrypt(String),
    /// The file is something else.
    #[error("this is no backup of Infra-Watch")]
    Foreign,
    /// It is encrypted.
    #[error("the backup is encrypted: give --passphrase-file")]
    NoPassphrase,
    /// The passphrase opens nothing.
    #[error("the passphrase does not open the backup, or its beginning is damaged")]
    WrongPassphrase,
    /// It is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// A newer build wrote it.
    #[error(
        "version {version} wrote the backup, in a format that this build, {}, does not know: restore it with that version or a \
         newer one", env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The version that wrote it.
        version: String,
    },
}

/// What a [`Part`] is told of, and may refuse with.
pub type Receiver<'a> = dyn FnMut(Part) -> Result<(), ArchiveError> + 'a;
