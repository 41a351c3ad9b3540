//! A configuration snapshot: sections of keys and values, kept within the contract, and their hash.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::hex;

/// Key → value.
pub type Section = BTreeMap<String, String>;

/// Longest value, of the contract, in characters.
pub const MAX_VALUE_CHARS: usize = 16_384;
/// Longest key, of the contract, in characters.
const MAX_KEY_CHARS: usize = 1_024;
/// Most keys of a section, of the contract.
const MAX_KEYS: usize = 20_000;
/// Longest error, of the contract, in characters.
const MAX_ERROR_CHARS: usize = 1_024;
/// Most that all sections may take as JSON, in bytes: the contract's bound for a whole report is 8 MiB.
const MAX_BYTES: usize = 6 << 20;

/// A host's configuration at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was taken, in Unix seconds.
    pub taken_at: i64,
    /// Section name → what was found.
    pub sections: BTreeMap<String, Section>,
    /// Section name → why it is not there.
    pub failed: BTreeMap<String, String>,
    /// Names what was found: two snapshots with one hash are the same.
    pub hash: String,
}

impl Snapshot {
    /// Whether another one says the same: what was found, and which sections could not be read.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.failed.keys().eq(other.failed.keys())
    }

    /// The snapshot of what collectors gave; what does not fit the contract makes its section fail, never the report.
    pub fn new(taken_at: i64, collected: Vec<(&str, Result<Section, String>)>) -> Self {
        let (mut sections, mut failed) = (BTreeMap::new(), BTreeMap::new());
        let mut left = MAX_BYTES;
        for (name, result) in collected {
            let result = result.and_then(|section| match check(&section) {
                Ok(bytes) if bytes <= left => {
                    left -= bytes;
                    Ok(section)
                }
                Ok(_) => Err(format!("more than {} MiB in all sections", MAX_BYTES >> 20)),
                Err(error) => Err(error),
            });
            match result {
                Ok(section) => drop(sections.insert(name.to_owned(), section)),
                Err(error) => drop(failed.insert(name.to_owned(), one_line(&error))),
            }
        }
        Self {
            taken_at,
            hash: hash(&sections),
            sections,
            failed,
        }
    }
}

/// SHA-256, in lower-case hexadecimal, over the canonical JSON of the sections: keys sorted, no spaces. The backend
/// computes it again.
fn hash(sections: &BTreeMap<String, Section>) -> String {
    // Maps of strings cannot fail to serialise, and a BTreeMap is written in the order of its keys.
    hex(&Sha256::digest(
        serde_json::to_vec(sections).unwrap_or_default(),
    ))
}

/// How long a section is as JSON, about, or what in it the contract refuses. Values are not said: they may be secrets.
fn check(section: &Section) -> Result<usize, String> {
    if section.len() > MAX_KEYS {
        return Err(format!("more than {MAX_KEYS} entries"));
    }
    let mut bytes = 0;
    for (key, value) in section {
        // Quotes, colon and comma.
        bytes += key.len() + value.len() + 6;
        if !is_within(key, 1, MAX_KEY_CHARS) || key.chars().any(char::is_control) {
            let key: String = key.chars().take(64).collect();
            return Err(format!(
                "{key}: the name is too long, or has control characters"
            ));
        }
        if !is_within(value, 0, MAX_VALUE_CHARS) {
            return Err(format!(
                "{key}: the value is longer than {MAX_VALUE_CHARS} characters"
            ));
        }
        if value
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
        {
            return Err(format!("{key}: the value has control characters"));
        }
    }
    Ok(bytes)
}

/// Whether a text has so many characters; most need no count, since bytes are never fewer.
fn is_within(text: &str, least: usize, most: usize) -> bool {
    text.len() >= least && (text.len() <= most || text.chars().count() <= most)
}

/// An error as the contract takes it.
fn one_line(text: &str) -> String {
    let text = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    text.take(MAX_ERROR_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(pairs: &[(&str, &str)]) -> Section {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_hash_is_the_backends() {
        let snapshot = Snapshot::new(
            7,
            vec![
                ("os", Ok(section(&[("kernel", "6.1"), ("id", "debian")]))),
                (
                    "environment",
                    Ok(section(&[("B", "2"), ("A", "\u{e4}\n\"\\\t/")])),
                ),
                ("packages", Err("no".to_owned())),
            ],
        );
        // printf '%s' '{"environment":{"A":"ä\n\"\\\t/","B":"2"},"os":{"id":"debian","kernel":"6.1"}}' | sha256sum
        assert_eq!(
            snapshot.hash,
            "224d403ea30f6db5c2b5335070655663ff4d811c6119ccd83ad95168cbf5f725"
        );
        // printf '{}' | sha256sum
        let nothing = Snapshot::new(7, Vec::new());
        assert_eq!(
            nothing.hash,
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }

    #[test]
    fn what_does_not_fit_fails_its_section_alone() {
        let check = |key: &str, value: &str, expect: Option<&str>| {
            let snapshot = Snapshot::new(
                7,
                vec![
                    ("a", Ok(section(&[(key, value)]))),
                    ("b", Ok(section(&[("x", "y")]))),
                ],
            );
            assert!(snapshot.sections.contains_key("b"));
            assert_eq!(snapshot.failed.get("a").map(String::as_str), expect);
            assert_eq!(snapshot.sections.contains_key("a"), expect.is_none());
        };
        check("k", "line\n\ttext", None);
        check(&"\u{fc}".repeat(1024), &"\u{fc}".repeat(16_384), None);
        check(
            "",
            "",
            Some(": the name is too long, or has control characters"),
        );
        check(
            "a\nb",
            "",
            Some("a b: the name is too long, or has control characters"),
        );
        check(
            "k",
            &"x".repeat(16_385),
            Some("k: the value is longer than 16384 characters"),
        );
        check(
            "k",
            "bell\u{7}",
            Some("k: the value has control characters"),
        );
        check("k", "\u{9b}", Some("k: the value has control characters"));
    }

    #[test]
    fn errors_are_one_line() {
        let error = format!("two\nlines\u{1b}{}", "x".repeat(2000));
        let snapshot = Snapshot::new(7, vec![("a", Err(error))]);
        assert!(snapshot.failed["a"].starts_with("two lines xxx"));
        assert_eq!(snapshot.failed["a"].len(), 1024);
    }

    #[test]
    fn a_snapshot_stays_below_what_a_report_may_take() {
        let large = || {
            Ok((0..300)
                .map(|index| (index.to_string(), "x".repeat(16_384)))
                .collect())
        };
        let snapshot = Snapshot::new(7, vec![("a", large()), ("b", large())]);
        assert!(snapshot.sections.contains_key("a"));
        assert_eq!(snapshot.failed["b"], "more than 6 MiB in all sections");
    }
}
