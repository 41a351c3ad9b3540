//! Installed packages, of every package manager that is found on the host.
//!
//! The section is whole or not there: with one manager's part missing it would read as if its packages were removed.

mod apk;
mod dpkg;
mod pacman;
mod rpm;
mod watch;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::error::FactError;
use super::snapshot::Section;

pub use watch::{Stamp, is_running, stamp};

/// Most packages in a snapshot, of the contract.
const MAX_PACKAGES: usize = 20_000;

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    /// `<manager>/<name>:<architecture>`.
    key: String,
    version: String,
}

impl Package {
    fn new(manager: &str, name: &str, architecture: &str, version: &str) -> Self {
        Self {
            key: format!("{manager}/{name}:{architecture}"),
            version: version.to_owned(),
        }
    }
}

/// Reads the packages of the system whose root directory is `root`. None if it has no package manager.
pub fn read(root: &Path) -> Result<Option<Section>, FactError> {
    let managers = [dpkg::read, rpm::read, apk::read, pacman::read];
    let mut all: Option<Vec<Package>> = None;
    for read in managers {
        if let Some(packages) = read(root)? {
            all.get_or_insert_default().extend(packages);
        }
    }
    all.map(section).transpose()
}

/// Whether the system has packages of dpkg.
pub fn has_dpkg(root: &Path) -> bool {
    dpkg::is_there(root)
}

/// Whether the system has packages of rpm.
pub fn has_rpm(root: &Path) -> bool {
    rpm::database(root).is_some()
}

/// Whether the system has packages of apk.
pub fn has_apk(root: &Path) -> bool {
    apk::databases(root).next().is_some()
}

/// Whether the system has packages of pacman.
pub fn has_pacman(root: &Path) -> bool {
    root.join(pacman::DATABASE).is_dir()
}

/// Versions by key; several versions of one key are sorted and joined by a space.
fn section(mut packages: Vec<Package>) -> Result<Section, FactError> {
    packages.sort_unstable();
    packages.dedup();
    let mut section = BTreeMap::new();
    for package in packages {
        match section.entry(package.key) {
            Entry::Vacant(vacant) => {
                vacant.insert(package.version);
            }
            Entry::Occupied(occupied) => {
                let versions: &mut String = occupied.into_mut();
                versions.push(' ');
                versions.push_str(&package.version);
            }
        }
    }
    if section.len() > MAX_PACKAGES {
        return Err(FactError::TooMany {
            most: MAX_PACKAGES as u64,
            what: "packages",
        });
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn several_versions_of_a_package() {
        let package = |name, version| Package::new("rpm", name, "x86_64", version);
        let packages = vec![
            package("kernel", "6.2-1"),
            package("bash", "5.2-1"),
            package("kernel", "6.1-1"),
            package("kernel", "6.1-1"),
        ];
        let section = section(packages).unwrap();
        assert_eq!(section["rpm/kernel:x86_64"], "6.1-1 6.2-1");
        assert_eq!(section.len(), 2);
    }

    #[test]
    fn too_many() {
        let packages = |count: usize| {
            (0..count).map(|index| Package::new("apk", &index.to_string(), "x", "1"))
        };
        assert!(section(packages(MAX_PACKAGES).collect()).is_ok());
        let error = section(packages(MAX_PACKAGES + 1).collect()).unwrap_err();
        assert_eq!(error.to_string(), "more than 20000 packages");
    }

    #[test]
    fn a_host_without_a_package_manager() {
        let root = tempfile::tempdir().unwrap();
        assert!(read(root.path()).unwrap().is_none());
    }

    #[test]
    fn one_manager_that_fails_leaves_the_section_out() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("lib/apk/db/installed", "P:musl\nV:1.2\nA:x86_64\n\n");
        put(
            "var/lib/dpkg/status",
            "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n",
        );
        assert_eq!(read(root.path()).unwrap().unwrap().len(), 2);
        put("lib/apk/db/installed", "P:musl\nA:x86_64\n\n");
        let error = read(root.path()).unwrap_err().to_string();
        assert!(
            error
                .ends_with("lib/apk/db/installed has an unknown form: a package without a version"),
            "{error}"
        );
    }
}
