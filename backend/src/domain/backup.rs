//! Backups by name: what a file is called, when the next is due, and which are too many.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

/// What every backup is called: this, when it was made in UTC, and an ending.
const PREFIX: &str = "infra-watch-";
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// Ending of a backup.
const PLAIN: &str = ".backup";
/// Ending of one that is encrypted: what the tool `age` calls its files.
const ENCRYPTED: &str = ".backup.age";
/// Ending of one that is being written.
pub const PARTIAL: &str = ".partial";
/// No backup takes so long.
const ABANDONED_AFTER: TimeDelta = TimeDelta::days(1);

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

/// Those of these that were made until now. A clock that was ahead once must neither keep others from being made nor
/// drive them out.
fn made(names: &[String], now: DateTime<Utc>) -> impl Iterator<Item = (DateTime<Utc>, &str)> {
    let made = names
        .iter()
        .filter_map(|name| Some((made_at(name)?, name.as_str())));
    made.filter(move |(made_at, _)| *made_at <= now)
}

/// When the newest of these was made.
pub fn newest(names: &[String], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    made(names, now).map(|(made_at, _)| made_at).max()
}

/// Whether another is due.
pub fn is_due(newest: Option<DateTime<Utc>>, interval: TimeDelta, now: DateTime<Utc>) -> bool {
    newest.is_none_or(|made_at| now - made_at >= interval)
}

/// Which of these are left of backups that broke off so long ago that nobody writes them any more.
pub fn abandoned(names: &[String], now: DateTime<Utc>) -> Vec<&str> {
    let of_ours = |name: &&str| {
        let begun_at = name.strip_suffix(PARTIAL).and_then(made_at);
        begun_at.is_some_and(|begun_at| now - begun_at >= ABANDONED_AFTER)
    };
    names.iter().map(String::as_str).filter(of_ours).collect()
}

/// Which of these are too many when so many are kept: the oldest, and never what is no backup of ours.
pub fn surplus(names: &[String], keep: usize, now: DateTime<Utc>) -> Vec<&str> {
    let mut made: Vec<_> = made(names, now).collect();
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
        let now = at("2026-11-28T07:00:00Z");
        assert_eq!(newest(&names, now), Some(at("2026-11-03T00:00:00Z")));
        assert_eq!(surplus(&names, 3, now), Vec::<&str>::new());
        assert_eq!(
            surplus(&names, 1, now),
            [
                "infra-watch-20261101T000000Z.backup.age",
                "infra-watch-20261102T000000Z.backup"
            ]
        );
        assert_eq!(surplus(&names, 0, now).len(), 3);
    }

    #[test]
    fn a_clock_that_was_ahead_drives_nothing_out() {
        let now = at("2026-11-28T07:00:00Z");
        let names = [
            "infra-watch-20991231T000000Z.backup",
            "infra-watch-20261127T070000Z.backup",
            "infra-watch-20261128T070000Z.backup",
        ]
        .map(str::to_owned);
        assert_eq!(newest(&names, now), Some(now));
        assert_eq!(surplus(&names, 2, now), Vec::<&str>::new());
        assert_eq!(
            surplus(&names, 1, now),
            ["infra-watch-20261127T070000Z.backup"]
        );
    }

    #[test]
    fn what_broke_off_goes_after_a_day() {
        let names = [
            "infra-watch-20261127T070000Z.backup.age.partial",
            "infra-watch-20261127T070001Z.backup.partial",
            "infra-watch-20261101T000000Z.backup",
            "mine.partial",
        ]
        .map(str::to_owned);
        let left = abandoned(&names, at("2026-11-28T07:00:00Z"));
        assert_eq!(left, ["infra-watch-20261127T070000Z.backup.age.partial"]);
    }
}
