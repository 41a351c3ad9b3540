//! Packages of rpm, asked of its own tool: the database has had three forms, and none of them is documented.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::command::{self, CommandError};
use super::super::error::FactError;
use super::Package;

/// Where the database may be: the newer place, which the older one is a link to on most systems, and the older one.
const DIRECTORIES: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];
/// What it may be: of Berkeley DB, of ndb, of SQLite. Only files decide: the tool may be there without packages.
const FILES: [&str; 3] = ["Packages", "Packages.db", "rpmdb.sqlite"];
/// Longest that the tool may take.
const WITHIN: Duration = Duration::from_secs(20);
/// One package a line, fields separated by tabs.
const FORMAT: &str = "%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\n";

/// The file and the directory of the database, if there is one.
pub fn database(root: &Path) -> Option<(PathBuf, PathBuf)> {
    DIRECTORIES.iter().find_map(|directory| {
        let directory = root.join(directory);
        let file = FILES
            .iter()
            .map(|name| directory.join(name))
            .find(|file| file.is_file())?;
        Some((file, directory))
    })
}

/// All packages. None if rpm's database is not there.
pub fn read(root: &Path) -> Result<Option<Vec<Package>>, FactError> {
    let Some((file, directory)) = database(root) else {
        return Ok(None);
    };
    // The place is always said: Debian's rpm would look into the user's home.
    let arguments: [OsString; 5] = [
        "--dbpath".into(),
        directory.into(),
        "-qa".into(),
        "--queryformat".into(),
        FORMAT.into(),
    ];
    let output = match command::run("rpm", &arguments, WITHIN) {
        Err(CommandError::Missing { .. }) if root != Path::new("/") => {
            return Err(FactError::Absent(
                "there is no rpm where the agent runs: on a host with rpm, install the agent's package",
            ));
        }
        output => output?,
    };
    // With a damaged database it may say so, list less than there is, and end with success.
    if output
        .complaint()
        .lines()
        .any(|line| line.starts_with("error:"))
    {
        return Err(output.failed().into());
    }
    let text = output.text()?;
    let packages: Option<Vec<_>> = text.lines().map(parse).collect();
    let packages =
        packages.ok_or_else(|| FactError::form(&file, "rpm lists it otherwise than was asked"))?;
    Ok(Some(packages.into_iter().flatten().collect()))
}

/// The package of one line; none inside for what is no package.
fn parse(line: &str) -> Option<Option<Package>> {
    let mut fields = line.split('\t');
    let mut field = || fields.next();
    let (name, epoch, version, release, architecture) =
        (field()?, field()?, field()?, field()?, field()?);
    if fields.next().is_some() || name.is_empty() || version.is_empty() {
        return None;
    }
    // Keys for checking packages are kept as if they were packages.
    if name == "gpg-pubkey" {
        return Some(None);
    }
    let version = match epoch {
        "0" | "(none)" => format!("{version}-{release}"),
        epoch => format!("{epoch}:{version}-{release}"),
    };
    Some(Some(Package::new("rpm", name, architecture, &version)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn lines() {
        let check = |line: &str, expect: Option<&str>| {
            let found = parse(line).map(|package| {
                package.map(|package| format!("{} {}", package.key, package.version))
            });
            let found = found.map(Option::unwrap_or_default);
            assert_eq!(found.as_deref(), expect, "{line}");
        };
        check(
            "bash\t0\t5.2.26\t3.fc40\tx86_64",
            Some("rpm/bash:x86_64 5.2.26-3.fc40"),
        );
        check(
            "bind-libs\t32\t9.18\t1.el9\tx86_64",
            Some("rpm/bind-libs:x86_64 32:9.18-1.el9"),
        );
        check("gpg-pubkey\t0\t1\t2\t(none)", Some(""));
        check("bash\t0\t5.2.26\t3.fc40", None);
        check("bash\t0\t5.2.26\t3.fc40\tx86_64\tmore", None);
        check("", None);
    }

    #[test]
    fn a_tool_without_packages_is_no_manager() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/lib/rpm")).unwrap();
        assert!(read(root.path()).unwrap().is_none());
    }

    fn spec(name: &str, version: &str, epoch: &str) -> String {
        format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\n{epoch}Summary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%files\n"
        )
    }

    /// Builds real packages and enters them into a real database.
    #[test]
    fn a_real_database() {
        if Command::new("rpmbuild").arg("--version").output().is_err() {
            println!("skipped: rpmbuild is not installed (Debian's package rpm)");
            return;
        }
        let work = tempfile::tempdir().unwrap();
        let (top, root) = (work.path().join("top"), work.path().join("root"));
        let database = root.join("var/lib/rpm");
        fs::create_dir_all(&database).unwrap();
        fs::create_dir_all(&top).unwrap();
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        for (name, version, epoch) in [
            ("one", "1.0", ""),
            ("two", "2.0", "Epoch: 7\n"),
            ("two", "2.1", "Epoch: 7\n"),
        ] {
            let file = top.join(format!("{name}-{version}.spec"));
            fs::write(&file, spec(name, version, epoch)).unwrap();
            let mut build = Command::new("rpmbuild");
            run(build
                .args(["-bb", "--quiet", "--define"])
                .arg(format!("_topdir {}", top.display()))
                .arg(file));
        }
        let mut install = Command::new("rpm");
        install
            .args(["--install", "--justdb", "--nodeps", "--force", "--dbpath"])
            .arg(&database);
        let built = fs::read_dir(top.join("RPMS/noarch")).unwrap();
        run(install.args(built.map(|file| file.unwrap().path())));

        let packages = super::super::read(&root).unwrap().unwrap();
        let packages: Vec<_> = packages.into_iter().collect();
        let expect = [
            ("rpm/one:noarch", "1.0-1"),
            ("rpm/two:noarch", "7:2.0-1 7:2.1-1"),
        ];
        assert_eq!(
            packages,
            expect.map(|(key, version)| (key.to_owned(), version.to_owned()))
        );

        for file in fs::read_dir(&database).unwrap() {
            fs::write(file.unwrap().path(), vec![b'x'; 9000]).unwrap();
        }
        assert!(
            super::super::read(&root).is_err(),
            "a damaged database is a failure"
        );
    }
}
