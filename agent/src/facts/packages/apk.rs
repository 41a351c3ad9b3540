//! Packages of apk, read from its database: stanzas of lines that begin with a letter, of which upper and lower case
//! differ (`apk-installed(5)`).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::super::error::FactError;
use super::Package;

/// Where apk keeps it: up to version 2, and from version 3 on systems with a merged `/usr`.
pub const DATABASES: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// The databases that are there.
pub fn databases(root: &Path) -> impl Iterator<Item = PathBuf> {
    let databases = DATABASES.map(|path| root.join(path));
    databases.into_iter().filter(|path| path.is_file())
}

/// All packages. None if apk's database is not there.
pub fn read(root: &Path) -> Result<Option<Vec<Package>>, FactError> {
    let mut all = None;
    for path in databases(root) {
        // Both may be the same file; equal packages are one in the end.
        read_file(&path, all.get_or_insert_default())?;
    }
    Ok(all)
}

fn read_file(path: &Path, packages: &mut Vec<Package>) -> Result<(), FactError> {
    let file = File::open(path).map_err(FactError::read(path))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let (mut name, mut version, mut architecture) = (None, None, None);
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(FactError::read(path))?;
        let text = line.trim_ascii_end();
        if let Some((letter, value)) = text.split_first() {
            let value = value.strip_prefix(b":");
            let value = value.ok_or_else(|| FactError::form(path, "a line without a field"))?;
            let field = match letter {
                b'P' => &mut name,
                b'V' => &mut version,
                b'A' => &mut architecture,
                _ => continue,
            };
            *field = Some(String::from_utf8_lossy(value).into_owned());
            continue;
        }
        match (name.take(), version.take(), architecture.take()) {
            (None, None, None) => {}
            (Some(name), Some(version), architecture) => {
                // Virtual packages of `apk add --virtual` have none.
                let architecture = architecture.as_deref().unwrap_or("noarch");
                packages.push(Package::new("apk", &name, architecture, &version));
            }
            (Some(_), None, _) => return Err(FactError::form(path, "a package without a version")),
            (None, ..) => return Err(FactError::form(path, "a package without a name")),
        }
        if read == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_real_database() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/alpine-3.19");
        let packages = read(&root).unwrap().unwrap();
        let found: Vec<String> = packages
            .iter()
            .map(|package| format!("{} {}", package.key, package.version))
            .collect();
        assert_eq!(
            found,
            [
                "apk/bash:x86_64 5.2.21-r0",
                "apk/busybox-binsh:x86_64 1.36.1-r15",
                "apk/musl:x86_64 1.2.4_git20230717-r4",
            ]
        );
    }

    #[test]
    fn forms() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("usr/lib/apk/db/installed");
        assert!(read(root.path()).unwrap().is_none());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let check = |text: &str, expect: Option<usize>| {
            fs::write(&path, text).unwrap();
            let found = read(root.path())
                .ok()
                .flatten()
                .map(|packages| packages.len());
            assert_eq!(found, expect, "{text}");
        };
        check("", Some(0));
        check("P:a\nV:1\nA:x86_64\n\n\nP:b\nV:2\nA:x86_64", Some(2));
        check("P:.build-deps\nV:20240101.000000\nA:noarch\n", Some(1));
        check("P:a\nA:x86_64\n", None);
        check("V:1\n", None);
        check("a text\n", None);
    }
}
