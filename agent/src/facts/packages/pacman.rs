//! Packages of pacman, read from its database: a directory a package, with a file `desc` of `%FIELD%` and values
//! (`alpm-db-desc(5)`).

use std::fs;
use std::path::Path;

use super::super::error::FactError;
use super::Package;

/// One directory a package, and a file with the version of the form.
pub const DATABASE: &str = "var/lib/pacman/local";

/// All packages. None if pacman's database is not there.
pub fn read(root: &Path) -> Result<Option<Vec<Package>>, FactError> {
    let directory = root.join(DATABASE);
    if !directory.is_dir() {
        return Ok(None);
    }
    let mut packages = Vec::new();
    for entry in fs::read_dir(&directory).map_err(FactError::read(&directory))? {
        let path = entry.map_err(FactError::read(&directory))?.path();
        if path.is_dir() {
            let path = path.join("desc");
            let bytes = fs::read(&path).map_err(FactError::read(&path))?;
            let package = parse(&String::from_utf8_lossy(&bytes));
            let what = "name, version or architecture is missing";
            packages.push(package.ok_or_else(|| FactError::form(&path, what))?);
        }
    }
    Ok(Some(packages))
}

fn parse(desc: &str) -> Option<Package> {
    let value = |field: &str| {
        let mut lines = desc.lines().map(str::trim);
        lines.find(|line| *line == field)?;
        lines.next().filter(|value| !value.is_empty())
    };
    let (name, version, architecture) = (value("%NAME%")?, value("%VERSION%")?, value("%ARCH%")?);
    Some(Package::new("pacman", name, architecture, version))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_real_database() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/arch-linux");
        let mut packages = read(&root).unwrap().unwrap();
        packages.sort();
        let found: Vec<String> = packages
            .iter()
            .map(|package| format!("{} {}", package.key, package.version))
            .collect();
        assert_eq!(
            found,
            [
                "pacman/gmp:x86_64 6.2.1-2",
                "pacman/tree-sitter:x86_64 0.22.6-1"
            ]
        );
    }

    #[test]
    fn forms() {
        let check = |desc: &str, expect: Option<&str>| {
            assert_eq!(
                parse(desc).map(|package| package.key).as_deref(),
                expect,
                "{desc}"
            );
        };
        check(
            "%NAME%\na\n\n%VERSION%\n1:2-3\n\n%ARCH%\nany\n",
            Some("pacman/a:any"),
        );
        check("%NAME%\na\n\n%VERSION%\n\n%ARCH%\nany\n", None);
        check("%NAME%\na\n", None);
        check("", None);
        let root = tempfile::tempdir().unwrap();
        assert!(read(root.path()).unwrap().is_none());
        fs::create_dir_all(root.path().join(DATABASE).join("a-1-1")).unwrap();
        assert!(read(root.path()).is_err());
    }
}
