//! Reports that the backend will never take: put aside for a person to read, bounded.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use infra_watch_client::types;

use crate::files;

/// With the generation before, twice as much is kept.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A file of refused reports, one JSON object a line.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    count: u64,
}

impl DeadLetters {
    /// Keeps them in `dead-letters.jsonl` of this directory.
    pub fn new(directory: &Path) -> Self {
        Self {
            path: directory.join("dead-letters.jsonl"),
            count: 0,
        }
    }

    /// Reports put aside since the agent started.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Puts a report aside with the reason. A report longer than the whole file is only counted.
    pub fn put(
        &mut self,
        at: i64,
        status: u16,
        reason: &str,
        report: &types::Report,
    ) -> io::Result<()> {
        self.count += 1;
        let letter = Letter {
            at,
            status,
            reason,
            report,
        };
        let mut line = serde_json::to_vec(&letter)?;
        line.push(b'\n');
        let added = line.len() as u64;
        if added > MAX_FILE_BYTES {
            return Ok(());
        }
        let held = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if held + added > MAX_FILE_BYTES {
            fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
        }
        files::open_private(&self.path, OpenOptions::new().append(true))?.write_all(&line)
    }
}

#[derive(serde::Serialize)]
struct Letter<'a> {
    at: i64,
    status: u16,
    reason: &'a str,
    report: &'a types::Report,
}
