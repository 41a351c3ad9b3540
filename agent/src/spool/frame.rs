//! One point on disk: a header with length and checksum, then the point. What is damaged is stepped over.
//!
//! Layout, little-endian: magic 4, payload length 4, CRC-32 of all that follows 4, id 8, time 8, payload.

use std::ops::Range;

/// Begins every frame, so that reading can go on behind a damaged one.
const MAGIC: [u8; 4] = *b"IWF1";
const CRC_AT: usize = 8;
const ID_AT: usize = 12;
const TIME_AT: usize = 20;
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 28;
/// Longest payload: 500 series are less than a tenth of it.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// A frame found in the bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameAt {
    /// Counts up with each frame ever written.
    pub id: u64,
    /// When its point was measured, in Unix seconds.
    pub at: i64,
    /// Where its payload is.
    pub payload: Range<usize>,
}

/// What the bytes of a segment hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Whole frames, in order.
    pub frames: Vec<FrameAt>,
    /// Runs of bytes that are no frame, the torn tail among them.
    pub damaged: u64,
    /// Where the last whole frame ends.
    pub good_bytes: usize,
}

/// Writes a frame. None if the payload is too long.
pub fn encode(id: u64, at: i64, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_PAYLOAD_BYTES)?;
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&[0; ID_AT - CRC_AT]);
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(&at.to_le_bytes());
    frame.extend_from_slice(payload);
    let checksum = crc32fast::hash(&frame[ID_AT..]);
    frame[CRC_AT..ID_AT].copy_from_slice(&checksum.to_le_bytes());
    Some(frame)
}

/// Finds every whole frame.
pub fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut position = 0;
    while position < bytes.len() {
        if let Some(frame) = frame_at(bytes, position) {
            position = frame.payload.end;
            scan.good_bytes = position;
            scan.frames.push(frame);
        } else {
            scan.damaged += 1;
            // The next place that begins like a frame and is one.
            position = (position + 1..bytes.len())
                .find(|next| bytes[*next..].starts_with(&MAGIC) && frame_at(bytes, *next).is_some())
                .unwrap_or(bytes.len());
        }
    }
    scan
}

fn frame_at(bytes: &[u8], position: usize) -> Option<FrameAt> {
    let header = bytes.get(position..position + HEADER_BYTES)?;
    if !header.starts_with(&MAGIC) {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(array(header, 4)?)).ok()?;
    if length > MAX_PAYLOAD_BYTES {
        return None;
    }
    let payload = position + HEADER_BYTES..position + HEADER_BYTES + length;
    let checked = bytes.get(position + ID_AT..payload.end)?;
    let checksum = u32::from_le_bytes(array(header, CRC_AT)?);
    (crc32fast::hash(checked) == checksum).then_some(FrameAt {
        id: u64::from_le_bytes(array(header, ID_AT)?),
        at: i64::from_le_bytes(array(header, TIME_AT)?),
        payload,
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanning() {
        let frame = |id: u64| encode(id, 100, format!("payload {id}").as_bytes()).unwrap();
        let whole: Vec<u8> = (0..3).flat_map(frame).collect();
        let length = whole.len() / 3;
        let check = |name: &str, bytes: &[u8], ids: &[u64], damaged, good_bytes| {
            let found = scan(bytes);
            let found_ids: Vec<u64> = found.frames.iter().map(|frame| frame.id).collect();
            assert_eq!(
                (found_ids.as_slice(), found.damaged, found.good_bytes),
                (ids, damaged, good_bytes),
                "{name}"
            );
        };
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            bytes
        };
        check("nothing", &[], &[], 0, 0);
        check("whole", &whole, &[0, 1, 2], 0, whole.len());
        check(
            "torn header",
            &whole[..2 * length + 5],
            &[0, 1],
            1,
            2 * length,
        );
        check(
            "torn payload",
            &whole[..3 * length - 1],
            &[0, 1],
            1,
            2 * length,
        );
        check(
            "payload",
            &flipped(length + HEADER_BYTES),
            &[0, 2],
            1,
            whole.len(),
        );
        check("length", &flipped(length + 4), &[0, 2], 1, whole.len());
        check("long length", &flipped(length + 7), &[0, 2], 1, whole.len());
        check("magic", &flipped(length), &[0, 2], 1, whole.len());
        check("id", &flipped(ID_AT), &[1, 2], 1, whole.len());
        check(
            "zeros behind",
            &[whole.as_slice(), &[0; 64]].concat(),
            &[0, 1, 2],
            1,
            whole.len(),
        );
        assert_eq!(&whole[scan(&whole).frames[1].payload.clone()], b"payload 1");
        assert_eq!(encode(0, 0, &vec![0; MAX_PAYLOAD_BYTES + 1]), None);
    }
}
