//! Lines of a letter that hosts have their say in.

use super::*;
use crate::domain::change;

fn only(section: &str, key: &str, before: Option<&str>, after: Option<&str>) -> Change {
    let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
    change::compare(section, key, before.as_ref(), after.as_ref()).unwrap()
}

#[test]
fn items() {
    let check = |section, key, before, after, expect: &str| {
        assert_eq!(item(&only(section, key, before, after)), expect);
    };
    let openssl = "dpkg/openssl:amd64";
    check(
        "packages",
        openssl,
        Some("3.0.13"),
        Some("3.0.14"),
        "openssl 3.0.13 → 3.0.14 (upgrade)",
    );
    check(
        "packages",
        openssl,
        Some("3.0.14"),
        Some("3.0.13"),
        "openssl 3.0.14 → 3.0.13 (downgrade)",
    );
    check(
        "packages",
        openssl,
        None,
        Some("3.0.14"),
        "openssl 3.0.14 (added)",
    );
    check(
        "packages",
        openssl,
        Some("3.0.14"),
        None,
        "openssl 3.0.14 (removed)",
    );
    check(
        "environment",
        "PATH",
        Some("/bin"),
        Some("/usr/bin"),
        "environment PATH /bin → /usr/bin (changed)",
    );
    check(
        "environment",
        "DB_PASSWORD",
        Some("hmac:01"),
        Some("hmac:02"),
        "environment DB_PASSWORD (changed)",
    );
    check(
        "environment",
        "DB_PASSWORD",
        None,
        Some("hmac:02"),
        "environment DB_PASSWORD (added)",
    );
    check(
        "files",
        "/etc/motd",
        Some("one\ntwo"),
        Some("three\nfour"),
        "files /etc/motd one → three (changed)",
    );
    let long = "9".repeat(1000);
    let cut = format!("os kernel {}… (added)", "9".repeat(64));
    check("os", "kernel", None, Some(&long), &cut);
    let ignored = Change {
        disposition: Disposition::Ignored,
        ..only("os", "kernel", Some("1"), Some("2"))
    };
    assert_eq!(item(&ignored), "os kernel 1 → 2 (changed, ignored)");
}

#[test]
fn a_change_set_names_ten_items_and_counts_the_rest() {
    let check = |count: usize, lines: usize, last: &str| {
        let items = (0..count).map(|key| only("os", &key.to_string(), None, Some("x")));
        let changed = changed(&ChangeSet {
            change_set_id: uuid::Uuid::nil(),
            detected_at: DateTime::UNIX_EPOCH,
            from_snapshot_id: uuid::Uuid::nil(),
            items: items.collect(),
        });
        assert!(
            changed.heading.starts_with("1970-01-01T00:00:00Z  "),
            "{}",
            changed.heading
        );
        assert_eq!(changed.items.len(), lines);
        assert_eq!(changed.items[lines - 1], last);
    };
    check(1, 1, "os 0 x (added)");
    check(10, 10, "os 9 x (added)");
    check(11, 11, "and 1 more");
    check(40, 11, "and 30 more");
}

#[test]
fn what_hosts_say_stays_on_its_line() {
    let check = |text, expect| assert_eq!(one_line(text), expect);
    check("web-1 (/var) → ü", "web-1 (/var) → ü");
    check("a\r\nb\tc\0d", "a  b c d");
    check("a\u{2028}b\u{202e}c\u{2066}d", "a b c d");
}
