//! What a reader of reports asks for: the points after a moment, and the snapshot unless it has that already.

use thiserror::Error;

use crate::facts::Snapshot;
use crate::report::Mention;

/// A moment that lies further ahead than this, in seconds, is none that was measured: a clock has jumped.
const MAX_AHEAD_SECONDS: i64 = 300;
/// Digits of a snapshot's hash.
const HASH_DIGITS: usize = 64;

/// Why it is not known what is asked for. What was sent is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AskedError {
    /// Not a time.
    #[error("since must be a time in whole Unix seconds")]
    Since,
    /// Not a hash.
    #[error("a known snapshot must be a hash of 64 hexadecimal digits")]
    KnownSnapshot,
    /// Something is said twice.
    #[error("each parameter may be given once")]
    Twice,
    /// Something else is asked for.
    #[error("the only parameters are since and known_snapshot")]
    Unknown,
    /// A key that may do one thing is used for another.
    #[error("this key may only collect reports")]
    NotReport,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The reader has the points up to this moment, in Unix seconds.
    pub since: Option<i64>,
    /// The reader has the snapshot with this hash.
    pub known_snapshot: Option<String>,
}

impl Asked {
    /// What the query of an address asks for.
    pub fn of_query(query: &str) -> Result<Self, AskedError> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("since", value) => once(&mut asked.since, since(value)?)?,
                ("known_snapshot", value) => once(&mut asked.known_snapshot, hash(value)?)?,
                _ => return Err(AskedError::Unknown),
            }
        }
        Ok(asked)
    }

    /// What the command asks for that somebody wanted to run over SSH with a key that may only collect reports. It is
    /// not run: two options are taken from behind the word `report`, and nothing else in it matters.
    pub fn of_command(command: &str) -> Result<Self, AskedError> {
        let mut words = command.split_ascii_whitespace();
        if !words.any(|word| word == "report") {
            return Err(AskedError::NotReport);
        }
        let mut asked = Self::default();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, None),
            };
            let mut value = || value.or_else(|| words.next()).unwrap_or_default();
            match option {
                "--since" => once(&mut asked.since, since(value())?)?,
                "--known-snapshot" => once(&mut asked.known_snapshot, hash(value())?)?,
                _ => {}
            }
        }
        Ok(asked)
    }

    /// This, and where it is silent the other.
    pub fn or(self, other: Self) -> Self {
        Self {
            since: self.since.or(other.since),
            known_snapshot: self.known_snapshot.or(other.known_snapshot),
        }
    }

    /// From when on points are asked for at `now`, if that is said and can be true.
    pub fn since(&self, now: i64) -> Option<i64> {
        self.since
            .filter(|since| *since <= now.saturating_add(MAX_AHEAD_SECONDS))
    }

    /// What to say of this snapshot.
    pub fn mention<'a>(&self, snapshot: &'a Snapshot) -> Mention<'a> {
        if self.known_snapshot.as_ref() == Some(&snapshot.hash) {
            Mention::Hash(&snapshot.hash)
        } else {
            Mention::Whole(snapshot)
        }
    }
}

/// A moment in whole Unix seconds.
pub fn since(text: &str) -> Result<i64, AskedError> {
    // `parse` alone would take a sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| is_number)
        .ok_or(AskedError::Since)
}

/// A snapshot's hash, in lower case.
pub fn hash(text: &str) -> Result<String, AskedError> {
    let is_hash = text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash
        .then(|| text.to_ascii_lowercase())
        .ok_or(AskedError::KnownSnapshot)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), AskedError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(AskedError::Twice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// What is asked for in short: since, and whether a snapshot is known.
    fn short(asked: Result<Asked, AskedError>) -> Result<(Option<i64>, bool), AskedError> {
        asked.map(|asked| (asked.since, asked.known_snapshot.is_some()))
    }

    #[test]
    fn queries() {
        let check = |query: &str, expect: Result<(Option<i64>, bool), AskedError>| {
            let query = query.replace("HASH", HASH);
            assert_eq!(short(Asked::of_query(&query)), expect, "{query}");
        };
        check("", Ok((None, false)));
        check("since=5", Ok((Some(5), false)));
        check("since=5&known_snapshot=HASH", Ok((Some(5), true)));
        check("known_snapshot=HASH", Ok((None, true)));
        check("since=0", Ok((Some(0), false)));
        for since in [
            "",
            "x",
            "-5",
            "+5",
            "5.0",
            "%35",
            "5 ",
            "99999999999999999999",
        ] {
            check(&format!("since={since}"), Err(AskedError::Since));
        }
        check("since", Err(AskedError::Since));
        check("known_snapshot=HASH0", Err(AskedError::KnownSnapshot));
        check("known_snapshot=", Err(AskedError::KnownSnapshot));
        check(
            &format!("known_snapshot={}", "g".repeat(64)),
            Err(AskedError::KnownSnapshot),
        );
        check("since=5&since=5", Err(AskedError::Twice));
        check("until=5", Err(AskedError::Unknown));
        check("since=5&", Err(AskedError::Unknown));
        check("&", Err(AskedError::Unknown));
        check("Since=5", Err(AskedError::Unknown));
    }

    #[test]
    fn commands() {
        let check = |command: &str, expect: Result<(Option<i64>, bool), AskedError>| {
            let command = command.replace("HASH", HASH);
            assert_eq!(short(Asked::of_command(&command)), expect, "{command}");
        };
        check("infra-watch-agent report", Ok((None, false)));
        check(
            "/usr/bin/infra-watch-agent report --state-dir /s --since 5 --known-snapshot HASH",
            Ok((Some(5), true)),
        );
        check(
            "report --known-snapshot=HASH --since=7",
            Ok((Some(7), true)),
        );
        // Whatever else stands there is not looked at.
        check(
            "/tmp/evil report --files-text /etc/shadow --config /tmp/x --since 5 ; rm -rf / $(id) `id` | sh",
            Ok((Some(5), false)),
        );
        check("report --since 5;id", Err(AskedError::Since));
        check("report --since $(id)", Err(AskedError::Since));
        check("report --since", Err(AskedError::Since));
        check("report --since=", Err(AskedError::Since));
        check(
            "report --known-snapshot ../x",
            Err(AskedError::KnownSnapshot),
        );
        check("report --since 1 --since=2", Err(AskedError::Twice));
        for other in [
            "sh",
            "id; cat /etc/passwd",
            "infra-watch-agent run",
            "reports",
            "'report'",
            "--since 5",
        ] {
            check(other, Err(AskedError::NotReport));
        }
    }

    #[test]
    fn the_stronger_layer_goes_first() {
        let asked = |since, known: Option<&str>| Asked {
            since,
            known_snapshot: known.map(str::to_owned),
        };
        assert_eq!(
            asked(Some(1), None).or(asked(Some(2), Some("a"))),
            asked(Some(1), Some("a"))
        );
    }

    #[test]
    fn a_clock_that_jumped() {
        let check = |since, expect| {
            let asked = Asked {
                since: Some(since),
                known_snapshot: None,
            };
            assert_eq!(asked.since(1000), expect, "{since}");
        };
        check(0, Some(0));
        check(1300, Some(1300));
        check(1301, None);
        check(i64::MAX, None);
    }

    #[test]
    fn hashes_are_one_whatever_their_case() {
        assert_eq!(hash(&HASH.to_ascii_uppercase()).unwrap(), HASH);
    }
}
