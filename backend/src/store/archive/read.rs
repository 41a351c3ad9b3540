//! Reading an archive, and holding all of it against its manifest.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::cipher::{Passphrase, Source};
use super::{
    ArchiveError, Contents, FORMAT, HEAD, Head, MANIFEST, MEMBER_BYTES, Manifest, Member, Part,
    Receiver, SECRETS, Secrets, TABLES, most_bytes,
};
use crate::domain::snapshot::hex;
use crate::store::kv::{Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Table};
use crate::store::migration;
use crate::store::varint::{DecodeError, take, take_unsigned};

/// What a compressed archive begins with (RFC 8878).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads an archive to its end, hands on what is in it, and says what that was. What was handed on counts only when the
/// answer is `Ok`. Blocks: for use off the async threads.
///
/// # Errors
/// See [`ArchiveError`], or what `each` refuses with.
pub fn read(
    input: impl BufRead,
    passphrase: Option<&Passphrase>,
    each: &mut Receiver<'_>,
) -> Result<Contents, ArchiveError> {
    let mut source = Source::open(input, passphrase)?;
    let mut begin = [0; ZSTD_MAGIC.len()];
    source
        .read_exact(&mut begin)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Foreign,
            _ => unreadable(error),
        })?;
    if begin != ZSTD_MAGIC {
        return Err(ArchiveError::Foreign);
    }
    let whole = begin.as_slice().chain(source);
    let decoder = zstd::Decoder::new(whole).map_err(unreadable)?;
    let mut tar = tar::Archive::new(decoder);
    let contents = members(&mut tar, each)?;
    // The sums of compression and encryption stand at the end.
    let mut rest = Vec::new();
    let mut end = tar.into_inner().take(MEMBER_BYTES);
    end.read_to_end(&mut rest).map_err(unreadable)?;
    // A tar is filled up with zeros.
    if end.limit() == 0 || rest.iter().any(|byte| *byte != 0) {
        return Err(damaged("something follows after its end"));
    }
    Ok(contents)
}

fn members<R: Read>(
    tar: &mut tar::Archive<R>,
    each: &mut Receiver<'_>,
) -> Result<Contents, ArchiveError> {
    let mut head = None;
    let mut found = Manifest::default();
    for member in tar.entries().map_err(unreadable)? {
        let mut member = member.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        if member.size() > most_bytes(&name) || !member.header().entry_type().is_file() {
            return Err(damaged(format!("{name} cannot be in a backup")));
        }
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).map_err(unreadable)?;
        match &head {
            None if name == HEAD => head = Some(known(json(HEAD, &bytes)?)?),
            None => return Err(ArchiveError::Foreign),
            Some(head) if name == MANIFEST => {
                if json::<Manifest>(MANIFEST, &bytes)? != found {
                    return Err(damaged("what is in it is not what its manifest says"));
                }
                return Ok(Contents {
                    head: Head::clone(head),
                    entries: found.entries,
                });
            }
            Some(_) => each(part(&name, &bytes, &mut found)?)?,
        }
        found.members.push(Member {
            sha256: hex(&Sha256::digest(&bytes)),
            bytes: bytes.len() as u64,
            name,
        });
    }
    match head {
        Some(_) => Err(damaged("it ends too early")),
        None => Err(ArchiveError::Foreign),
    }
}

/// Refuses what a newer build wrote, before anything of it is used.
fn known(head: Head) -> Result<Head, ArchiveError> {
    if head.format > FORMAT || head.store_format > migration::newest(migration::MIGRATIONS) {
        return Err(ArchiveError::Newer {
            version: head.version,
        });
    }
    Ok(head)
}

fn part(name: &str, bytes: &[u8], found: &mut Manifest) -> Result<Part, ArchiveError> {
    let foreign = || damaged(format!("{name} cannot be in a backup"));
    if let Some(secret) = name.strip_prefix(SECRETS) {
        let known = Secrets::ALL.into_iter().find(|known| *known == secret);
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| foreign())?;
        return Ok(Part::Secret(known.ok_or_else(foreign)?, text));
    }
    let table = name.strip_prefix(TABLES).and_then(|name| {
        let (table, _) = name.split_once('/')?;
        Table::ALL.iter().find(|known| known.name() == table)
    });
    let table = *table.ok_or_else(foreign)?;
    let entries = entries(bytes).map_err(|error| damaged(format!("{name}: {error}")))?;
    *found.entries.entry(table.name().to_owned()).or_default() += entries.len() as u64;
    Ok(Part::Entries(table, entries))
}

fn entries(mut bytes: &[u8]) -> Result<Vec<(Key, Bytes)>, DecodeError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let key = field(&mut bytes, MAX_KEY_BYTES)?.to_vec();
        let value = Bytes::copy_from_slice(field(&mut bytes, MAX_VALUE_BYTES)?);
        entries.push((key, value));
    }
    Ok(entries)
}

fn field<'a>(bytes: &mut &'a [u8], most: usize) -> Result<&'a [u8], DecodeError> {
    let length = usize::try_from(take_unsigned(bytes)?).unwrap_or(usize::MAX);
    if length > most {
        return Err(DecodeError::Damaged);
    }
    take(bytes, length)
}

fn json<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(format!("{name}: {error}")))
}

fn damaged(what: impl Into<String>) -> ArchiveError {
    ArchiveError::Damaged(what.into())
}

/// Compression, encryption and tar say alike what does not fit, and what the disk does not give.
fn unreadable(error: io::Error) -> ArchiveError {
    ArchiveError::Damaged(error.to_string())
}
