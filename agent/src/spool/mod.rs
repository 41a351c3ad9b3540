//! The backlog on disk while the backend is away: framed, checked, bounded, the oldest dropped first.
//!
//! Frames are appended to segments, files of some hundred KiB named by their first frame. The cursor is the id of the
//! first frame that is not done; it moves only after an answer. Every append and every move of the cursor is on disk
//! before the call returns. What is lost at worst is that frames sent out of order, ahead of the cursor, are sent
//! again after a crash, which the backend counts as duplicates.

mod frame;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files;

/// A segment is closed when it is this long: short enough to be read at once, long enough to be few.
const SEGMENT_BYTES: u64 = 256 << 10;
/// The oldest segment is what is dropped, so there are at least this many.
const MIN_SEGMENTS: u64 = 8;
const SUFFIX: &str = ".frames";
const CURSOR: &str = "cursor";

/// How much the spool may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all segments together.
    pub max_bytes: u64,
    /// Age of a segment's newest frame, in seconds.
    pub max_age_seconds: i64,
}

/// One frame that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Names it until it is done.
    pub id: u64,
    /// The encoded point.
    pub payload: Vec<u8>,
}

/// The oldest frames that are not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// In the order in which they were written.
    pub frames: Vec<Frame>,
    /// All frames before this id were looked at.
    end: u64,
}

/// A bounded queue of frames on disk.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limits: Limits,
    segments: VecDeque<Segment>,
    /// Open for appending to the last segment.
    tail: Option<File>,
    cursor: u64,
    next_id: u64,
    /// Done ahead of the cursor.
    done: BTreeSet<u64>,
    pending: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Segment {
    first_id: u64,
    /// Ids below this one are in this segment or an earlier one.
    end_id: u64,
    bytes: u64,
    last_at: i64,
}

impl Spool {
    /// Opens the spool in `directory`, made if it is absent. A torn tail is cut off, damaged frames are stepped over.
    pub fn open(directory: &Path, limits: Limits) -> io::Result<Self> {
        files::make_private_directory(directory)?;
        let cursor = read_cursor(directory);
        let mut spool = Self {
            directory: directory.to_owned(),
            limits,
            segments: VecDeque::new(),
            tail: None,
            cursor,
            next_id: cursor,
            done: BTreeSet::new(),
            pending: 0,
            dropped: 0,
        };
        let mut damaged = 0;
        for first_id in segment_ids(directory)? {
            damaged += spool.adopt(first_id)?;
        }
        if damaged > 0 {
            tracing::warn!(
                damaged,
                "the spool has damaged places, as after a loss of power; the rest is kept"
            );
        }
        spool.remove_done_segments()?;
        Ok(spool)
    }

    /// Frames that are not done.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Frames that were dropped because the spool was full or they were too old, since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Writes a frame for a point measured `at`, on disk when this returns, and gives its id. Makes room first.
    pub fn append(&mut self, at: i64, payload: &[u8]) -> io::Result<u64> {
        let id = self.next_id;
        let frame = frame::encode(id, at, payload)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the point is too long"))?;
        let bytes = frame.len() as u64;
        self.make_room(bytes, at)?;
        self.roll(bytes, at)?;
        let (Some(file), Some(segment)) = (&mut self.tail, self.segments.back_mut()) else {
            return Err(io::Error::other("there is no open segment"));
        };
        if let Err(error) = file.write_all(&frame).and_then(|()| file.sync_data()) {
            // Half a frame must not stand between this one and the next; if it cannot be cut, reading steps over it.
            let _ = file.set_len(segment.bytes);
            return Err(error);
        }
        segment.bytes += bytes;
        segment.end_id = id + 1;
        segment.last_at = at;
        self.next_id = id + 1;
        self.pending += 1;
        Ok(id)
    }

    /// The oldest frames that are not done, at most so many frames and about so many bytes. None if all are done.
    pub fn backlog(&mut self, max_frames: usize, max_bytes: usize) -> io::Result<Option<Backlog>> {
        let mut backlog = Backlog {
            frames: Vec::new(),
            end: self.cursor,
        };
        let mut bytes = 0;
        for segment in &self.segments {
            let content = match fs::read(segment_path(&self.directory, segment.first_id)) {
                Ok(content) => content,
                // Somebody removed it: what is gone must not hold up the rest.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for found in frame::scan(&content).frames {
                if found.id < self.cursor || self.done.contains(&found.id) {
                    continue;
                }
                if backlog.frames.len() == max_frames || bytes >= max_bytes {
                    return Ok(Some(backlog));
                }
                bytes += found.payload.len();
                backlog.end = found.id + 1;
                backlog.frames.push(Frame {
                    id: found.id,
                    payload: content[found.payload].to_vec(),
                });
            }
        }
        if backlog.frames.is_empty() {
            // Nothing more can be read, even if some frames were damaged after they were counted.
            self.pending = 0;
            self.advance_to(self.next_id)?;
            return Ok(None);
        }
        Ok(Some(backlog))
    }

    /// The frames of the backlog were answered.
    pub fn finish(&mut self, backlog: &Backlog) -> io::Result<()> {
        // What was dropped meanwhile is no longer counted.
        let left = backlog
            .frames
            .iter()
            .filter(|frame| frame.id >= self.cursor)
            .count() as u64;
        self.pending = self.pending.saturating_sub(left);
        self.advance_to(backlog.end)
    }

    /// One frame was answered ahead of the others.
    pub fn finish_one(&mut self, id: u64) -> io::Result<()> {
        if id >= self.cursor && self.done.insert(id) {
            self.pending = self.pending.saturating_sub(1);
            self.advance_to(self.cursor)?;
        }
        Ok(())
    }

    /// Moves the cursor to `id` and over all that is done behind it.
    fn advance_to(&mut self, id: u64) -> io::Result<()> {
        let before = self.cursor;
        self.cursor = self.cursor.max(id);
        self.done = self.done.split_off(&self.cursor);
        while self.done.remove(&self.cursor) {
            self.cursor += 1;
        }
        if self.cursor == before {
            return Ok(());
        }
        let mut content = self.cursor.to_le_bytes().to_vec();
        content.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
        files::write_atomically(&self.directory, CURSOR, &content)?;
        self.remove_done_segments()
    }

    fn remove_done_segments(&mut self) -> io::Result<()> {
        while self
            .segments
            .front()
            .is_some_and(|segment| segment.end_id <= self.cursor)
        {
            self.remove_first_segment()?;
        }
        Ok(())
    }

    fn remove_first_segment(&mut self) -> io::Result<()> {
        if let Some(segment) = self.segments.front() {
            match fs::remove_file(segment_path(&self.directory, segment.first_id)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.segments.pop_front(),
            };
        }
        if self.segments.is_empty() {
            self.tail = None;
        }
        Ok(())
    }

    /// Drops the oldest segments until `bytes` more fit and none is too old at `now`.
    fn make_room(&mut self, bytes: u64, now: i64) -> io::Result<()> {
        let oldest = now.saturating_sub(self.limits.max_age_seconds);
        let mut held: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        while let Some(segment) = self.segments.front() {
            if held + bytes <= self.limits.max_bytes && segment.last_at >= oldest {
                break;
            }
            held -= segment.bytes;
            let (first, end) = (segment.first_id.max(self.cursor), segment.end_id);
            let done = self.done.range(first..end.max(first)).count() as u64;
            let lost = end.saturating_sub(first).saturating_sub(done);
            self.dropped += lost;
            self.pending = self.pending.saturating_sub(lost);
            self.remove_first_segment()?;
            self.advance_to(end)?;
        }
        Ok(())
    }

    /// Opens a new segment when there is none or the last one is long enough.
    fn roll(&mut self, bytes: u64, at: i64) -> io::Result<()> {
        let segment_bytes = SEGMENT_BYTES.min(self.limits.max_bytes / MIN_SEGMENTS);
        let fits = self
            .segments
            .back()
            .is_some_and(|segment| segment.bytes + bytes <= segment_bytes);
        if fits && self.tail.is_some() {
            return Ok(());
        }
        let first_id = self.next_id;
        let path = segment_path(&self.directory, first_id);
        let file = files::open_private(&path, OpenOptions::new().append(true))?;
        files::sync_directory(&self.directory)?;
        self.tail = Some(file);
        if self
            .segments
            .back()
            .is_none_or(|segment| segment.first_id != first_id)
        {
            self.segments.push_back(Segment {
                first_id,
                end_id: first_id,
                bytes: 0,
                last_at: at,
            });
        }
        Ok(())
    }

    /// Takes over a segment that was there before, and gives the number of its damaged places.
    fn adopt(&mut self, first_id: u64) -> io::Result<u64> {
        let path = segment_path(&self.directory, first_id);
        let content = fs::read(&path)?;
        let scan = frame::scan(&content);
        let Some(last) = scan.frames.last() else {
            fs::remove_file(&path)?;
            return Ok(scan.damaged);
        };
        let file = OpenOptions::new().append(true).open(&path)?;
        if scan.good_bytes < content.len() {
            file.set_len(scan.good_bytes as u64)?;
            file.sync_data()?;
        }
        let end_id = last.id + 1;
        self.pending += scan
            .frames
            .iter()
            .filter(|frame| frame.id >= self.cursor)
            .count() as u64;
        self.next_id = self.next_id.max(end_id);
        self.segments.push_back(Segment {
            first_id,
            end_id,
            bytes: scan.good_bytes as u64,
            last_at: last.at,
        });
        self.tail = Some(file);
        Ok(scan.damaged)
    }
}

fn segment_path(directory: &Path, first_id: u64) -> PathBuf {
    directory.join(format!("{first_id:020}{SUFFIX}"))
}

/// First ids of the segments in the directory, in order.
fn segment_ids(directory: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX))
            .and_then(|id| id.parse::<u64>().ok());
        ids.extend(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The cursor, or the beginning: sending again is harmless, losing is not.
fn read_cursor(directory: &Path) -> u64 {
    let content = fs::read(directory.join(CURSOR)).unwrap_or_default();
    let cursor = content.split_at_checked(8).and_then(|(cursor, checksum)| {
        let checksum = u32::from_le_bytes(checksum.try_into().ok()?);
        (crc32fast::hash(cursor) == checksum).then_some(u64::from_le_bytes(cursor.try_into().ok()?))
    });
    cursor.unwrap_or(0)
}

#[cfg(test)]
mod tests;
