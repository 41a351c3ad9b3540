//! Finds the paths that a pattern means: `*` and `?` within a name, `**` for any directories in between. Links to
//! directories are followed only where the pattern names them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use infra_watch_rules::glob::matches;

use super::super::error::FactError;

/// Most directories that one pattern may look into: a slip of the pen must not walk the whole disk.
const MAX_DIRECTORIES: usize = 10_000;
/// Most paths that all patterns may find, directories among them.
const MAX_PATHS: usize = 20_000;

/// Adds to `found` what fits the absolute `pattern` in the system whose root directory is `root`.
pub fn find(root: &Path, pattern: &str, found: &mut BTreeSet<PathBuf>) -> Result<(), FactError> {
    let names: Vec<&str> = pattern
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    let mut directories = 0;
    walk(root, &names, found, &mut directories)
}

/// `directory` fits what comes before `names`.
fn walk(
    directory: &Path,
    names: &[&str],
    found: &mut BTreeSet<PathBuf>,
    directories: &mut usize,
) -> Result<(), FactError> {
    let Some((name, rest)) = names.split_first() else {
        // The names after the last pattern may not exist here.
        if directory.symlink_metadata().is_ok() {
            found.insert(directory.to_owned());
        }
        if found.len() > MAX_PATHS {
            return Err(FactError::TooMany {
                most: MAX_PATHS as u64,
                what: "paths",
            });
        }
        return Ok(());
    };
    let is_pattern = name.contains(['*', '?']);
    if !is_pattern {
        return walk(&directory.join(name), rest, found, directories);
    }
    *directories += 1;
    if *directories > MAX_DIRECTORIES {
        return Err(FactError::TooMany {
            most: MAX_DIRECTORIES as u64,
            what: "directories to look for files in",
        });
    }
    let is_deep = *name == "**";
    if is_deep {
        walk(directory, rest, found, directories)?;
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        Err(source) => return Err(FactError::read(directory)(source)),
    };
    for entry in entries {
        let entry = entry.map_err(FactError::read(directory))?;
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let file_name = entry.file_name();
        if is_deep {
            if is_directory {
                walk(&entry.path(), names, found, directories)?;
            }
        } else if matches(name, &file_name.to_string_lossy()) {
            walk(&entry.path(), rest, found, directories)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn patterns() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "etc/a.conf",
            "etc/b.conf",
            "etc/d/c.conf",
            "etc/d/e/f.conf",
            "etc/d/e/g.txt",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        symlink("d", root.path().join("etc/link")).unwrap();
        symlink("..", root.path().join("etc/d/circle")).unwrap();
        let check = |pattern: &str, expect: &[&str]| {
            let mut found = BTreeSet::new();
            find(root.path(), pattern, &mut found).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|path| path.strip_prefix(root.path()).unwrap().to_str().unwrap())
                .collect();
            assert_eq!(found, expect, "{pattern}");
        };
        check("/etc/a.conf", &["etc/a.conf"]);
        check("/etc/*.conf", &["etc/a.conf", "etc/b.conf"]);
        check("/etc/?.conf", &["etc/a.conf", "etc/b.conf"]);
        check("/etc/*/c.conf", &["etc/d/c.conf", "etc/link/c.conf"]);
        check(
            "/etc/**/*.conf",
            &["etc/a.conf", "etc/b.conf", "etc/d/c.conf", "etc/d/e/f.conf"],
        );
        check("/**/g.txt", &["etc/d/e/g.txt"]);
        check("//etc/./a.conf/", &["etc/a.conf"]);
        check("/nowhere/*", &[]);
        check("/etc/a.conf/*", &[]);
    }
}
