//! Disks in memory whose power can be cut: of what was written since the last sync, chance decides what is left.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::Arc;

use infra_watch::store::redb::Opener;
use parking_lot::Mutex;
use redb::{Builder, StorageBackend};

use crate::model::Random;

/// What a disk writes at once or not at all, in bytes.
const SECTOR: usize = 512;

/// What feeds all disks of a machine: they go dark together.
#[derive(Debug)]
pub struct Power(Mutex<Supply>);

#[derive(Debug)]
struct Supply {
    /// Changes and syncs until it is cut; `None` for as long as one likes.
    calls_left: Option<i64>,
    syncs_lie: bool,
}

impl Power {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Supply {
            calls_left: None,
            syncs_lie: false,
        })))
    }

    /// Cuts the power after so many changes and syncs of any disk.
    pub fn cut_after(&self, calls: i64) {
        self.0.lock().calls_left = Some(calls);
    }

    /// From now on syncs say that all is durable, and make nothing so.
    pub fn lie(&self) {
        self.0.lock().syncs_lie = true;
    }

    /// Takes back [`Power::cut_after`].
    pub fn stay(&self) {
        self.0.lock().calls_left = None;
    }

    pub fn is_cut(&self) -> bool {
        self.0.lock().calls_left == Some(0)
    }

    /// Spends a call; says whether the power still was there for it.
    fn spend(&self) -> bool {
        match &mut self.0.lock().calls_left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                *left > 0
            }
            None => true,
        }
    }
}

/// One disk, which handles share.
#[derive(Clone, Debug)]
pub struct CrashDisk {
    power: Arc<Power>,
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    /// What reads see.
    bytes: Vec<u8>,
    /// What is on the platter for certain.
    synced: Vec<u8>,
    /// What came since.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(start, data) => {
                let end = start + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*start..end].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// What a cut leaves of it when it falls into the middle.
    fn torn(&self, random: &mut Random) -> Vec<Self> {
        let Self::Write(start, data) = self else {
            return vec![self.clone()];
        };
        let length = i64::try_from(data.len()).unwrap();
        let at = usize::try_from(random.below(length + 1)).unwrap();
        let part = |from: usize, to: usize| Self::Write(start + from, data[from..to].to_vec());
        match random.below(4) {
            // As far as the head came, in whole sectors or not.
            0 => vec![part(0, at / SECTOR * SECTOR)],
            1 => vec![part(0, at)],
            2 => vec![part(at, data.len())],
            // Any of its sectors, as a disk with a cache would leave it.
            _ => (0..data.len())
                .step_by(SECTOR)
                .filter(|_| random.below(2) == 0)
                .map(|from| part(from, (from + SECTOR).min(data.len())))
                .collect(),
        }
    }
}

impl CrashDisk {
    pub fn new(power: &Arc<Power>) -> Self {
        Self::with_bytes(power, Vec::new())
    }

    /// A disk that holds what another was left with.
    pub fn with_bytes(power: &Arc<Power>, bytes: Vec<u8>) -> Self {
        Self {
            power: Arc::clone(power),
            content: Arc::new(Mutex::new(Content {
                synced: bytes.clone(),
                bytes,
                unsynced: Vec::new(),
            })),
        }
    }

    /// What the disk may hold after a cut at this moment: what was synced, and of what was not some, in any order,
    /// whole or torn.
    pub fn crash(&self, random: &mut Random) -> Vec<u8> {
        let content = self.content.lock();
        let mut image = content.synced.clone();
        let mut changes = content.unsynced.clone();
        for index in (1..changes.len()).rev() {
            let other = usize::try_from(random.below(i64::try_from(index + 1).unwrap())).unwrap();
            changes.swap(index, other);
        }
        // From nothing of it to all of it.
        let kept_of_eight = random.below(9);
        let torn_of_eight = random.below(4);
        for change in changes {
            if random.below(8) >= kept_of_eight {
                continue;
            }
            if random.below(8) < torn_of_eight {
                for part in change.torn(random) {
                    part.apply(&mut image);
                }
            } else {
                change.apply(&mut image);
            }
        }
        image
    }

    /// What is on it for certain.
    pub fn synced(&self) -> Vec<u8> {
        self.content.lock().synced.clone()
    }

    /// Opens a database over the disk, as often as it is asked.
    pub fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move || Builder::new().create_with_backend(disk.clone()))
    }

    /// Whether no database has it open.
    pub fn is_free(&self) -> bool {
        Arc::strong_count(&self.content) == 1
    }

    /// Notes a change. One during which the power goes may still reach the platter.
    fn change(&self, change: Change) -> io::Result<()> {
        let mut content = self.content.lock();
        if self.power.is_cut() {
            return Err(dark());
        }
        let is_done = self.power.spend();
        change.apply(&mut content.bytes);
        content.unsynced.push(change);
        if is_done { Ok(()) } else { Err(dark()) }
    }
}

fn dark() -> io::Error {
    io::Error::other("the power is cut")
}

impl StorageBackend for CrashDisk {
    fn len(&self) -> io::Result<u64> {
        if self.power.is_cut() {
            return Err(dark());
        }
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.power.is_cut() {
            return Err(dark());
        }
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.content.lock().bytes[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(usize::try_from(len).unwrap()))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(
            usize::try_from(offset).unwrap(),
            data.to_vec(),
        ))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.content.lock();
        // A sync that does not answer has made nothing durable for certain.
        if !self.power.spend() {
            return Err(dark());
        }
        if !self.power.0.lock().syncs_lie {
            let content = &mut *content;
            for change in content.unsynced.drain(..) {
                change.apply(&mut content.synced);
            }
        }
        Ok(())
    }
}
