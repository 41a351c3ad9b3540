//! Tests of whole snapshots: an idle host is still, and no secret leaves it in any form.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;

use super::*;
use crate::report::{Columns, Mention, Sender};

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
/// Planted wherever the agent reads; with signs that encodings treat each in its own way.
const SECRET: &str = "hunter2/+ =&%correct-horse";

fn facts(root: &Path, own: &[(&str, &str)], files: Files) -> Facts {
    let own = own
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = Environment {
        own: own.collect(),
        allow: vec!["*".to_owned()],
        key: Some(Key::from_bytes(KEY)),
    };
    Facts::new(root, Path::new("/nowhere"), environment, files, false)
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn report(snapshot: &Snapshot) -> String {
    let sender = Sender {
        install_id: None,
        interval_seconds: NonZeroU32::MIN,
        snapshot_interval_seconds: NonZeroU32::MIN,
    };
    let report = sender.report(Columns::default(), None, Mention::Whole(snapshot), 0);
    serde_json::to_string(&report.unwrap()).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let bits = (u32::from(group[0]) << 16) | (u32::from(group[1]) << 8) | u32::from(group[2]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(DIGITS[(bits >> shift) as usize & 63]));
        }
    }
    text
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[test]
fn two_scans_of_this_idle_machine_are_equal() {
    let root = Path::new("/");
    let files = Files {
        hashed: vec!["/etc/pass*".to_owned()],
        shown: vec!["/etc/os-release".to_owned()],
    };
    let take = |now| facts(root, &[("PATH", "/bin")], files.clone()).take(now);
    let (first, second) = (take(1), take(2));
    assert_eq!(first.sections, second.sections);
    assert_eq!(first.hash, second.hash);
    assert_eq!(first.failed, BTreeMap::new());
    assert_eq!(
        first.sections["os"]["kernel"],
        rustix::system::uname().release().to_string_lossy()
    );
    assert!(first.sections["files"].contains_key("/etc/passwd"));
}

#[test]
fn no_secret_leaves_in_any_form() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let url = format!("https://me:{SECRET}@example.org/");
    put(
        root,
        "etc/environment",
        &format!("DB_PASSWORD='{SECRET}'\nAPP_MODE={url}\n"),
    );
    put(
        root,
        "etc/default/app",
        &format!("API_TOKEN=\"{SECRET}\"\nPROXY={url}\nLISTING='a\n{SECRET}'\n"),
    );
    put(root, "etc/app.conf", &format!("password = {SECRET}\n"));
    put(root, "etc/app.env", &format!("port = 1\nurl = {url}\n"));
    let own = [
        ("SESSION", SECRET),
        ("PATH", &url),
        ("PAGER", &format!("x\n{SECRET}")),
    ];
    let files = Files {
        hashed: vec!["/etc/environment".to_owned()],
        shown: vec![
            "/etc/**".to_owned(),
            "/etc/*".to_owned(),
            "/etc/default/*".to_owned(),
        ],
    };
    let snapshot = facts(root, &own, files).take(0);
    assert_eq!(snapshot.failed, BTreeMap::new());
    assert_eq!(snapshot.sections["files"].len(), 4);
    for name in [
        "DB_PASSWORD",
        "APP_MODE",
        "API_TOKEN",
        "PROXY",
        "SESSION",
        "PATH",
        "PAGER",
    ] {
        assert!(
            snapshot.sections["environment"][name].starts_with("hmac:"),
            "{name}"
        );
    }
    let report = report(&snapshot);
    let reversed: String = SECRET.chars().rev().collect();
    let mut forms = vec![
        SECRET.to_owned(),
        reversed,
        percent(SECRET),
        hex(SECRET.as_bytes()),
        hex(&KEY),
    ];
    // In base64 the digits depend on where in a group of three the secret begins.
    forms.extend((0..3).map(|start| base64(&SECRET.as_bytes()[start..])));
    // As JSON writes it, and its half that needs no writing otherwise.
    forms.extend([
        serde_json::to_string(SECRET).unwrap(),
        "correct-horse".to_owned(),
        "hunter2".to_owned(),
    ]);
    for form in forms {
        assert!(!report.contains(&form), "{form}");
        assert!(
            !report.to_lowercase().contains(&form.to_lowercase()),
            "{form}"
        );
    }
}

#[test]
fn one_changed_secret_is_one_changed_item() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    put(root, "etc/environment", "DB_PASSWORD=one\nOTHER=x\n");
    let take = || facts(root, &[("HOME", "/root")], Files::default()).take(0);
    let before = take();
    // A restart changes nothing.
    assert_eq!(take(), before);
    put(root, "etc/environment", "DB_PASSWORD=two\nOTHER=x\n");
    let after = take();
    assert_ne!(after.hash, before.hash);
    let changed = after.sections.iter().flat_map(|(section, items)| {
        let before = &before.sections[section];
        items
            .iter()
            .filter(move |(key, value)| before.get(*key) != Some(value))
    });
    assert_eq!(
        changed.map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
        ["DB_PASSWORD"]
    );
}

#[test]
fn a_source_that_fails_leaves_its_section_out() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    put(root, "var/lib/dpkg/status", "nonsense\n");
    let snapshot = facts(root, &[], Files::default()).take(0);
    assert_eq!(
        snapshot.sections.keys().collect::<Vec<_>>(),
        ["environment", "os"]
    );
    assert!(
        snapshot.failed["packages"].contains("unknown form"),
        "{:?}",
        snapshot.failed
    );
    put(root, "var/lib/dpkg/status", "");
    let snapshot = facts(root, &[], Files::default()).take(0);
    assert!(snapshot.sections["packages"].is_empty() && snapshot.failed.is_empty());
}

#[test]
fn a_collector_that_breaks_off_costs_no_other() {
    let mut collected = Vec::new();
    collect(&mut collected, "a", || panic!("a fault"));
    collect(&mut collected, "b", || Ok(Some(Section::new())));
    collect(&mut collected, "c", || Ok(None));
    let snapshot = Snapshot::new(0, collected);
    assert!(snapshot.failed["a"].starts_with("the collector broke off"));
    assert_eq!(snapshot.sections.keys().collect::<Vec<_>>(), ["b"]);
}
