//! Files that the operator names: what is in them as a hash, who may do what with them, and of small texts the text.

mod glob;
mod owner;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::error::FactError;
use super::hex;
use super::snapshot::{MAX_VALUE_CHARS, Section};
use owner::Names;

/// Most files in a snapshot.
const MAX_FILES: usize = 1_000;
/// Longest file that is hashed, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Most that is read for one snapshot, in bytes: some seconds of a slow disk.
const MAX_ALL_BYTES: u64 = 512 << 20;
/// Most text in one snapshot, in bytes: with it a report stays below what the backend takes.
const MAX_ALL_TEXT_BYTES: usize = 512 << 10;

/// Which files are looked at, as absolute paths with `*`, `?` and `**`.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Of these the hash is told.
    pub hashed: Vec<String>,
    /// Of these the text, where that is small and nothing speaks against it.
    pub shown: Vec<String>,
}

impl Files {
    /// Reads the files of the system whose root directory is `root`. None if no files are named.
    pub fn read(&self, root: &Path) -> Result<Option<Section>, FactError> {
        if self.hashed.is_empty() && self.shown.is_empty() {
            return Ok(None);
        }
        // Path → whether its text is told.
        let mut found: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for (patterns, is_shown) in [(&self.hashed, false), (&self.shown, true)] {
            for path in paths(root, patterns)? {
                *found.entry(path).or_default() |= is_shown;
            }
        }
        let mut reading = Reading {
            names: Names::read(root),
            bytes: 0,
            text_bytes: 0,
        };
        let mut section = Section::new();
        for (path, is_shown) in found {
            let key = path.strip_prefix(root).unwrap_or(&path);
            let key = key
                .to_str()
                .ok_or_else(|| FactError::form(&path, "its name is not UTF-8"))?;
            let key = format!("/{key}");
            let Some(value) = reading.value(&path, is_shown.then_some(key.as_str()))? else {
                continue;
            };
            section.insert(key, value);
            if section.len() > MAX_FILES {
                return Err(FactError::TooMany {
                    most: MAX_FILES as u64,
                    what: "files",
                });
            }
        }
        Ok(Some(section))
    }
}

fn paths(root: &Path, patterns: &[String]) -> Result<BTreeSet<PathBuf>, FactError> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        glob::find(root, pattern, &mut found)?;
    }
    Ok(found)
}

struct Reading {
    names: Names,
    bytes: u64,
    text_bytes: usize,
}

impl Reading {
    /// What is told of a file, with its text if it is `shown_as` a path. None if it is gone, or neither a regular file
    /// nor a link.
    fn value(&mut self, path: &Path, shown_as: Option<&str>) -> Result<Option<String>, FactError> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FactError::read(path)(source)),
        };
        if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(FactError::read(path))?;
            return Ok(Some(format!("link:{}", target.display())));
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        // It may be another file by now: neither a link is followed, nor is there a wait for who writes into a pipe.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(path)
            .map_err(FactError::read(path))?;
        let metadata = file.metadata().map_err(FactError::read(path))?;
        let (hash, start) = self.hash(path, file)?;
        let head = self.head(&hash, &metadata);
        let text = start
            .zip(shown_as)
            .and_then(|(bytes, shown_as)| text::shown(shown_as, &head, bytes));
        let Some(value) = text else {
            return Ok(Some(head));
        };
        self.text_bytes += value.len();
        if self.text_bytes > MAX_ALL_TEXT_BYTES {
            return Err(FactError::TooMany {
                most: (MAX_ALL_TEXT_BYTES >> 10) as u64,
                what: "KiB of text in files",
            });
        }
        Ok(Some(value))
    }

    fn head(&self, hash: &str, metadata: &Metadata) -> String {
        let (user, group) = (
            self.names.user(metadata.uid()),
            self.names.group(metadata.gid()),
        );
        format!(
            "sha256:{hash} mode:{:04o} owner:{user}:{group}",
            metadata.mode() & 0o7777
        )
    }

    /// The hash of the whole file, and all of it if it is small.
    fn hash(&mut self, path: &Path, file: File) -> Result<(String, Option<Vec<u8>>), FactError> {
        let mut file = file.take(MAX_FILE_BYTES + 1);
        let (mut hash, mut small, mut length) = (Sha256::new(), Some(Vec::new()), 0);
        let mut buffer = [0; 32 << 10];
        loop {
            let read = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(FactError::read(path)(source)),
            };
            length += read as u64;
            hash.update(&buffer[..read]);
            small = small.filter(|small| small.len() + read <= MAX_VALUE_CHARS * 4);
            if let Some(small) = &mut small {
                small.extend_from_slice(&buffer[..read]);
            }
        }
        self.bytes += length;
        if length > MAX_FILE_BYTES {
            return Err(FactError::form(path, "it is longer than 16 MiB"));
        }
        if self.bytes > MAX_ALL_BYTES {
            return Err(FactError::TooMany {
                most: MAX_ALL_BYTES >> 20,
                what: "MiB in files",
            });
        }
        Ok((hex(&hash.finalize()), small))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn files(hashed: &[&str], shown: &[&str]) -> Files {
        let owned = |patterns: &[&str]| {
            patterns
                .iter()
                .map(|pattern| (*pattern).to_owned())
                .collect()
        };
        Files {
            hashed: owned(hashed),
            shown: owned(shown),
        }
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let uid = fs::metadata(root.path()).unwrap().uid();
        let gid = fs::metadata(root.path()).unwrap().gid();
        let put = |path: &str, content: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        };
        put(
            "etc/passwd",
            format!("me:x:{uid}:{gid}::/:/bin/sh\n").as_bytes(),
        );
        put("etc/group", format!("us:x:{gid}:\n").as_bytes());
        put("etc/motd", b"hello\n");
        put("etc/app.conf", b"mode = fast\n");
        put("etc/app.secret", b"password = hunter2\n");
        put("etc/binary", b"\0\x01");
        symlink("/no/where", root.path().join("etc/link")).unwrap();
        root
    }

    #[test]
    fn what_is_told_of_files() {
        let root = root();
        let section = files(
            &["/etc/motd", "/etc/link", "/etc", "/gone"],
            &["/etc/app.*", "/etc/binary"],
        )
        .read(root.path())
        .unwrap()
        .unwrap();
        // printf 'hello\n' | sha256sum
        let hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let check = |key: &str, expect: &str| assert_eq!(section[key], expect, "{key}");
        check(
            "/etc/motd",
            &format!("sha256:{hello} mode:0640 owner:me:us"),
        );
        check("/etc/link", "link:/no/where");
        assert!(
            section["/etc/app.conf"].ends_with(" mode:0640 owner:me:us\nmode = fast\n"),
            "{section:?}"
        );
        assert_eq!(section["/etc/app.secret"].lines().count(), 1);
        assert_eq!(section["/etc/binary"].lines().count(), 1);
        assert_eq!(section.len(), 5);
        assert!(Files::default().read(root.path()).unwrap().is_none());
    }

    #[test]
    fn bounds() {
        let root = root();
        let path = root.path().join("etc/large");
        File::create(&path)
            .unwrap()
            .set_len(MAX_FILE_BYTES)
            .unwrap();
        assert!(files(&["/etc/large"], &[]).read(root.path()).is_ok());
        File::create(&path)
            .unwrap()
            .set_len(MAX_FILE_BYTES + 1)
            .unwrap();
        let error = files(&["/etc/large"], &[])
            .read(root.path())
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("it is longer than 16 MiB"), "{error}");
        for index in 0..=MAX_FILES {
            fs::write(root.path().join(format!("{index}.many")), "").unwrap();
        }
        let error = files(&["/*.many"], &[]).read(root.path()).unwrap_err();
        assert_eq!(error.to_string(), "more than 1000 files");
    }
}
