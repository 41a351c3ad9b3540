//! Private files that are there whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Only this user may enter.
const DIRECTORY_MODE: u32 = 0o700;
/// Only this user may read.
const FILE_MODE: u32 = 0o600;

/// Makes a directory that only this user may enter, with all above it; one that others may enter is closed to them.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o777 != DIRECTORY_MODE {
        fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))?;
    }
    Ok(())
}

/// Opens a file of this user's own, made if it is absent.
pub fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(FILE_MODE).open(path)
}

/// Replaces a file at once: whoever reads it, even after a loss of power, finds the old or the new content.
pub fn write_atomically(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(directory, name, content)?;
    fs::rename(&temporary, directory.join(name))?;
    sync_directory(directory)
}

/// Like `write_atomically`, but an existing file stays as it is.
pub fn write_once(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    // The name is this process's own: two that start together must not write into each other's file.
    let temporary = write_temporary(
        directory,
        &format!("{name}.{}", std::process::id()),
        content,
    )?;
    let linked = fs::hard_link(&temporary, directory.join(name));
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(directory),
    }
}

fn write_temporary(directory: &Path, name: &str, content: &[u8]) -> io::Result<std::path::PathBuf> {
    let path = directory.join(format!("{name}.new"));
    let mut file = open_private(&path, OpenOptions::new().write(true).truncate(true))?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(path)
}

/// Makes names that were added to or taken from a directory durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_whole() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        make_private_directory(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        make_private_directory(&directory).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        write_atomically(&directory, "x", b"one").unwrap();
        write_atomically(&directory, "x", b"two").unwrap();
        write_once(&directory, "x", b"three").unwrap();
        assert_eq!(fs::read(directory.join("x")).unwrap(), b"two");
        write_once(&directory, "y", b"four").unwrap();
        assert_eq!(fs::read(directory.join("y")).unwrap(), b"four");
        assert_eq!(mode(&directory.join("x")), 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }
}
