//! `infra-watch diff`: two snapshot files beside each other, without a backend.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use crate::config::{DiffArguments, DiffFormat};
use crate::domain::change::{self, Change, ChangeKind, Direction};
use crate::domain::compare;
use crate::domain::snapshot::{Sections, without_keyed_hashes};

/// Exit status when the files could not be compared: beside the bits for added (1), removed (2) and changed (4).
pub const TROUBLE: u8 = 8;
/// Largest file, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Why two files cannot be compared.
#[derive(Debug, Error)]
pub enum DiffError {
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is no JSON.
    #[error("{} is no JSON", path.display())]
    Json {
        /// Its path.
        path: PathBuf,
        /// Where it is not.
        source: serde_json::Error,
    },
    /// A file is JSON, but of something else.
    #[error("{} holds neither a report with a snapshot, nor a snapshot, nor its sections", path.display())]
    Shape {
        /// Its path.
        path: PathBuf,
    },
    /// The differences have no JSON form.
    #[error("writing the differences")]
    Write(#[from] serde_json::Error),
}

/// What a file holds.
struct Side {
    name: String,
    /// Whose it is, where the file says so: the agent's install id, or the host id of the API.
    install_id: Option<String>,
    host_id: Option<String>,
    sections: Sections,
}

/// Compares two files: what to print, and the exit status.
///
/// # Errors
/// See [`DiffError`].
pub fn run(arguments: &DiffArguments) -> Result<(String, u8), DiffError> {
    let left = read(&arguments.left)?;
    let right = read(&arguments.right)?;
    // Each host hashes with a key of its own.
    let differ = |left: &Option<String>, right: &Option<String>| {
        left.as_ref()
            .zip(right.as_ref())
            .is_some_and(|(left, right)| left != right)
    };
    let is_two_hosts =
        differ(&left.install_id, &right.install_id) || differ(&left.host_id, &right.host_id);
    let comparable = |side: &Side| {
        if is_two_hosts {
            without_keyed_hashes(&side.sections).into_owned()
        } else {
            side.sections.clone()
        }
    };
    let (old, new) = (comparable(&left), comparable(&right));
    let changes = change::diff(&old, &new);
    let text = match arguments.format {
        DiffFormat::Text => lines(&changes),
        DiffFormat::Unified => compare::unified((&left.name, &right.name), &old, &new),
        DiffFormat::Json => serde_json::to_string_pretty(&changes)? + "\n",
    };
    Ok((text, mask(&changes)))
}

/// 1 for what was added, 2 for what was removed, 4 for what was changed, together.
fn mask(changes: &[Change]) -> u8 {
    changes.iter().fold(0, |mask, change| {
        mask | match change.kind {
            ChangeKind::Added => 1,
            ChangeKind::Removed => 2,
            ChangeKind::Changed => 4,
        }
    })
}

/// A line a change: its sign, section and key, and its values on one line each.
fn lines(changes: &[Change]) -> String {
    let value = |value: &Option<String>| {
        let value = value.as_deref().unwrap_or_default();
        value.lines().next().unwrap_or_default().to_owned()
    };
    let mut text = String::new();
    for change in changes {
        let (before, after) = (value(&change.before), value(&change.after));
        let what = match change.kind {
            ChangeKind::Added => format!("+ {}/{} {after}", change.section, change.key),
            ChangeKind::Removed => format!("- {}/{} {before}", change.section, change.key),
            ChangeKind::Changed if before == after => {
                format!("~ {}/{} {before}", change.section, change.key)
            }
            ChangeKind::Changed => {
                format!("~ {}/{} {before} → {after}", change.section, change.key)
            }
        };
        text.push_str(what.trim_end());
        text.push_str(match change.direction {
            Some(Direction::Upgrade) => " (upgrade)\n",
            Some(Direction::Downgrade) => " (downgrade)\n",
            None => "\n",
        });
    }
    text
}

fn read(path: &Path) -> Result<Side, DiffError> {
    let read_error = |source| DiffError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(MAX_FILE_BYTES).read_to_end(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut text))
    };
    read.map_err(read_error)?;
    let value: Value = serde_json::from_slice(&text).map_err(|source| DiffError::Json {
        path: path.to_owned(),
        source,
    })?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let places = [&value["snapshot"]["sections"], &value["sections"], &value];
    let sections = places
        .into_iter()
        .find(|place| place.is_object())
        .and_then(|sections| serde_json::from_value(sections.clone()).ok());
    Ok(Side {
        name: path.display().to_string(),
        install_id: text(&value["host"]["install_id"]),
        host_id: text(&value["host_id"]),
        sections: sections.ok_or_else(|| DiffError::Shape {
            path: path.to_owned(),
        })?,
    })
}
