//! What differs between two configurations: items by identity without version, and a sentence about them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use infra_watch_rules::glob;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::snapshot::{ENVIRONMENT, FILES, OS, PACKAGES, SERVICES, Sections, is_compared};
use super::version::{self, Scheme};

/// How an item differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is no longer there.
    Removed,
    /// Its value is another.
    Changed,
}

/// Which way a version went, by the ordering of its package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To a later version.
    Upgrade,
    /// To an earlier one.
    Downgrade,
}

/// What a change means to those who watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Nobody said that it was to be.
    #[default]
    Drift,
    /// It fell into a window in which it was expected.
    Expected,
    /// A rule says that it does not matter.
    Ignored,
}

/// One item that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Section.
    pub section: String,
    /// Identity within the section, without version.
    pub key: String,
    /// How it differs.
    pub kind: ChangeKind,
    /// Its value before; a removed item carries its old one.
    pub before: Option<String>,
    /// Its value now.
    pub after: Option<String>,
    /// Which way its version went.
    pub direction: Option<Direction>,
    /// What it means.
    #[serde(default)]
    pub disposition: Disposition,
}

/// What one snapshot of a host changed against the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Identifier: that of the snapshot which showed the change.
    pub change_set_id: Uuid,
    /// When the backend saw it.
    pub detected_at: DateTime<Utc>,
    /// The snapshot before.
    pub from_snapshot_id: Uuid,
    /// The differences, in the order of section and key.
    pub items: Vec<Change>,
}

/// What differs, in the order of section and key. Sections that only one side has are new, or are no longer
/// collected: silent. A section that could not be read must be carried over by the caller.
pub fn diff(before: &Sections, after: &Sections) -> Vec<Change> {
    let mut changes = Vec::new();
    for (section, left) in before {
        let Some(right) = after.get(section) else {
            continue;
        };
        diff_section(section, left, right, &mut changes);
    }
    changes
}

fn diff_section(
    section: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    changes: &mut Vec<Change>,
) {
    let mut push = |key: &String, before: Option<&String>, after: Option<&String>| {
        if is_compared(section, key) {
            changes.extend(compare(section, key, before, after));
        }
    };
    let (mut left, mut right) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some((left, _)), Some((right, _))) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        match order {
            Ordering::Less => {
                if let Some((key, value)) = left.next() {
                    push(key, Some(value), None);
                }
            }
            Ordering::Greater => {
                if let Some((key, value)) = right.next() {
                    push(key, None, Some(value));
                }
            }
            Ordering::Equal => {
                if let (Some((key, old)), Some((_, new))) = (left.next(), right.next())
                    && old != new
                {
                    push(key, Some(old), Some(new));
                }
            }
        }
    }
}

/// One item's difference; `None` when both sides are the same.
pub fn compare(
    section: &str,
    key: &str,
    before: Option<&String>,
    after: Option<&String>,
) -> Option<Change> {
    let kind = match (before, after) {
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
        (Some(before), Some(after)) if before != after => ChangeKind::Changed,
        _ => return None,
    };
    Some(Change {
        section: section.to_owned(),
        key: key.to_owned(),
        kind,
        before: before.cloned(),
        after: after.cloned(),
        direction: direction(section, key, before, after),
        disposition: Disposition::default(),
    })
}

fn direction(
    section: &str,
    key: &str,
    before: Option<&String>,
    after: Option<&String>,
) -> Option<Direction> {
    let scheme = Scheme::of_key(key).filter(|_| section == PACKAGES)?;
    match version::compare_values(scheme, before?, after?)? {
        Ordering::Less => Some(Direction::Upgrade),
        Ordering::Greater => Some(Direction::Downgrade),
        Ordering::Equal => None,
    }
}

/// Most bytes of JSON that a list of changes may have: 20,000 packages fit.
pub const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;
/// What a long value is cut to in a list that is too large, in characters.
const CUT_CHARS: usize = 64;
/// Bytes that an item takes beside its texts.
const ITEM_BYTES: usize = 200;

/// Brings a list of items below `max_bytes` of JSON: long values are cut, and when that is not enough, items are left
/// out at the end. Only a host that means ill comes so far.
pub fn bound<T>(items: &mut Vec<T>, change_of: fn(&mut T) -> &mut Change, max_bytes: usize) {
    let total: usize = items.iter_mut().map(|item| size(change_of(item))).sum();
    if total <= max_bytes {
        return;
    }
    let (mut bytes, mut fitting) = (0, 0);
    for item in items.iter_mut() {
        let change = change_of(item);
        for value in [&mut change.before, &mut change.after]
            .into_iter()
            .flatten()
        {
            *value = cut(value).into_owned();
        }
        bytes += size(change);
        fitting += usize::from(bytes <= max_bytes);
    }
    items.truncate(fitting);
}

/// Bytes of JSON that a change can take at most: a character may take two.
fn size(change: &Change) -> usize {
    let length = |value: &Option<String>| value.as_ref().map_or(0, String::len);
    let values = length(&change.before) + length(&change.after);
    2 * (change.section.len() + change.key.len() + values) + ITEM_BYTES
}

/// The first line of a value, cut to what fits into a sentence.
pub fn cut(value: &str) -> Cow<'_, str> {
    let line = value.lines().next().unwrap_or_default();
    match line.char_indices().nth(CUT_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", line.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(line),
    }
}

/// The name by which people know a key: `dpkg/openssl:amd64` is `openssl`.
pub fn short_name<'a>(section: &str, key: &'a str) -> &'a str {
    if section != PACKAGES {
        return key;
    }
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    name.rsplit_once(':').map_or(name, |(name, _)| name)
}

/// Whether a key is meant by `wanted`: the whole key, a pattern of it, or the name by which people know it.
pub fn is_meant(section: &str, key: &str, wanted: &str) -> bool {
    if glob::is_pattern(wanted) {
        glob::matches(wanted, key) || glob::matches(wanted, short_name(section, key))
    } else {
        key == wanted || short_name(section, key) == wanted
    }
}

/// Whether a value is meant by `wanted`: all of it, or a pattern of it.
pub fn is_value_meant(value: &str, wanted: &str) -> bool {
    value == wanted || glob::matches(wanted, value)
}

/// A change set in one line, such as `41 packages upgraded, kernel 6.1.0-28 → 6.1.0-31, reboot required`.
pub fn summary(changes: &[Change]) -> String {
    let mut parts = Vec::new();
    let of = |section: &'static str| changes.iter().filter(move |item| item.section == section);
    let packages = |kind, direction| {
        of(PACKAGES).filter(move |item| item.kind == kind && item.direction == direction)
    };
    for (items, verb) in [
        (
            packages(ChangeKind::Changed, Some(Direction::Upgrade)).collect(),
            "upgraded",
        ),
        (
            packages(ChangeKind::Changed, Some(Direction::Downgrade)).collect(),
            "downgraded",
        ),
        (packages(ChangeKind::Changed, None).collect(), "changed"),
        (packages(ChangeKind::Added, None).collect(), "installed"),
        (packages(ChangeKind::Removed, None).collect(), "removed"),
    ] {
        parts.extend(count(&items, "package", verb));
    }
    parts.extend(of(OS).take(NAMED_FACTS).map(system_part));
    match of(OS).count().saturating_sub(NAMED_FACTS) {
        0 => {}
        more => parts.push(format!("{more} more facts of the system changed")),
    }
    for (section, noun) in [
        (ENVIRONMENT, "variable"),
        (SERVICES, "service"),
        (FILES, "file"),
    ] {
        for (kind, verb) in VERBS {
            let items = of(section).filter(|item| item.kind == kind).collect();
            parts.extend(count(&items, noun, verb));
        }
    }
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    let known = [PACKAGES, OS, ENVIRONMENT, SERVICES, FILES];
    for item in changes {
        if !known.contains(&item.section.as_str()) {
            *others.entry(&item.section).or_default() += 1;
        }
    }
    for (section, items) in others {
        let plural = if items == 1 { "" } else { "s" };
        parts.push(format!("{items} item{plural} of {section} changed"));
    }
    parts.join(", ")
}

/// Facts of the system that a summary names.
const NAMED_FACTS: usize = 4;
const VERBS: [(ChangeKind, &str); 3] = [
    (ChangeKind::Changed, "changed"),
    (ChangeKind::Added, "added"),
    (ChangeKind::Removed, "removed"),
];

/// A single item is named, more are counted.
fn count(items: &Vec<&Change>, noun: &str, verb: &str) -> Option<String> {
    match items.as_slice() {
        [] => None,
        [item] => {
            let name = cut(short_name(&item.section, &item.key));
            let mut text = if item.section == PACKAGES {
                name.into_owned()
            } else {
                format!("{noun} {name}")
            };
            // A value of many characters, or a keyed hash, says nothing in a sentence.
            if item.section == PACKAGES || item.section == SERVICES {
                // Writing into a String cannot fail.
                let _ = match (&item.before, &item.after) {
                    (Some(before), Some(after)) => {
                        write!(text, " {} → {}", cut(before), cut(after))
                    }
                    (Some(value), None) | (None, Some(value)) => write!(text, " {}", cut(value)),
                    (None, None) => Ok(()),
                };
            }
            Some(format!("{text} {verb}"))
        }
        items => Some(format!("{} {noun}s {verb}", items.len())),
    }
}

fn system_part(item: &Change) -> String {
    let key = cut(&item.key);
    match (key.as_ref(), item.before.as_deref(), item.after.as_deref()) {
        ("reboot_required", _, Some("true")) => "reboot required".to_owned(),
        ("reboot_required", Some("true"), _) => "no reboot required any more".to_owned(),
        (key, Some(before), Some(after)) => format!("{key} {} → {}", cut(before), cut(after)),
        (key, None, Some(after)) => format!("{key} {}", cut(after)),
        (key, ..) => format!("{key} removed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(json: &str) -> Sections {
        serde_json::from_str(json).unwrap()
    }

    /// The changes of `before` to `after` as lines `kind section/key before after direction`.
    fn lines(before: &str, after: &str) -> Vec<String> {
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        diff(&sections(before), &sections(after))
            .iter()
            .map(|item| {
                format!(
                    "{:?} {}/{} {} {} {:?}",
                    item.kind,
                    item.section,
                    item.key,
                    word(&item.before),
                    word(&item.after),
                    item.direction
                )
            })
            .collect()
    }

    #[test]
    fn one_change_one_line() {
        fn check(before: &str, after: &str, expect: &[&str]) {
            assert_eq!(lines(before, after), expect);
        }
        let openssl = |version| format!(r#"{{"packages":{{"dpkg/openssl:amd64":"{version}"}}}}"#);
        check(&openssl("3.0.13-1"), &openssl("3.0.13-1"), &[]);
        check(
            &openssl("3.0.9-1"),
            &openssl("3.0.14-1"),
            &["Changed packages/dpkg/openssl:amd64 3.0.9-1 3.0.14-1 Some(Upgrade)"],
        );
        check(
            &openssl("3.0.14-1"),
            &openssl("3.0.14-1~deb12u2"),
            &["Changed packages/dpkg/openssl:amd64 3.0.14-1 3.0.14-1~deb12u2 Some(Downgrade)"],
        );
        check(
            r#"{"packages":{"dpkg/a:all":"1","dpkg/c:all":"3"}}"#,
            r#"{"packages":{"dpkg/b:all":"2","dpkg/c:all":"3"}}"#,
            &[
                "Removed packages/dpkg/a:all 1 - None",
                "Added packages/dpkg/b:all - 2 None",
            ],
        );
        // A kernel beside the one that was there.
        check(
            r#"{"packages":{"rpm/kernel:x86_64":"5.14.0-1.el9"}}"#,
            r#"{"packages":{"rpm/kernel:x86_64":"5.14.0-1.el9 5.14.0-2.el9"}}"#,
            &[
                "Changed packages/rpm/kernel:x86_64 5.14.0-1.el9 5.14.0-1.el9 5.14.0-2.el9 Some(Upgrade)",
            ],
        );
        check(
            r#"{"environment":{"A":"hmac:1"}}"#,
            r#"{"environment":{"A":"hmac:2"}}"#,
            &["Changed environment/A hmac:1 hmac:2 None"],
        );
    }

    #[test]
    fn what_is_silent() {
        let check = |before, after| assert_eq!(lines(before, after), Vec::<String>::new());
        // A new section, one that is no longer collected, and what is never compared.
        check(
            r#"{"os":{"id":"debian"}}"#,
            r#"{"os":{"id":"debian"},"files":{"/etc/a":"sha256:1"}}"#,
        );
        check(
            r#"{"os":{"id":"debian"},"files":{"/etc/a":"sha256:1"}}"#,
            r#"{"os":{"id":"debian"}}"#,
        );
        check(
            r#"{"os":{"pending_upgrades":"1"},"environment":{"SSH_TTY":"a","PWD":"/"}}"#,
            r#"{"os":{"pending_upgrades":"41"},"environment":{"PWD":"/tmp"}}"#,
        );
    }

    #[test]
    fn summaries() {
        let check = |before, after, expect: &str| {
            assert_eq!(summary(&diff(&sections(before), &sections(after))), expect);
        };
        check(
            r#"{"packages":{"dpkg/a:all":"1","dpkg/b:all":"1"},"os":{"kernel":"6.1.0-28","reboot_required":"false"}}"#,
            r#"{"packages":{"dpkg/a:all":"2","dpkg/b:all":"2"},"os":{"kernel":"6.1.0-31","reboot_required":"true"}}"#,
            "2 packages upgraded, kernel 6.1.0-28 → 6.1.0-31, reboot required",
        );
        check(
            r#"{"packages":{"dpkg/openssl:amd64":"3.0.13"}}"#,
            r#"{"packages":{"dpkg/openssl:amd64":"3.0.14"}}"#,
            "openssl 3.0.13 → 3.0.14 upgraded",
        );
        check(
            r#"{"packages":{"dpkg/a:all":"1"},"environment":{"X":"hmac:1"},"custom":{"k":"1"}}"#,
            r#"{"packages":{},"environment":{"X":"hmac:2","Y":"1"},"custom":{"k":"2"}}"#,
            "a 1 removed, variable X changed, variable Y added, 1 item of custom changed",
        );
        check(r#"{"os":{}}"#, r#"{"os":{}}"#, "");
        check(
            r#"{"os":{"reboot_required":"true"}}"#,
            r#"{"os":{"reboot_required":"false"}}"#,
            "no reboot required any more",
        );
        // What a host sends cannot make it long.
        check(
            r#"{"os":{}}"#,
            r#"{"os":{"a":"1\n2","b":"1","c":"1","d":"1","e":"1","f":"1"}}"#,
            "a 1, b 1, c 1, d 1, 2 more facts of the system changed",
        );
        let long = format!(r#"{{"packages":{{"dpkg/x:all":"{}"}}}}"#, "9".repeat(1000));
        check(
            r#"{"packages":{}}"#,
            &long,
            &format!("x {}… installed", "9".repeat(64)),
        );
    }

    #[test]
    fn a_list_is_bounded() {
        let item = |value: &str| Change {
            section: "packages".to_owned(),
            key: "dpkg/x:all".to_owned(),
            kind: ChangeKind::Added,
            before: None,
            after: Some(value.to_owned()),
            direction: None,
            disposition: Disposition::Drift,
        };
        let check = |value: &str, max_bytes, expect: (usize, usize)| {
            let mut items = vec![item(value); 10];
            bound(&mut items, |item| item, max_bytes);
            let length = items[0].after.as_ref().unwrap().chars().count();
            assert_eq!((items.len(), length), expect);
        };
        let long = "v".repeat(1000);
        check(&long, 100_000, (10, 1000));
        check(&long, 10_000, (10, 65));
        check(&long, 2_000, (5, 65));
    }
}
