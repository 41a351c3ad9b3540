//! Whether something was installed or removed, told from the files of the databases alone.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::{apk, dpkg, pacman, rpm};

/// Locks that apt and dpkg hold while they work.
const LOCKS: [&str; 2] = ["var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock"];

/// The state of the databases' files: changes when one of them is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<Option<(u64, i64, i64, u64)>>);

#[cfg(test)]
impl Stamp {
    /// A state that differs from that of another number.
    pub fn of_test(number: u64) -> Self {
        Self(vec![Some((number, 0, 0, 0))])
    }
}

/// The databases' state of the system whose root directory is `root`.
pub fn stamp(root: &Path) -> Stamp {
    let mut paths: Vec<PathBuf> = [dpkg::STATUS, pacman::DATABASE]
        .into_iter()
        .chain(apk::DATABASES)
        .map(|path| root.join(path))
        .collect();
    if let Some((file, _)) = rpm::database(root) {
        let mut log = file.clone().into_os_string();
        log.push("-wal");
        paths.extend([file, log.into()]);
    }
    let stamps = paths.iter().map(|path| {
        let metadata = fs::metadata(path).ok()?;
        // Reading SQLite's database leaves an empty log behind; that is no change.
        let is_something = metadata.is_dir() || metadata.len() > 0;
        is_something.then(|| {
            (
                metadata.ino(),
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.len(),
            )
        })
    });
    Stamp(stamps.collect())
}

/// Whether apt or dpkg is at work, as far as this user may know.
pub fn is_running(root: &Path) -> bool {
    LOCKS.iter().any(|path| {
        let Ok(file) = File::open(root.join(path)) else {
            return false;
        };
        let asked = Flock::from(FlockType::WriteLock);
        matches!(fcntl_getlk(&file, &asked), Ok(Some(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_database_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let before = stamp(root.path());
        assert_eq!(before, stamp(root.path()));
        let mut seen = vec![before];
        let mut check = |path: &str, content: &str, is_change: bool| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
            let now = stamp(root.path());
            assert_eq!(!seen.contains(&now), is_change);
            seen.push(now);
        };
        check("var/lib/dpkg/status", "Package: a\n", true);
        check("var/lib/dpkg/available", "x", false);
        check("var/lib/pacman/local/a-1/desc", "x", true);
        check("lib/apk/db/installed", "P:a\n", true);
        check("var/lib/rpm/rpmdb.sqlite", "x", true);
        check("var/lib/rpm/rpmdb.sqlite-wal", "", false);
        check("var/lib/rpm/rpmdb.sqlite-wal", "x", true);
    }

    #[test]
    fn a_lock_of_another_process_is_seen() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_running(root.path()));
        let lock = root.path().join("var/lib/dpkg/lock-frontend");
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        fs::write(&lock, "").unwrap();
        assert!(!is_running(root.path()));
        // Python is where the tests are; it takes the same kind of lock as apt does.
        let script = "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()";
        let Ok(mut holder) = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&lock)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
        else {
            println!("skipped: python3 is not installed");
            return;
        };
        let mut said = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert!(is_running(root.path()));
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert!(!is_running(root.path()));
    }
}
