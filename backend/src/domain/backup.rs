//! Backups by name: what a file is called, when the next is due, and which are too many.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

/// What every backup is called: this, when it was made in UTC, and an ending.
const PREFIX: &str = "infra-watch-";
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// Ending of a backup.
const PLAIN: &str = ".backup";
/// Ending of one that is encrypted: what the tool `age` calls its files.
const ENCRYPTED: &str = ".backup.age";

/// The name of a backup that is made now.
pub fn file_name(now: DateTime<Utc>, is_encrypted: bool) -> String {
    let ending = if is_encrypted { ENCRYPTED } else { PLAIN };
    format!("{PREFIX}{}{ending}", now.format(TIME))
}

/// When the backup of this name was made; `None` for what is no backup of ours.
pub fn made_at(name: &str) -> Option<DateTime<Utc>> {
    let rest = name.strip_prefix(PREFIX)?;
    let time = rest
        .strip_suffix(ENCRYPTED)
        .or_else(|| rest.strip_suffix(PLAIN))?;
    let time = NaiveDateTime::parse_from_str(time, TIME).ok()?;
    Some(time.and_utc())
}

/// When the newest of these was made.
pub fn newest<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<DateTime<Utc>> {
    names.into_iter().filter_map(made_at).max()
}

/// Whether another is due. One of the future, made by a clock that was ahead, counts for nothing.
pub fn is_due(newest: Option<DateTime<Utc>>, interval: TimeDelta, now: DateTime<Utc>) -> bool {
    newest.is_none_or(|made_at| made_at > now || now - made_at >= interval)
}

/// Which of these are too many when so many are kept: the oldest, and never what is no backup of ours.
pub fn surplus(names: &[String], keep: usize) -> Vec<&str> {
    let mut made: Vec<(DateTime<Utc>, &str)> = names
        .iter()
        .filter_map(|name| Some((made_at(name)?, name.as_str())))
        .collect();
    made.sort_unstable();
    let surplus = made.len().saturating_sub(keep);
    made.into_iter()
        .take(surplus)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_says_when_it_was_made() {
        let now = at("2026-11-28T07:05:09Z");
        for is_encrypted in [false, true] {
            assert_eq!(made_at(&file_name(now, is_encrypted)), Some(now));
        }
        assert_eq!(
            file_name(now, true),
            "infra-watch-20261128T070509Z.backup.age"
        );
        for foreign in [
            "infra-watch-20261128T070509Z.backup.partial",
            "infra-watch-20261328T070509Z.backup",
            "infra-watch-.backup",
            "before-upgrade.backup",
            "lost+found",
        ] {
            assert_eq!(made_at(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn one_is_due_when_the_newest_is_old() {
        let (day, now) = (TimeDelta::days(1), at("2026-11-28T07:00:00Z"));
        let check = |newest: Option<&str>, expect: bool| {
            assert_eq!(is_due(newest.map(at), day, now), expect, "{newest:?}");
        };
        check(None, true);
        check(Some("2026-11-27T07:00:01Z"), false);
        check(Some("2026-11-27T07:00:00Z"), true);
        check(Some("2026-11-29T07:00:00Z"), true);
    }

    #[test]
    fn the_oldest_go_and_nothing_else() {
        let names = [
            "infra-watch-20261103T000000Z.backup",
            "infra-watch-20261101T000000Z.backup.age",
            "notes.txt",
            "infra-watch-20261102T000000Z.backup",
        ]
        .map(str::to_owned);
        assert_eq!(
            newest(names.iter().map(String::as_str)),
            Some(at("2026-11-03T00:00:00Z"))
        );
        assert_eq!(surplus(&names, 3), Vec::<&str>::new());
        assert_eq!(
            surplus(&names, 1),
            [
                "infra-watch-20261101T000000Z.backup.age",
                "infra-watch-20261102T000000Z.backup"
            ]
        );
        assert_eq!(surplus(&names, 0).len(), 3);
    }
}
