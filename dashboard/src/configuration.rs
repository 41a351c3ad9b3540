//! Which configuration is looked at, and which of its items: pure functions over the client's snapshots.

use chrono::{DateTime, FixedOffset, Utc};
use infra_watch_client::types::{HostSnapshot, SnapshotSummary};
use uuid::Uuid;

use crate::{change, format, order};

/// Which of a host's configurations; it stands in the address as the API takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The one in force now.
    #[default]
    Latest,
    /// The approved one.
    Baseline,
    /// That of a snapshot, or of a baseline of the past.
    Id(Uuid),
    /// The one in force at a moment, in Unix seconds.
    At(i64),
}

impl Which {
    /// Reads what [`Which::text`] writes; what is not understood is the latest.
    pub fn parse(text: &str) -> Self {
        match (text, text.parse(), text.parse()) {
            ("baseline", ..) => Self::Baseline,
            (_, Ok(seconds), _) => Self::At(seconds),
            (_, _, Ok(id)) => Self::Id(id),
            _ => Self::Latest,
        }
    }

    /// How it is written in addresses.
    pub fn text(&self) -> String {
        match self {
            Self::Latest => "latest".to_owned(),
            Self::Baseline => "baseline".to_owned(),
            Self::Id(id) => id.to_string(),
            Self::At(seconds) => seconds.to_string(),
        }
    }

    /// In words, as far as the snapshots that are known name it.
    pub fn words(
        &self,
        snapshots: &[SnapshotSummary],
        now: DateTime<Utc>,
        zone: FixedOffset,
    ) -> String {
        match self {
            Self::Latest => "now".to_owned(),
            Self::Baseline => "approved baseline".to_owned(),
            Self::At(seconds) => DateTime::from_timestamp(*seconds, 0)
                .map(|at| format::clock(at, now, zone))
                .unwrap_or_default(),
            Self::Id(id) => snapshots
                .iter()
                .find(|snapshot| snapshot.snapshot_id == *id)
                .map_or_else(
                    || format!("snapshot {}", &id.to_string()[..8]),
                    |snapshot| format::clock(snapshot.received_at, now, zone),
                ),
        }
    }
}

/// One side of a comparison: a host and which of its configurations, as `<host>:<which>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The host.
    pub host_id: Uuid,
    /// Its configuration.
    pub which: Which,
}

impl Side {
    /// Reads what [`Side::text`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, which) = text.split_once(':').unwrap_or((text, ""));
        Some(Self {
            host_id: host.parse().ok()?,
            which: Which::parse(which),
        })
    }

    /// How it is written in addresses.
    pub fn text(&self) -> String {
        format!("{}:{}", self.host_id, self.which.text())
    }
}

/// One item of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its section.
    pub section: String,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Key and value in lower case, for the search.
    text: String,
}

/// All items, in the order of section and name.
pub fn items(snapshot: HostSnapshot) -> Vec<Item> {
    let mut items = Vec::new();
    for (section, values) in snapshot.sections {
        for (key, value) in values {
            items.push(Item {
                section: section.clone(),
                text: format!("{key}\n{value}").to_lowercase(),
                key,
                value,
            });
        }
    }
    order::sorted(items, &|a, b| {
        let name = |item: &Item| change::name(&item.section, &item.key).0;
        (&a.section, name(a), &a.key).cmp(&(&b.section, name(b), &b.key))
    })
}

/// The places of the items of a section, or of all, that hold every word.
pub fn search(items: &[Item], section: Option<&str>, words: &str) -> Vec<usize> {
    let words = words.to_lowercase();
    let words: Vec<&str> = words.split_whitespace().collect();
    let is_meant = |item: &Item| {
        section.is_none_or(|section| section == item.section)
            && words.iter().all(|word| item.text.contains(word))
    };
    (0..items.len())
        .filter(|place| is_meant(&items[*place]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn addresses() {
        let id = Uuid::from_u128(7);
        for which in [
            Which::Latest,
            Which::Baseline,
            Which::Id(id),
            Which::At(1_763_881_200),
        ] {
            assert_eq!(Which::parse(&which.text()), which);
            let side = Side { host_id: id, which };
            assert_eq!(Side::parse(&side.text()), Some(side));
        }
        assert_eq!(Which::parse("yesterday"), Which::Latest);
        assert_eq!(Side::parse("nobody:latest"), None);
        assert_eq!(Side::parse(&id.to_string()).unwrap().which, Which::Latest);
    }

    #[test]
    fn items_are_found_by_key_and_value() {
        let section = |items: &[(&str, &str)]| -> HashMap<String, String> {
            items
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let sections = HashMap::from([
            (
                "packages".to_owned(),
                section(&[("rpm/zlib:x86_64", "1.2"), ("dpkg/OpenSSL:amd64", "3.0.13")]),
            ),
            ("os".to_owned(), section(&[("kernel", "6.1.0-28")])),
        ]);
        let at = DateTime::from_timestamp(0, 0).unwrap();
        let items = items(HostSnapshot {
            snapshot_id: Uuid::nil(),
            host_id: Uuid::nil(),
            host_name: String::new(),
            taken_at: at,
            received_at: at,
            sections,
            freshness: Vec::new(),
            failed_sections: Vec::new(),
        });
        let check = |section, words, expect: &[&str]| {
            let found: Vec<_> = search(&items, section, words)
                .into_iter()
                .map(|place| items[place].key.as_str())
                .collect();
            assert_eq!(found, expect);
        };
        check(
            None,
            "",
            &["kernel", "dpkg/OpenSSL:amd64", "rpm/zlib:x86_64"],
        );
        check(
            Some("packages"),
            "",
            &["dpkg/OpenSSL:amd64", "rpm/zlib:x86_64"],
        );
        check(None, "openssl 3.0", &["dpkg/OpenSSL:amd64"]);
        check(Some("os"), "openssl", &[]);
    }
}
