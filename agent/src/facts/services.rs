//! Services of systemd: whether each is enabled, and whether it runs, said so that an idle host says the same each
//! time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::command;
use super::error::FactError;
use super::snapshot::Section;

/// There while systemd is the service manager (`sd_booted(3)`).
const BOOTED: &str = "run/systemd/system";
/// Longest that each of the two questions may take.
const WITHIN: Duration = Duration::from_secs(20);
/// All units that have a file, also those that are not loaded: name and state in columns.
const FILES: [&str; 6] = [
    "list-unit-files",
    "--type=service",
    "--all",
    "--no-legend",
    "--no-pager",
    "--plain",
];
/// All units that are loaded, in blocks of `Property=value`.
const LOADED: [&str; 5] = [
    "show",
    "--all",
    "--no-pager",
    "--property=Id,LoadState,ActiveState,UnitFileState,Type,Result,Transient",
    "*.service",
];
/// What is made for a moment or a login, by the beginning of its name.
const PASSING: [&str; 4] = ["run-", "session-", "user@", "user-runtime-dir@"];

/// Reads the services of the running system.
pub fn read(root: &Path) -> Result<Section, FactError> {
    if !root.join(BOOTED).is_dir() {
        return Err(FactError::Absent(
            "--services was given, and systemd does not run here",
        ));
    }
    let files = command::run("systemctl", &FILES, WITHIN)?.text()?;
    let loaded = command::run("systemctl", &LOADED, WITHIN)?.text()?;
    Ok(section(&files, &loaded))
}

fn section(files: &str, loaded: &str) -> Section {
    let mut section = Section::new();
    for line in files.lines() {
        let mut columns = line.split_ascii_whitespace();
        if let (Some(unit), Some(state)) = (columns.next(), columns.next())
            && !is_passing(unit)
            && state != "alias"
        {
            let state = state.trim_end_matches("-runtime");
            // A template is never run itself.
            let value = if unit.contains("@.") {
                state.to_owned()
            } else {
                format!("{state} {}", at_rest(state))
            };
            section.insert(unit.to_owned(), value);
        }
    }
    for block in loaded.split("\n\n") {
        let unit: BTreeMap<&str, &str> = block
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        if let Some((name, value)) = value(&unit) {
            section.insert(name.to_owned(), value);
        }
    }
    section
}

/// What is told of a loaded unit. None for what passes, and for names that others refer to and nobody has.
fn value<'a>(unit: &BTreeMap<&str, &'a str>) -> Option<(&'a str, String)> {
    let get = |property: &str| unit.get(property).copied().unwrap_or_default();
    let (name, state) = (get("Id"), get("UnitFileState").trim_end_matches("-runtime"));
    let is_instance_of_the_moment = name.contains('@') && state != "enabled";
    let is_there = !matches!(get("LoadState"), "not-found" | "merged" | "stub");
    if name.is_empty()
        || !is_there
        || is_passing(name)
        || is_instance_of_the_moment
        || get("Transient") == "yes"
    {
        return None;
    }
    let has_failed = get("ActiveState") == "failed"
        || (get("ActiveState") == "activating" && !matches!(get("Result"), "success" | ""));
    let active = match get("ActiveState") {
        _ if has_failed => "failed",
        // What runs for a moment is found running or not by chance.
        _ if get("Type") == "oneshot" => "ok",
        _ if at_rest(state) == "ok" => "ok",
        "inactive" | "deactivating" => "inactive",
        _ => "active",
    };
    let state = if state.is_empty() { "unknown" } else { state };
    Some((name, format!("{state} {active}")))
}

/// What is said of a unit that does not run. Those that nobody can enable are started when something asks for them, and
/// end when they have nothing to do: of them only failures are told.
fn at_rest(state: &str) -> &'static str {
    match state {
        "static" | "indirect" => "ok",
        _ => "inactive",
    }
}

fn is_passing(unit: &str) -> bool {
    PASSING.iter().any(|start| unit.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let files = "\
cron.service                 enabled   enabled
ssh.service                  disabled  enabled
sshd.service                 alias     -
getty@.service               enabled   enabled
apt-daily.service            static    -
old.service                  masked    enabled
user@.service                static    -
";
        let unit = |name: &str,
                    load: &str,
                    active: &str,
                    file: &str,
                    kind: &str,
                    result: &str,
                    transient: &str| {
            format!(
                "Type={kind}\nResult={result}\nId={name}.service\nLoadState={load}\nActiveState={active}\nUnitFileState={file}\nTransient={transient}\n"
            )
        };
        let check = |loaded: String, name: &str, expect: Option<&str>| {
            let found = section(files, &loaded);
            assert_eq!(
                found.get(&format!("{name}.service")).map(String::as_str),
                expect,
                "{loaded}"
            );
        };
        let fine = "success";
        check(String::new(), "cron", Some("enabled inactive"));
        check(String::new(), "sshd", None);
        check(String::new(), "user@", None);
        check(String::new(), "apt-daily", Some("static ok"));
        check(String::new(), "old", Some("masked inactive"));
        check(
            unit("cron", "loaded", "active", "enabled", "simple", fine, "no"),
            "cron",
            Some("enabled active"),
        );
        check(
            unit(
                "cron",
                "loaded",
                "reloading",
                "enabled",
                "simple",
                fine,
                "no",
            ),
            "cron",
            Some("enabled active"),
        );
        check(
            unit(
                "cron",
                "loaded",
                "failed",
                "enabled",
                "simple",
                "exit-code",
                "no",
            ),
            "cron",
            Some("enabled failed"),
        );
        // Between two of its restarts.
        check(
            unit(
                "cron",
                "loaded",
                "activating",
                "enabled",
                "simple",
                "exit-code",
                "no",
            ),
            "cron",
            Some("enabled failed"),
        );
        check(
            unit("ssh", "loaded", "active", "disabled", "notify", fine, "no"),
            "ssh",
            Some("disabled active"),
        );
        for active in ["active", "inactive", "activating"] {
            check(
                unit(
                    "apt-daily",
                    "loaded",
                    active,
                    "static",
                    "oneshot",
                    fine,
                    "no",
                ),
                "apt-daily",
                Some("static ok"),
            );
            check(
                unit(
                    "hostnamed",
                    "loaded",
                    active,
                    "static",
                    "notify",
                    fine,
                    "no",
                ),
                "hostnamed",
                Some("static ok"),
            );
            check(
                unit("backup", "loaded", active, "enabled", "oneshot", fine, "no"),
                "backup",
                Some("enabled ok"),
            );
        }
        check(
            unit(
                "apt-daily",
                "loaded",
                "failed",
                "static",
                "oneshot",
                "exit-code",
                "no",
            ),
            "apt-daily",
            Some("static failed"),
        );
        check(
            unit(
                "getty@tty1",
                "loaded",
                "active",
                "enabled",
                "idle",
                fine,
                "no",
            ),
            "getty@tty1",
            Some("enabled active"),
        );
        check(
            unit(
                "sshd@4-10.0.0.1",
                "loaded",
                "active",
                "static",
                "simple",
                fine,
                "no",
            ),
            "sshd@4-10.0.0.1",
            None,
        );
        check(
            unit(
                "run-u12",
                "loaded",
                "active",
                "transient",
                "simple",
                fine,
                "yes",
            ),
            "run-u12",
            None,
        );
        check(
            unit(
                "made",
                "loaded",
                "active",
                "transient",
                "simple",
                fine,
                "yes",
            ),
            "made",
            None,
        );
        check(
            unit("display-manager", "not-found", "inactive", "", "", "", "no"),
            "display-manager",
            None,
        );
        check(
            unit("odd", "loaded", "active", "", "simple", fine, "no"),
            "odd",
            Some("unknown active"),
        );
    }

    #[test]
    fn files_of_a_real_system() {
        let files = include_str!("../../tests/fixtures/debian-12-packages/list-unit-files.txt");
        let section = section(files, "");
        let check = |unit: &str, expect: Option<&str>| {
            assert_eq!(section.get(unit).map(String::as_str), expect, "{unit}");
        };
        check("e2scrub_reap.service", Some("enabled inactive"));
        check("console-getty.service", Some("disabled inactive"));
        check("cryptdisks.service", Some("masked inactive"));
        check("dbus.service", Some("static ok"));
        check("getty@.service", Some("enabled"));
        check("dbus-org.freedesktop.login1.service", None);
        // All but the aliases.
        let aliases = files
            .lines()
            .filter(|line| line.contains(" alias "))
            .count();
        assert_eq!((section.len(), aliases), (24, 7));
    }

    #[test]
    fn without_systemd() {
        let root = tempfile::tempdir().unwrap();
        let error = read(root.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--services was given, and systemd does not run here"
        );
    }
}
