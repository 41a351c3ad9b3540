//! Number of processes: the numbered directories of `/proc`.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};

use super::source::SourceError;

/// Counts the processes that `proc` shows. Only names are read: what a process is called costs ten times as much.
pub fn count(proc: &Path) -> Result<u32, SourceError> {
    count_numbered(proc).map_err(|source| SourceError::Read {
        path: proc.to_owned(),
        source,
    })
}

fn count_numbered(proc: &Path) -> io::Result<u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, proc, flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += u32::from(is_process(entry?.file_name().to_bytes()));
    }
    Ok(count)
}

fn is_process(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes() {
        let check = |name: &str, expect| assert_eq!(is_process(name.as_bytes()), expect, "{name}");
        check("1", true);
        check("14308", true);
        check("self", false);
        check("1a", false);
        check("..", false);
        check("", false);
    }

    #[test]
    fn counting() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        assert_eq!(count(&fixtures.join("debian-12-vm/proc")).unwrap(), 3);
        assert!(count(&fixtures.join("no-such-machine/proc")).is_err());
    }
}
