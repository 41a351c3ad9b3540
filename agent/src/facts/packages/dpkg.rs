//! Packages of dpkg, read from its database: `/var/lib/dpkg/status` in the form of deb-control files (`deb822(5)`,
//! `dpkg-query(1)`), and the single files of distroless images.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::super::error::FactError;
use super::Package;

/// All packages that dpkg knows.
pub const STATUS: &str = "var/lib/dpkg/status";
/// One file a package, without states: what distroless images have instead.
const STATUS_DIRECTORY: &str = "var/lib/dpkg/status.d";

/// Whether dpkg's database is there.
pub fn is_there(root: &Path) -> bool {
    root.join(STATUS).exists() || root.join(STATUS_DIRECTORY).is_dir()
}

/// Packages that are installed to some extent. None if dpkg's database is not there.
pub fn read(root: &Path) -> Result<Option<Vec<Package>>, FactError> {
    if !is_there(root) {
        return Ok(None);
    }
    let mut packages = Vec::new();
    let status = root.join(STATUS);
    if status.exists() {
        read_file(&status, &mut packages)?;
    }
    let directory = root.join(STATUS_DIRECTORY);
    if directory.is_dir() {
        for entry in fs::read_dir(&directory).map_err(FactError::read(&directory))? {
            let path = entry.map_err(FactError::read(&directory))?.path();
            // Beside each file of control data lie the checksums of the package's files.
            let is_checksums = path.extension().is_some_and(|name| name == "md5sums");
            if path.is_file() && !is_checksums {
                read_file(&path, &mut packages)?;
            }
        }
    }
    Ok(Some(packages))
}

fn read_file(path: &Path, packages: &mut Vec<Package>) -> Result<(), FactError> {
    let file = File::open(path).map_err(FactError::read(path))?;
    // The database may be large; only a line at a time is in memory.
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut stanza = Stanza::default();
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(FactError::read(path))?;
        let text = line.trim_ascii_end();
        if !text.is_empty() {
            stanza.take(text);
            continue;
        }
        let package = std::mem::take(&mut stanza).package();
        packages.extend(package.map_err(|what| FactError::form(path, what))?);
        if read == 0 {
            return Ok(());
        }
    }
}

/// The fields of one package that matter.
#[derive(Default)]
struct Stanza {
    name: Option<String>,
    status: Option<String>,
    architecture: Option<String>,
    version: Option<String>,
    is_begun: bool,
}

impl Stanza {
    /// Takes a line; what continues a field begins with a space and names none.
    fn take(&mut self, line: &[u8]) {
        self.is_begun = true;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = line.split_at(colon);
        let field = match name {
            _ if name.eq_ignore_ascii_case(b"Package") => &mut self.name,
            _ if name.eq_ignore_ascii_case(b"Status") => &mut self.status,
            _ if name.eq_ignore_ascii_case(b"Architecture") => &mut self.architecture,
            _ if name.eq_ignore_ascii_case(b"Version") => &mut self.version,
            _ => return,
        };
        *field = Some(String::from_utf8_lossy(value[1..].trim_ascii()).into_owned());
    }

    /// The package, if it is installed to some extent.
    fn package(self) -> Result<Option<Package>, &'static str> {
        if !self.is_begun {
            return Ok(None);
        }
        let name = self.name.ok_or("a package without a name")?;
        // Three words: what is wanted, whether there is an error, and how it is.
        let state = match &self.status {
            Some(status) => status
                .split_ascii_whitespace()
                .nth(2)
                .ok_or("a package without a state")?,
            None => "installed",
        };
        let version = match (state, self.version) {
            // Removed, and its settings may be there still.
            ("not-installed" | "config-files", _) => return Ok(None),
            // Its very first installation stopped before it had a version.
            ("half-installed", None) => return Ok(None),
            (
                "installed" | "unpacked" | "half-configured" | "half-installed"
                | "triggers-awaited" | "triggers-pending",
                version,
            ) => version.ok_or("a package without a version")?,
            _ => return Err("a package in an unknown state"),
        };
        let architecture = self
            .architecture
            .ok_or("a package without an architecture")?;
        Ok(Some(Package::new("dpkg", &name, &architecture, &version)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let mut packages = Vec::new();
        read_file(file.path(), &mut packages).map_err(|error| {
            let text = error.to_string();
            text.rsplit(": ").next().unwrap_or_default().to_owned()
        })?;
        let packages = packages.into_iter();
        Ok(packages
            .map(|package| format!("{} {}", package.key, package.version))
            .collect())
    }

    #[test]
    fn a_real_database() {
        let root =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/debian-12-packages");
        let packages = read(&root).unwrap().unwrap();
        let found: Vec<String> = packages
            .iter()
            .map(|package| format!("{} {}", package.key, package.version))
            .collect();
        assert_eq!(
            found,
            [
                "dpkg/adduser:all 3.134",
                "dpkg/libgcc-s1:amd64 12.2.0-14+deb12u1",
                "dpkg/openssl:amd64 3.0.19-1~deb12u2",
            ]
        );
    }

    #[test]
    fn states() {
        let check = |state: &str, expect: Result<usize, &str>| {
            let text = format!(
                "Package: a\nStatus: install ok {state}\nArchitecture: all\nVersion: 1\n\n"
            );
            let found = parse(&text).map(|packages| packages.len());
            assert_eq!(found, expect.map_err(str::to_owned), "{state}");
        };
        for state in [
            "installed",
            "unpacked",
            "half-configured",
            "half-installed",
            "triggers-awaited",
            "triggers-pending",
        ] {
            check(state, Ok(1));
        }
        check("config-files", Ok(0));
        check("not-installed", Ok(0));
        check("", Err("a package without a state"));
        check("levitating", Err("a package in an unknown state"));
    }

    #[test]
    fn forms() {
        let check = |text: &str, expect: Result<&[&str], &str>| {
            let expect = expect.map(|packages| {
                packages
                    .iter()
                    .map(|package| (*package).to_owned())
                    .collect()
            });
            assert_eq!(parse(text), expect.map_err(str::to_owned), "{text}");
        };
        check("", Ok(&[]));
        check("\n\n", Ok(&[]));
        // A distroless file: no state.
        check(
            "Package: tzdata\nVersion: 2024a-0\nArchitecture: all",
            Ok(&["dpkg/tzdata:all 2024a-0"]),
        );
        check(
            "package: a\nVERSION:1\nArchitecture:  all \nStatus: hold ok installed\nDescription: x\n Version: 7\n\tPackage: b\n",
            Ok(&["dpkg/a:all 1"]),
        );
        check("Status: install ok half-installed\nPackage: a\n", Ok(&[]));
        check("Version: 1\n", Err("a package without a name"));
        check(
            "Package: a\nStatus: install ok installed\nVersion: 1\n",
            Err("a package without an architecture"),
        );
        check("not a database", Err("a package without a name"));
    }
}
