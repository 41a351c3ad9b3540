//! Records of state: JSON with a schema version in front, brought up to date when it is read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::kv::{Key, Table};

/// Bytes of the version in front of a record's JSON.
const VERSION_BYTES: usize = 2;

/// Something of state that is kept under an id.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Where it is kept.
    const TABLE: Table;
    /// The version of its shape; rises with each change that older builds would not understand.
    const VERSION: u16;

    /// Its id.
    fn id(&self) -> Uuid;

    /// Brings a record of version `from` (below [`Record::VERSION`]) to version `from + 1`.
    ///
    /// # Errors
    /// In words, when the record is not what that version wrote.
    fn upgrade(from: u16, value: Value) -> Result<Value, String> {
        let _ = value;
        Err(format!("no upgrade from version {from} is known"))
    }
}

/// Why a record cannot be understood.
#[derive(Debug, Error)]
pub enum RecordError {
    /// A newer build wrote it.
    #[error("it has version {found}, and this build knows versions up to {known}")]
    Newer {
        /// Version found.
        found: u16,
        /// Newest version that this build knows.
        known: u16,
    },
    /// An older record could not be brought up to date.
    #[error("it could not be brought up to date: {0}")]
    Upgrade(String),
    /// Not what was written.
    #[error("it is not valid")]
    Invalid(#[source] serde_json::Error),
    /// Not even a version.
    #[error("it is too short")]
    Short,
}

/// The key of a record.
pub fn key(id: Uuid) -> Key {
    id.as_bytes().to_vec()
}

/// A record as it is kept.
///
/// # Errors
/// When the record cannot be written as JSON.
pub fn encode<T: Record>(record: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = T::VERSION.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, record)?;
    Ok(bytes)
}

/// A record as it was kept, by this build or an older one.
///
/// # Errors
/// See [`RecordError`].
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, RecordError> {
    let (version, json) = bytes
        .split_first_chunk::<VERSION_BYTES>()
        .ok_or(RecordError::Short)?;
    let found = u16::from_be_bytes(*version);
    if found == T::VERSION {
        return serde_json::from_slice(json).map_err(RecordError::Invalid);
    }
    if found > T::VERSION {
        return Err(RecordError::Newer {
            found,
            known: T::VERSION,
        });
    }
    let value = serde_json::from_slice(json).map_err(RecordError::Invalid)?;
    let value = (found..T::VERSION)
        .try_fold(value, |value, from| T::upgrade(from, value))
        .map_err(RecordError::Upgrade)?;
    serde_json::from_value(value).map_err(RecordError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// A record whose first version had one name, and whose third has a list of them and a count.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Team {
        id: Uuid,
        names: Vec<String>,
        count: usize,
    }

    impl Record for Team {
        const TABLE: Table = Table::Users;
        const VERSION: u16 = 3;

        fn id(&self) -> Uuid {
            self.id
        }

        fn upgrade(from: u16, mut value: Value) -> Result<Value, String> {
            let object = value.as_object_mut().ok_or("not an object")?;
            match from {
                1 => {
                    let name = object.remove("name").ok_or("no name")?;
                    object.insert("names".to_owned(), Value::Array(vec![name]));
                }
                2 => {
                    let count = object
                        .get("names")
                        .and_then(Value::as_array)
                        .map_or(0, Vec::len);
                    object.insert("count".to_owned(), count.into());
                }
                _ => return Err(format!("no upgrade from version {from}")),
            }
            Ok(value)
        }
    }

    fn kept(version: u16, json: &str) -> Vec<u8> {
        [&version.to_be_bytes(), json.as_bytes()].concat()
    }

    #[test]
    fn older_records_are_brought_up_to_date_and_newer_ones_refused() {
        let team = Team {
            id: Uuid::nil(),
            names: vec!["ann".to_owned()],
            count: 1,
        };
        assert_eq!(decode::<Team>(&encode(&team).unwrap()).unwrap(), team);
        let id = Uuid::nil();
        assert_eq!(
            decode::<Team>(&kept(1, &format!(r#"{{"id":"{id}","name":"ann"}}"#))).unwrap(),
            team
        );
        assert_eq!(
            decode::<Team>(&kept(2, &format!(r#"{{"id":"{id}","names":["ann"]}}"#))).unwrap(),
            team
        );
        let refusal = |bytes: &[u8]| {
            decode::<Team>(bytes)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert!(refusal(&kept(4, "{}")).contains("version 4"));
        assert!(refusal(&kept(1, "{}")).contains("no name"));
        assert!(refusal(&kept(3, "{}")).contains("not valid"));
        assert!(refusal(&[0]).contains("too short"));
    }
}
