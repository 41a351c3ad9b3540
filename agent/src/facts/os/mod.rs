//! What the operating system is, and whether it waits for something: a restart, upgrades.

mod upgrades;

use std::path::Path;

use super::os_release;
use super::packages;
use super::snapshot::Section;
use crate::measure::read_text;

pub use upgrades::Upgrades;

/// Made by packages that want a restart (Debian's and Ubuntu's `reboot-notifier`, `update-notifier`,
/// `unattended-upgrades`).
const REBOOT_REQUIRED: [&str; 2] = ["run/reboot-required", "var/run/reboot-required"];
/// Longest value, in characters.
const MAX_VALUE_CHARS: usize = 256;

/// Reads the facts of the system whose root directory is `root`. What cannot be known is left out.
pub fn read(root: &Path, upgrades: &mut Upgrades) -> Section {
    let mut section = Section::new();
    let mut put = |key: &str, value: Option<String>| {
        let value = value
            .map(|value| clean(&value))
            .filter(|value| !value.is_empty());
        section.extend(value.map(|value| (key.to_owned(), value)));
    };
    let release = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|path| read_text(&root.join(path)))
        .unwrap_or_default();
    let id = os_release::value(&release, "ID");
    put("version_id", os_release::value(&release, "VERSION_ID"));
    put(
        "version_codename",
        os_release::value(&release, "VERSION_CODENAME"),
    );
    put("pretty_name", os_release::pretty_name(&release));
    // Debian's own number says "12" for all of 12.0 to 12.11.
    if id.as_deref() == Some("debian") {
        put(
            "debian_version",
            read_text(&root.join("etc/debian_version")),
        );
    }
    put("id", id);
    let uname = rustix::system::uname();
    put(
        "kernel",
        Some(uname.release().to_string_lossy().into_owned()),
    );
    put(
        "architecture",
        Some(uname.machine().to_string_lossy().into_owned()),
    );
    put(
        "reboot_required",
        is_reboot_required(root).map(|is_required| is_required.to_string()),
    );
    put(
        "pending_upgrades",
        upgrades.count(root).map(|count| count.to_string()),
    );
    section
}

/// None where nothing would say so: the mark is known to Debian and its kin only.
fn is_reboot_required(root: &Path) -> Option<bool> {
    let is_required = REBOOT_REQUIRED.iter().any(|path| root.join(path).exists());
    (is_required || packages::has_dpkg(root)).then_some(is_required)
}

fn clean(value: &str) -> String {
    let characters = value
        .trim()
        .chars()
        .filter(|character| !character.is_control());
    characters.take(MAX_VALUE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn fixture(name: &str) -> Section {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name);
        read(&root, &mut Upgrades::default())
    }

    #[test]
    fn systems() {
        let check = |name: &str, expect: &[(&str, &str)]| {
            let mut found = fixture(name);
            for machine in ["kernel", "architecture"] {
                assert!(!found.remove(machine).unwrap().is_empty());
            }
            let expect = expect
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            assert_eq!(found, expect.collect(), "{name}");
        };
        check(
            "debian-12-packages",
            &[
                ("debian_version", "12.11"),
                ("id", "debian"),
                ("pretty_name", "Debian GNU/Linux 12 (bookworm)"),
                ("reboot_required", "false"),
                ("version_codename", "bookworm"),
                ("version_id", "12"),
            ],
        );
        check("alpine-3.19", &[]);
    }

    #[test]
    fn a_restart_that_is_due() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(is_reboot_required(root.path()), None);
        fs::create_dir_all(root.path().join("var/lib/dpkg")).unwrap();
        fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
        assert_eq!(is_reboot_required(root.path()), Some(false));
        fs::create_dir_all(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/reboot-required"), "").unwrap();
        assert_eq!(is_reboot_required(root.path()), Some(true));
    }
}
