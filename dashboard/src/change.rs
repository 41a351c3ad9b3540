//! Changes as people read them: what an item is called, what its values say, which changes belong together. Pure
//! functions over the client's changes.

use infra_watch_client::types::{Change, ChangeDirection, ChangeKind, ChangeSet, Drift};

use crate::format;
use crate::loaded::Shared;

/// The sections that agents read, and what one item of each is called.
const SECTIONS: [(&str, &str); 5] = [
    ("packages", "package"),
    ("os", "system fact"),
    ("services", "service"),
    ("files", "file"),
    ("environment", "variable"),
];
/// As many changes are read at a glance; more are put together.
const AT_A_GLANCE: usize = 8;
/// A group of so few is not worth folding.
const UNFOLDED: usize = 3;
/// Digits of a hash that tell two apart.
const HASH_DIGITS: usize = 8;

/// A change set, its changes apart from it, so that who only shows those need not hold the rest.
pub struct Set {
    /// Everything but the changes.
    pub head: ChangeSet,
    /// The changes.
    pub changes: Shared<Vec<Change>>,
}

impl From<ChangeSet> for Set {
    fn from(mut head: ChangeSet) -> Self {
        let changes = Shared::new(std::mem::take(&mut head.items));
        Self { head, changes }
    }
}

/// The names of the sections that agents read.
pub fn sections() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(section, _)| *section)
}

/// What differs from a baseline, as a change from it.
pub fn of_drift(drift: &Drift) -> Change {
    Change {
        section: drift.section.clone(),
        key: drift.key.clone(),
        kind: drift.kind,
        before: drift.baseline.clone(),
        after: drift.current.clone(),
        direction: drift.direction,
        disposition: drift.disposition,
    }
}

/// The name by which people know an item, and what else is in its key: `openssl`, `dpkg amd64`.
pub fn name(section: &str, key: &str) -> (String, String) {
    if section != SECTIONS[0].0 {
        return (key.to_owned(), String::new());
    }
    let (manager, name) = key.split_once('/').unwrap_or(("", key));
    let (name, architecture) = name.rsplit_once(':').unwrap_or((name, ""));
    let rest = format!("{manager} {architecture}").trim().to_owned();
    (name.to_owned(), rest)
}

/// A value on one line: hashes are cut to what tells two apart, and of a text its length is said.
pub fn value(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let cut = |hash: &str| hash.chars().take(HASH_DIGITS).collect::<String>();
    let first = match first.split_once(':') {
        Some(("hmac", hash)) => format!("hidden #{}", cut(hash)),
        Some(("sha256", hash)) => format!("sha256 {}", cut(hash)),
        _ => first.to_owned(),
    };
    match lines.count() {
        0 => first,
        more => format!("{first}, {}", format::count(more, "line")),
    }
}

/// Both values as they are shown beside each other: of two texts, what differs between them.
pub fn both(before: &str, after: &str) -> (String, String) {
    let has_lines = |text: &str| text.contains('\n');
    if !has_lines(before) || !has_lines(after) {
        return (value(before), value(after));
    }
    // The first line is the text's hash.
    let only_in = |text: &str, other: &str| {
        let only: Vec<String> = text
            .lines()
            .skip(1)
            .filter(|line| !other.lines().skip(1).any(|known| known == *line))
            .map(|line| line.trim().to_owned())
            .collect();
        match only.as_slice() {
            [] => format::NOTHING.to_owned(),
            [line] => line.clone(),
            lines => format::count(lines.len(), "line"),
        }
    };
    match (only_in(before, after), only_in(after, before)) {
        // Lines changed their places alone.
        (gone, new) if gone == new => (value(before), value(after)),
        both => both,
    }
}

/// Changes that are shown together.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// What they have in common; nothing for changes that are shown one by one.
    pub title: Option<String>,
    /// Their places.
    pub places: Vec<usize>,
}

/// A few changes stay one by one; of many, those that are alike stand behind one line.
pub fn groups(changes: &[Change]) -> Vec<Group> {
    if changes.len() <= AT_A_GLANCE {
        return vec![Group {
            title: None,
            places: (0..changes.len()).collect(),
        }];
    }
    let mut groups: Vec<Group> = Vec::new();
    let what = |place: usize| {
        let change: &Change = &changes[place];
        (&change.section, change.kind, change.direction)
    };
    for place in 0..changes.len() {
        let is_alike = |group: &&mut Group| what(group.places[0]) == what(place);
        match groups.iter_mut().find(is_alike) {
            Some(group) => group.places.push(place),
            None => groups.push(Group {
                title: None,
                places: vec![place],
            }),
        }
    }
    for group in &mut groups {
        let count = group.places.len();
        group.title = (count > UNFOLDED).then(|| title(count, &changes[group.places[0]]));
    }
    groups
}

/// Many changes like this one, in words.
fn title(count: usize, change: &Change) -> String {
    let section = change.section.as_str();
    let noun = SECTIONS.iter().find(|(known, _)| *known == section);
    let what = noun.map_or_else(
        || format!("{} of {section}", format::count(count, "item")),
        |(_, noun)| format::count(count, noun),
    );
    let verb = match (change.direction, change.kind) {
        (Some(ChangeDirection::Upgrade), _) => "upgraded",
        (Some(ChangeDirection::Downgrade), _) => "downgraded",
        (None, ChangeKind::Added) if section == SECTIONS[0].0 => "installed",
        (None, ChangeKind::Added) => "added",
        (None, ChangeKind::Removed) => "removed",
        (None, ChangeKind::Changed) => "changed",
    };
    format!("{what} {verb}")
}

/// What the API is asked for when this is typed to find keys: a part of a name, unless it is a pattern already.
pub fn key_pattern(text: &str) -> Option<String> {
    let text = text.trim();
    match text {
        "" => None,
        _ if text.contains(['*', '?']) => Some(text.to_owned()),
        _ => Some(format!("*{text}*")),
    }
}

#[cfg(test)]
mod tests {
    use infra_watch_client::types::Disposition;

    use super::*;

    fn change(section: &str, key: &str, direction: Option<ChangeDirection>) -> Change {
        Change {
            section: section.to_owned(),
            key: key.to_owned(),
            kind: ChangeKind::Changed,
            before: Some("1".to_owned()),
            after: Some("2".to_owned()),
            direction,
            disposition: Disposition::Drift,
        }
    }

    #[test]
    fn names() {
        let check = |section, key, expect: (&str, &str)| {
            let (name, rest) = name(section, key);
            assert_eq!((name.as_str(), rest.as_str()), expect);
        };
        check("packages", "dpkg/openssl:amd64", ("openssl", "dpkg amd64"));
        check("packages", "apk/musl", ("musl", "apk"));
        check("packages", "odd", ("odd", ""));
        check("files", "/etc/motd", ("/etc/motd", ""));
    }

    #[test]
    fn values_on_one_line() {
        assert_eq!(value("3.0.13-1"), "3.0.13-1");
        assert_eq!(value("hmac:4f09c1aabbccdd"), "hidden #4f09c1aa");
        assert_eq!(
            value("sha256:0123456789abcdef\none\ntwo"),
            "sha256 01234567, 2 lines"
        );
        assert_eq!(value("http://a:1"), "http://a:1");
        assert_eq!(value(""), "");
    }

    #[test]
    fn of_texts_the_lines_that_differ() {
        let check = |before, after, expect: (&str, &str)| {
            let (gone, new) = both(before, after);
            assert_eq!((gone.as_str(), new.as_str()), expect);
        };
        check("1", "2", ("1", "2"));
        check(
            "sha256:1\nPort 22\nPermitRootLogin no",
            "sha256:2\nPort 22\nPermitRootLogin yes",
            ("PermitRootLogin no", "PermitRootLogin yes"),
        );
        check("sha256:1\na", "sha256:2\na\nb\nc", ("–", "2 lines"));
        check(
            "sha256:1\na\nb",
            "sha256:2\nb\na",
            ("sha256 1, 2 lines", "sha256 2, 2 lines"),
        );
    }

    #[test]
    fn many_alike_are_one_line() {
        let upgrade = Some(ChangeDirection::Upgrade);
        let few: Vec<_> = (0..8)
            .map(|number| change("packages", &format!("dpkg/{number}"), upgrade))
            .collect();
        assert_eq!(groups(&few).len(), 1);
        assert_eq!(groups(&few)[0].title, None);

        let mut many: Vec<_> = (0..41)
            .map(|number| change("packages", &format!("dpkg/{number}"), upgrade))
            .collect();
        many.insert(5, change("os", "kernel", None));
        many.extend((0..4).map(|number| change("custom", &number.to_string(), None)));
        let groups = groups(&many);
        let titles: Vec<_> = groups.iter().map(|group| group.title.as_deref()).collect();
        assert_eq!(
            titles,
            [
                Some("41 packages upgraded"),
                None,
                Some("4 items of custom changed")
            ]
        );
        assert_eq!(groups[1].places, [5]);
        assert_eq!(
            groups.iter().map(|group| group.places.len()).sum::<usize>(),
            many.len()
        );
    }

    #[test]
    fn what_is_typed_is_a_part_of_a_key() {
        assert_eq!(key_pattern(" "), None);
        assert_eq!(key_pattern("ssl").as_deref(), Some("*ssl*"));
        assert_eq!(key_pattern("dpkg/lib*").as_deref(), Some("dpkg/lib*"));
    }
}
