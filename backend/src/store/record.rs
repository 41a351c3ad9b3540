//! Records of state: JSON with a schema version in front, brought up to date when it is read. Long ones are compressed.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::kv::{Key, Table};
use super::varint::{put_unsigned, take_unsigned};

/// Bytes of the version in front of a record's JSON.
const VERSION_BYTES: usize = 2;
/// This bit of the version says that the JSON is compressed.
const COMPRESSED: u16 = 0x8000;
/// JSON is compressed from this size on, in bytes.
const COMPRESS_BYTES: usize = 16 * 1024;
/// Largest JSON of a record, in bytes.
const MAX_JSON_BYTES: usize = 64 * 1024 * 1024;
/// zstd level.
const LEVEL: i32 = 3;

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
    /// It does not decompress.
    #[error("it does not decompress")]
    Damaged,
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
    if bytes.len() < COMPRESS_BYTES {
        return Ok(bytes);
    }
    let json = bytes.split_off(VERSION_BYTES);
    if json.len() > MAX_JSON_BYTES {
        return Err(serde_json::Error::io(
            std::io::ErrorKind::FileTooLarge.into(),
        ));
    }
    let compressed = zstd::bulk::compress(&json, LEVEL).map_err(serde_json::Error::io)?;
    let mut bytes = (T::VERSION | COMPRESSED).to_be_bytes().to_vec();
    put_unsigned(&mut bytes, json.len() as u64);
    bytes.extend(compressed);
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
    let found = u16::from_be_bytes(*version) & !COMPRESSED;
    let json = if u16::from_be_bytes(*version) & COMPRESSED == 0 {
        Cow::Borrowed(json)
    } else {
        Cow::Owned(decompress(json).ok_or(RecordError::Damaged)?)
    };
    let json = json.as_ref();
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

fn decompress(mut compressed: &[u8]) -> Option<Vec<u8>> {
    let size = usize::try_from(take_unsigned(&mut compressed).ok()?).ok()?;
    zstd::bulk::decompress(compressed, size.min(MAX_JSON_BYTES)).ok()
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
        let large = Team {
            names: vec!["ann".to_owned(); 10_000],
            ..team
        };
        let bytes = encode(&large).unwrap();
        assert!(bytes.len() < 1000);
        assert_eq!(decode::<Team>(&bytes).unwrap(), large);
        assert!(decode::<Team>(&bytes[..20]).is_err());
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
