//! A configuration snapshot: sections of keys and values, its canonical form and its hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Section name → key → value.
pub type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// A section that could not be collected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedSection {
    /// The section's name.
    pub section: String,
    /// What the collector said.
    pub error: String,
}

/// A host's configuration at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the host took it.
    pub taken_at: DateTime<Utc>,
    /// What was found.
    pub sections: Sections,
    /// What could not be read.
    pub failed_sections: Vec<FailedSection>,
}

/// Names a snapshot that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotReference {
    /// Identifier, UUIDv7.
    pub snapshot_id: Uuid,
    /// See [`hash`].
    pub hash: String,
    /// When the host took it.
    pub taken_at: DateTime<Utc>,
    /// When the host last said that this is still how it is.
    pub confirmed_at: DateTime<Utc>,
}

/// SHA-256, in lower-case hexadecimal, over the canonical JSON of the sections: keys sorted, no spaces.
pub fn hash(sections: &Sections) -> String {
    // Maps of strings cannot fail to serialise, and a BTreeMap is written in the order of its keys.
    let canonical = serde_json::to_vec(sections).unwrap_or_default();
    hex(&Sha256::digest(&canonical))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_hash() {
        let sections: Sections =
            serde_json::from_str(r#"{"os":{"kernel":"6.1"},"environment":{"B":"2","A":"ä"}}"#)
                .unwrap();
        let canonical = r#"{"environment":{"A":"ä","B":"2"},"os":{"kernel":"6.1"}}"#;
        assert_eq!(hash(&sections), hex(&Sha256::digest(canonical.as_bytes())));
    }
}
