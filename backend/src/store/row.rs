//! Rows in pieces: one host's points of one slot or day, cut so that the pieces fill the engine's pages.
//!
//! Keys begin with time, so that new rows go to the right edge of a table and old ones leave at the left.

use std::ops::Range;

use super::kv::{Batch, Key, KvError, Packing, Table};
use super::varint::DecodeError;

/// Bytes of a row's key: unit, host, piece.
pub const KEY_BYTES: usize = 10;
/// A page with less room than this for a piece is left as it is.
const LEAST_PIECE_BYTES: usize = 64;

/// The key of one piece of a row. `unit` is a slot or a day.
pub fn key(unit: u32, host: u32, piece: u16) -> Key {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.extend(unit.to_be_bytes());
    key.extend(host.to_be_bytes());
    key.extend(piece.to_be_bytes());
    key
}

/// Unit, host and piece of a key.
pub fn parse(key: &[u8]) -> Option<(u32, u32, u16)> {
    let (unit, rest) = key.split_first_chunk()?;
    let (host, rest) = rest.split_first_chunk()?;
    let (piece, rest) = rest.split_first_chunk()?;
    rest.is_empty().then_some((
        u32::from_be_bytes(*unit),
        u32::from_be_bytes(*host),
        u16::from_be_bytes(*piece),
    ))
}

/// The keys of one row.
pub fn range(unit: u32, host: u32) -> Range<Key> {
    let end = match host.checked_add(1) {
        Some(next) => key(unit, next, 0),
        None => unit_start(unit.saturating_add(1)),
    };
    key(unit, host, 0)..end
}

/// The first key of a unit, which ends the unit before it.
pub fn unit_start(unit: u32) -> Key {
    unit.to_be_bytes().to_vec()
}

/// Cuts rows into pieces, each as large as the room that is left on the page it will come to lie on.
///
/// That is a guess: rows are expected one after the other at the right edge of a table. Where it is wrong, pages are
/// merely less full. Measured on redb with rows of 2.7 kB and 25 kB: 3.3 % and 2.6 % more than the content, where
/// pieces of a fixed 800 bytes take 16.8 % and 6.1 %.
#[derive(Clone, Copy, Debug)]
pub struct Packer {
    packing: Packing,
    room: usize,
}

impl Packer {
    /// For an engine's pages, the next of which is empty.
    pub fn new(packing: Packing) -> Self {
        Self {
            packing,
            room: packing.page_bytes,
        }
    }

    /// Adds a row to a batch and removes pieces that only its predecessor of `old_pieces` had.
    pub fn put(
        &mut self,
        batch: &mut Batch,
        table: Table,
        (unit, host): (u32, u32),
        row: &[u8],
        old_pieces: u16,
    ) {
        let overhead = self.packing.entry_bytes + KEY_BYTES;
        let mut rest = row;
        let mut piece = 0_u16;
        while !rest.is_empty() {
            if self.room < overhead + LEAST_PIECE_BYTES {
                self.room = self.packing.page_bytes;
            }
            let length = if piece == u16::MAX {
                rest.len()
            } else {
                self.room.saturating_sub(overhead).clamp(1, rest.len())
            };
            let (bytes, after) = rest.split_at(length);
            batch.put(table, key(unit, host, piece), bytes.to_vec().into());
            self.room = self.room.saturating_sub(overhead + length);
            rest = after;
            piece = piece.saturating_add(1);
        }
        for piece in piece..old_pieces {
            batch.delete(table, key(unit, host, piece));
        }
    }
}

/// Puts the pieces of a scan together again, row by row.
#[derive(Debug, Default)]
pub struct Assembler {
    of: Option<(u32, u32)>,
    pieces: u16,
    bytes: Vec<u8>,
}

/// A whole row.
#[derive(Debug)]
pub struct Assembled<'a> {
    /// Slot or day.
    pub unit: u32,
    /// The host's number.
    pub host: u32,
    /// How many pieces it has.
    pub pieces: u16,
    /// All its bytes.
    pub bytes: &'a [u8],
}

impl Assembler {
    /// Takes the next piece of a scan; when it begins another row, calls `each` with the one before.
    ///
    /// # Errors
    /// A key that is none, and those of `each`.
    pub fn push<E: From<KvError>>(
        &mut self,
        key: &[u8],
        value: &[u8],
        each: impl FnOnce(Assembled<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (unit, host, _) = parse(key).ok_or_else(|| KvError::from(DecodeError::Damaged))?;
        if self.of != Some((unit, host)) {
            self.finish(each)?;
            self.of = Some((unit, host));
        }
        self.bytes.extend_from_slice(value);
        self.pieces = self.pieces.saturating_add(1);
        Ok(())
    }

    /// Calls `each` with the last row, if there was any.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn finish<E>(
        &mut self,
        each: impl FnOnce(Assembled<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let done = match self.of.take() {
            Some((unit, host)) => each(Assembled {
                unit,
                host,
                pieces: self.pieces,
                bytes: &self.bytes,
            }),
            None => Ok(()),
        };
        self.pieces = 0;
        self.bytes.clear();
        done
    }
}

#[cfg(test)]
mod tests {
    use super::super::kv::{Class, Operation};
    use super::*;

    #[test]
    fn rows_come_back_whole_from_pieces_that_fill_pages() {
        let packing = Packing {
            page_bytes: 4092,
            entry_bytes: 8,
        };
        let mut packer = Packer::new(packing);
        let rows: Vec<Vec<u8>> = (0..40_u8)
            .map(|host| vec![host; 500 + usize::from(host) * 311])
            .collect();
        let mut batch = Batch::new(Class::Series);
        for (host, row) in (0..).zip(&rows) {
            packer.put(&mut batch, Table::Slots, (9, host), row, 0);
        }
        let mut assembler = Assembler::default();
        let mut back = Vec::new();
        let mut each = |row: Assembled<'_>| {
            back.push((row.unit, row.host, row.bytes.to_vec()));
            Ok::<_, KvError>(())
        };
        let mut stored = 0;
        for operation in batch.operations() {
            if let Operation::Put(_, key, value) = operation {
                stored += key.len() + value.len() + packing.entry_bytes;
                assembler.push(key, value, &mut each).unwrap();
            }
        }
        assembler.finish(&mut each).unwrap();
        let expect: Vec<_> = (0..).zip(rows).map(|(host, row)| (9, host, row)).collect();
        assert!(back == expect);
        let pages = stored.div_ceil(packing.page_bytes);
        let content: usize = expect.iter().map(|(_, _, row)| row.len()).sum();
        assert!(pages * packing.page_bytes < content * 103 / 100 + packing.page_bytes);
    }

    #[test]
    fn pieces_of_a_longer_predecessor_go() {
        let mut packer = Packer::new(Packing {
            page_bytes: 1000,
            entry_bytes: 8,
        });
        let mut batch = Batch::new(Class::Series);
        packer.put(&mut batch, Table::Days, (1, 2), &[7; 100], 3);
        let deleted: Vec<_> = batch
            .operations()
            .iter()
            .filter_map(|operation| match operation {
                Operation::Delete(_, key) => parse(key),
                Operation::Put(..) => None,
            })
            .collect();
        assert_eq!(deleted, [(1, 2, 1), (1, 2, 2)]);
    }

    #[test]
    fn a_row_has_a_range_of_keys_to_itself() {
        assert!(range(5, u32::MAX).end <= key(6, 0, 0));
        assert!(range(5, 7).contains(&key(5, 7, u16::MAX)) && !range(5, 7).contains(&key(5, 8, 0)));
        assert_eq!(parse(&key(1, 2, 3)), Some((1, 2, 3)));
        assert_eq!(parse(b"short"), None);
    }
}
