//! Writing an archive of a store that goes on being used.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::cipher::{Passphrase, Sealed};
use super::{
    ArchiveError, Contents, HEAD, Head, MANIFEST, Manifest, Member, PIECE_BYTES, SECRETS, Secrets,
    TABLES, most_bytes,
};
use crate::domain::snapshot::hex;
use crate::store::kv::{Kv, Table};
use crate::store::varint::put_unsigned;

/// As small as quick: twice the time would save a twentieth.
const LEVEL: i32 = 3;

/// Writes everything that a store holds at one moment, and says what that is. Blocks: for use off the async threads.
///
/// # Errors
/// See [`ArchiveError`]; what was written until then is no archive.
pub fn write(
    kv: &dyn Kv,
    head: Head,
    secrets: &Secrets,
    output: impl Write,
    passphrase: Option<&Passphrase>,
) -> Result<Contents, ArchiveError> {
    let sink = Sealed::new(output, passphrase)?;
    let mut encoder = zstd::Encoder::new(sink, LEVEL).map_err(ArchiveError::Write)?;
    encoder
        .include_checksum(true)
        .map_err(ArchiveError::Write)?;
    let mut members = Members {
        tar: tar::Builder::new(encoder),
        seconds: u64::try_from(head.created_at.timestamp()).unwrap_or_default(),
        manifest: Manifest::default(),
        piece: Piece::default(),
    };
    members.json(HEAD, &head)?;
    for (name, text) in &secrets.0 {
        members
            .add(&format!("{SECRETS}{name}"), text.as_bytes())
            .map_err(ArchiveError::Write)?;
    }
    let mut failed = None;
    kv.dump(
        &mut |table, key, value| match members.entry(table, key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    match failed {
        Some(error) => Err(ArchiveError::Write(error)),
        None => members.finish(head),
    }
}

struct Members<W: Write> {
    tar: tar::Builder<zstd::Encoder<'static, Sealed<W>>>,
    seconds: u64,
    manifest: Manifest,
    piece: Piece,
}

/// Entries of one table that wait to be a member.
#[derive(Default)]
struct Piece {
    table: Option<Table>,
    number: u32,
    bytes: Vec<u8>,
}

impl<W: Write> Members<W> {
    fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > most_bytes(name) {
            let what = format!("{name} would be larger than what is read back");
            return Err(io::Error::other(what));
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.seconds);
        self.tar.append_data(&mut header, name, bytes)?;
        self.manifest.members.push(Member {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        });
        Ok(())
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), ArchiveError> {
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        bytes
            .and_then(|bytes| self.add(name, &bytes))
            .map_err(ArchiveError::Write)
    }

    fn entry(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        if self.piece.table != Some(table) {
            self.close_piece()?;
            self.piece.table = Some(table);
            self.piece.number = 0;
        }
        for part in [key, value] {
            put_unsigned(&mut self.piece.bytes, part.len() as u64);
            self.piece.bytes.extend_from_slice(part);
        }
        let entries = &mut self.manifest.entries;
        match entries.get_mut(table.name()) {
            Some(count) => *count += 1,
            None => drop(entries.insert(table.name().to_owned(), 1)),
        }
        if self.piece.bytes.len() >= PIECE_BYTES {
            self.close_piece()?;
        }
        Ok(())
    }

    fn close_piece(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.piece.bytes);
        let Some(table) = self.piece.table.filter(|_| !bytes.is_empty()) else {
            return Ok(());
        };
        let name = format!("{TABLES}{}/{:06}", table.name(), self.piece.number);
        self.add(&name, &bytes)?;
        self.piece.number += 1;
        // The room is used again.
        self.piece.bytes = bytes;
        self.piece.bytes.clear();
        Ok(())
    }

    fn finish(mut self, head: Head) -> Result<Contents, ArchiveError> {
        self.close_piece().map_err(ArchiveError::Write)?;
        let manifest = std::mem::take(&mut self.manifest);
        self.json(MANIFEST, &manifest)?;
        let finish = || {
            let sink = self.tar.into_inner()?.finish()?;
            sink.finish()?.flush()
        };
        finish().map_err(ArchiveError::Write)?;
        Ok(Contents {
            head,
            entries: manifest.entries,
        })
    }
}
