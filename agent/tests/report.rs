//! Runs the real binary once and reads what it prints.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may end")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use infra_watch_client::types::Report;

fn agent(state_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_infra-watch-agent"))
        .args(arguments)
        .env_clear()
        .env("INFRA_WATCH_AGENT_STATE_DIR", state_dir)
        .output()
        .unwrap()
}

fn report(state_dir: &Path, arguments: &[&str]) -> (Report, String) {
    let output = agent(state_dir, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (serde_json::from_str(&text).unwrap(), text)
}

/// A report with the snapshot that the one before had too: on a busy machine a tool that is asked for the number of
/// upgrades may not answer in time, and what it said once is kept.
fn settled(mut report: impl FnMut() -> Report) -> Report {
    let mut before = report();
    for _ in 0..5 {
        let next = report();
        if next.snapshot_hash == before.snapshot_hash {
            return next;
        }
        before = next;
    }
    panic!("no two snapshots are the same");
}

#[test]
fn one_report_of_this_machine() {
    let state = tempfile::tempdir().unwrap();
    let (first, text) = report(&state.path().join("new"), &["report"]);
    assert_eq!(text.lines().count(), 1);
    let host = first.host.unwrap();
    assert!(!host.hostname.is_empty() && host.memory_bytes > 0 && host.cpu_count > 0);
    assert_eq!(
        (
            first.interval_seconds.get(),
            first.snapshot_interval_seconds.get()
        ),
        (30, 3600)
    );
    assert_eq!(first.points.len(), 1);
    let value = |metric: &str, instance: Option<&str>| {
        let is_it = |series: &infra_watch_client::types::ReportSeries| {
            series.metric == metric
                && series.instance.as_ref().map(|name| name.as_str()) == instance
        };
        let place = first
            .series
            .iter()
            .position(is_it)
            .unwrap_or_else(|| panic!("no {metric}"));
        first.points[0].values[place].unwrap_or_else(|| panic!("{metric} is null"))
    };
    let check = |metric, instance, range: std::ops::RangeInclusive<f64>| {
        let value = value(metric, instance);
        assert!(range.contains(&value), "{metric} {value}");
    };
    for metric in [
        "cpu_usage_percent",
        "memory_usage_percent",
        "swap_usage_percent",
    ] {
        check(metric, None, 0.0..=100.0);
    }
    check("disk_usage_percent", Some("/"), 0.0..=100.0);
    for metric in ["load1", "load5", "load15"] {
        check(metric, None, 0.0..=10_000.0);
    }
    check("uptime_seconds", None, 1.0..=1e10);
    check("process_count", None, 1.0..=1e7);

    // The identity stays.
    let (second, pretty) = report(&state.path().join("new"), &["report", "--pretty"]);
    assert_eq!(second.host.unwrap().install_id, host.install_id);
    assert!(pretty.lines().count() > 20);
}

#[test]
fn the_snapshot_of_this_machine() {
    let state = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], secret: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_infra-watch-agent"))
            .arg("report")
            .args(arguments)
            .env_clear()
            .env("INFRA_WATCH_AGENT_STATE_DIR", state.path())
            .env("INFRA_WATCH_AGENT_FILES", "/etc/passwd,/etc/group")
            .env("PATH", "/usr/bin:/bin")
            .env("DB_PASSWORD", secret)
            .env("APP_MODE", "fast")
            .env("APP_SECRET", secret)
            // Differs with each start: never compared.
            .env("INVOCATION_ID", secret)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(secret), "{text}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{said}"));
        report
    };
    let first = settled(|| run(&[], "hunter2"));
    let snapshot = first.snapshot.unwrap();
    assert!(snapshot.failed_sections.is_none(), "{snapshot:?}");
    let value = |section: &str, key: &str| snapshot.sections[section][key].as_str().to_owned();
    assert_eq!(value("environment", "PATH"), "/usr/bin:/bin");
    for name in ["APP_MODE", "APP_SECRET", "DB_PASSWORD"] {
        assert!(value("environment", name).starts_with("hmac:"), "{name}");
    }
    assert!(!snapshot.sections["environment"].contains_key("INVOCATION_ID"));
    assert!(!value("os", "kernel").is_empty());
    assert!(value("files", "/etc/passwd").starts_with("sha256:"));

    // The next run, another process, finds the same; a known snapshot is not said again.
    let hash = first.snapshot_hash.unwrap();
    let again = run(&["--known-snapshot", &hash], "hunter2");
    assert_eq!(again.snapshot_hash.unwrap(), hash);
    assert!(again.snapshot.is_none());

    let changed = run(
        &[
            "--known-snapshot",
            &hash,
            "--environment-allow",
            "APP_*",
            "--files",
            "/etc/group",
        ],
        "hunter3",
    );
    let after = changed.snapshot.unwrap();
    let environment = &after.sections["environment"];
    assert_eq!(environment["APP_MODE"].as_str(), "fast");
    for name in ["APP_SECRET", "DB_PASSWORD"] {
        let (before, after) = (value("environment", name), environment[name].as_str());
        assert!(after.starts_with("hmac:") && after != before, "{name}");
    }
    assert_eq!(
        after.sections["files"].keys().collect::<Vec<_>>(),
        ["/etc/group"]
    );
}

#[test]
fn what_is_missing_is_said() {
    let state = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], expect: &str| {
        let output = agent(state.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(expect),
            "{arguments:?}: {said}"
        );
    };
    check(&["run"], "--server is missing");
    check(
        &["run", "--server", "watch.example"],
        "--server is no address",
    );
    check(
        &["run", "--server", "http://127.0.0.1:9"],
        "no token for http://127.0.0.1:9",
    );
    check(
        &[
            "run",
            "--server",
            "https://127.0.0.1:9",
            "--ca-file",
            "/dev/null",
        ],
        "holds no certificates",
    );
    check(&["run", "--interval", "soon"], "not a duration");
    check(&["report", "--since", "yesterday"], "whole Unix seconds");
    check(&["report", "--since=-5"], "whole Unix seconds");
    check(
        &["report", "--known-snapshot", "abc"],
        "64 hexadecimal digits",
    );
    check(
        &["report", "--files", "etc/motd"],
        "--files etc/motd: must be an absolute path",
    );
    check(
        &["report", "--config", "/nowhere.toml"],
        "cannot read /nowhere.toml",
    );
    check(
        &["report", "--host-root", "/nowhere"],
        "--host-root /nowhere: there is no machine",
    );
    check(&["report", "--host-root", "proc"], "there is no machine");
    check(&["health"], "no agent has measured with");
    check(
        &["config", "check", "/nowhere.toml"],
        "cannot read /nowhere.toml",
    );
    check(&["man", "/nowhere"], "No such file or directory");
}

/// What an agent in a container sees of the machine around it.
#[test]
fn a_machine_whose_root_is_elsewhere() {
    let state = tempfile::tempdir().unwrap();
    let machine = tempfile::tempdir().unwrap();
    let root = machine.path();
    std::os::unix::fs::symlink("/proc", root.join("proc")).unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(
        root.join("etc/machine-id"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    fs::write(
        root.join("etc/os-release"),
        "PRETTY_NAME=\"Machine 7\"\nID=machine\n",
    )
    .unwrap();
    fs::write(root.join("etc/environment"), "LANG=C.UTF-8\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_infra-watch-agent"))
        .arg("report")
        .env_clear()
        .env("LC_ALL", "of the container")
        .env("INFRA_WATCH_AGENT_STATE_DIR", state.path())
        .env("INFRA_WATCH_AGENT_HOST_ROOT", root)
        .output()
        .unwrap();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    let host = report.host.unwrap();
    assert_eq!(host.machine_id.as_str(), "0123456789abcdef0123456789abcdef");
    assert_eq!(host.os.as_str(), "Machine 7");
    let sections = report.snapshot.unwrap().sections;
    let names: Vec<&str> = sections["environment"].keys().map(String::as_str).collect();
    assert_eq!(names, ["LANG"]);
}

#[test]
fn settings_manuals_and_completions_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str]| {
        let output = agent(directory.path(), arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let file = directory.path().join("agent.toml");
    fs::write(&file, printed(&["config", "default"])).unwrap();
    assert!(printed(&["config", "check", file.to_str().unwrap()]).ends_with("is valid\n"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            printed(&["completions", shell]).contains("snapshot-interval"),
            "{shell}"
        );
    }
    printed(&["man", directory.path().to_str().unwrap()]);
    for page in ["infra-watch-agent.1", "infra-watch-agent-run.1"] {
        let text = fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(text.starts_with(".ie"), "{page}: {text}");
    }
}

/// A moment that no clock shows for the next centuries.
const FAR_AHEAD: &str = "9999999999";

#[test]
fn points_that_are_known_are_left_out() {
    let state = tempfile::tempdir().unwrap();
    let points = |arguments: &[&str]| report(state.path(), arguments).0.points;
    let first = points(&["report", "--since", "0"]);
    assert_eq!(first.len(), 1);
    // Somewhat ahead, as when the reader's clock is.
    let known = (first[0].at + 200).to_string();
    assert!(points(&["report", "--since", &known]).is_empty());
    // That cannot have been measured here: a clock has jumped.
    assert_eq!(points(&["report", "--since", FAR_AHEAD]).len(), 1);
}

#[test]
fn as_a_forced_command() {
    let state = tempfile::tempdir().unwrap();
    let run = |original: &str, arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_infra-watch-agent"))
            .args(["report", "--state-dir"])
            .arg(state.path())
            .args(arguments)
            .env_clear()
            .env("SSH_ORIGINAL_COMMAND", original)
            .output()
            .unwrap()
    };
    let report = |original: &str, arguments: &[&str]| -> Report {
        let output = run(original, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let elsewhere = state.path().join("elsewhere");
    let original = format!(
        "/tmp/other report --pretty --state-dir {} --files /etc/passwd; rm -rf /",
        elsewhere.display()
    );
    let first = settled(|| report(&original, &[]));
    assert!(!elsewhere.exists());
    let snapshot = first.snapshot.unwrap();
    assert!(!snapshot.sections.contains_key("files"));
    let hash = first.snapshot_hash.unwrap();

    // What is asked for goes before what stands in the command that is forced.
    let other = "0".repeat(64);
    let known = (first.points[0].at + 200).to_string();
    let again = report(
        &format!("infra-watch-agent report --since {known} --known-snapshot {hash}"),
        &["--since", "0", "--known-snapshot", &other],
    );
    assert_eq!(again.snapshot_hash, Some(hash));
    assert!(again.snapshot.is_none() && again.points.is_empty());

    let check = |original: &str, expect: &str| {
        let output = run(original, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{original}: {said}");
        assert!(said.contains(expect), "{original}: {said}");
        assert!(output.stdout.is_empty());
    };
    check("id", "this key may only collect reports");
    check("infra-watch-agent run", "this key may only collect reports");
    check("infra-watch-agent report --since $(id)", "Unix seconds");
}

#[test]
fn without_a_state_directory_there_is_no_identity() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let output = agent(&file.join("state"), &["report"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("no install id"),
        "{said}"
    );
    assert!(report.host.unwrap().install_id.is_none());
    let snapshot = report.snapshot.unwrap();
    assert!(snapshot.failed_sections.is_none(), "{snapshot:?}");
    // An identity that somebody spoilt is no such case.
    fs::write(root.path().join("install-id"), "web-1").unwrap();
    assert!(!agent(root.path(), &["report"]).status.success());
}

#[test]
fn an_identity_that_can_only_be_read_is_read() {
    const NOBODY: u32 = 65_534;
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let identity = report(&state, &["report"]).0.host.unwrap().install_id;
    assert!(identity.is_some());
    // A copy that another user can reach, wherever the build is.
    let binary = root.path().join("agent");
    fs::copy(env!("CARGO_BIN_EXE_infra-watch-agent"), &binary).unwrap();
    for (path, mode) in [
        (root.path().to_owned(), 0o755),
        (binary.clone(), 0o755),
        (state.clone(), 0o555),
        (state.join("install-id"), 0o444),
    ] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(&binary);
    // To root everything can be written.
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command
        .args(["report", "--state-dir"])
        .arg(&state)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(report.host.unwrap().install_id, identity, "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let state = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_infra-watch-agent"))
        .args(["report", "--state-dir"])
        .arg(state.path())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Broken pipe"), "{said}");
}
