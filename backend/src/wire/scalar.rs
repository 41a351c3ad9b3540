//! Checked scalars and containers: strict where JSON libraries are lax, with their limits in the document.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{
    ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type,
};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// What a string without control characters matches; Unicode's C0, DEL and C1 are refused everywhere.
const NO_CONTROL_CHARACTERS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// True when `text` has no control character.
pub fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Implements the document's traits for a type whose JSON form serde already defines.
macro_rules! documented {
    ($type:ty, [$($generics:tt)*], $name:expr, required = $required:expr, $schema:expr, register = $register:expr) => {
        impl<$($generics)*> Type for $type {
            const IS_REQUIRED: bool = $required;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                $schema
            }

            fn register(registry: &mut Registry) {
                let register: fn(&mut Registry) = $register;
                register(registry);
            }

            fn as_raw_value(&self) -> Option<&Self::RawValueType> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl<$($generics)*> ParseFromJSON for $type {
            fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
                serde_json::from_value(value.unwrap_or_default()).map_err(ParseError::custom)
            }
        }

        impl<$($generics)*> ToJSON for $type {
            fn to_json(&self) -> Option<serde_json::Value> {
                serde_json::to_value(self).ok()
            }
        }
    };
}

fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}

/// A string of `MIN` to `MAX` characters without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text<const MIN: usize, const MAX: usize>(pub String);

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Bytes are never fewer than characters: most strings need no count.
        let chars = if text.len() <= MAX && text.is_ascii() {
            text.len()
        } else {
            text.chars().count()
        };
        if !(MIN..=MAX).contains(&chars) {
            return Err(de::Error::custom(format_args!(
                "must be {MIN} to {MAX} characters"
            )));
        }
        if !is_printable(&text) {
            return Err(de::Error::custom("must not contain control characters"));
        }
        Ok(Self(text))
    }
}

/// What a value of several lines matches: as `NO_CONTROL_CHARACTERS`, with tabs and line feeds.
const LINES: &str = "^[^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]*$";

/// A string of at most `MAX` characters in any number of lines: tabs and line feeds, and no other control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Lines<const MAX: usize>(pub String);

impl<'de, const MAX: usize> Deserialize<'de> for Lines<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX && text.chars().count() > MAX {
            return Err(de::Error::custom(format_args!(
                "must be at most {MAX} characters"
            )));
        }
        if text
            .chars()
            .any(|char| char.is_control() && !matches!(char, '\t' | '\n'))
        {
            return Err(de::Error::custom(
                "must not contain control characters other than tab and line feed",
            ));
        }
        Ok(Self(text))
    }
}

documented!(Lines<MAX>, [const MAX: usize], "string", required = true, inline(MetaSchema {
    max_length: Some(MAX),
    pattern: Some(LINES.to_owned()),
    ..MetaSchema::new("string")
}), register = |_| {});

documented!(Text<MIN, MAX>, [const MIN: usize, const MAX: usize], "string", required = true, inline(MetaSchema {
    min_length: (MIN > 0).then_some(MIN),
    max_length: Some(MAX),
    pattern: Some(NO_CONTROL_CHARACTERS.to_owned()),
    ..MetaSchema::new("string")
}), register = |_| {});

/// Defines a string type that one predicate checks and one pattern describes.
macro_rules! patterned {
    ($(#[$meta:meta])* $name:ident, $pattern:literal, $message:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl std::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err($message) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        documented!($name, [], stringify!($name), required = true, inline(MetaSchema {
            pattern: Some($pattern.to_owned()),
            ..MetaSchema::new("string")
        }), register = |_| {});

        impl ParseFromParameter for $name {
            fn parse_from_parameter(value: &str) -> ParseResult<Self> {
                value.parse().map_err(|message: &str| ParseError::custom(message))
            }
        }
    };
}

patterned!(
    /// A metric's name.
    MetricName, "^[a-z][a-z0-9_]{0,63}$", "must match ^[a-z][a-z0-9_]{0,63}$", crate::domain::metric::is_name
);
patterned!(
    /// A label's name, as Kubernetes and Prometheus both accept it.
    LabelName, "^[a-zA-Z_][a-zA-Z0-9_.-]{0,62}$", "must match ^[a-zA-Z_][a-zA-Z0-9_.-]{0,62}$", |text| {
        text.len() <= 63
            && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    }
);
patterned!(
    /// A user's name.
    Username, "^[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,63}$", "must match ^[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,63}$", |text| {
        text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte))
    }
);
patterned!(
    /// A SHA-256 in lower-case hexadecimal.
    Sha256Hex, "^[0-9a-f]{64}$", "must be 64 hexadecimal digits in lower case", |text| {
        text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    }
);
patterned!(
    /// A path on a host, or a command on its user's PATH, that a command line may hold as it is.
    HostPath, "^[A-Za-z0-9._/][A-Za-z0-9._/-]{0,255}$",
    "must be 1 to 256 letters, digits and ._/- and not begin with -", is_host_path
);
patterned!(
    /// A directory on a host; an empty one for none.
    HostDirectory, "^([A-Za-z0-9._/][A-Za-z0-9._/-]{0,255})?$",
    "must be at most 256 letters, digits and ._/- and not begin with -",
    |text| text.is_empty() || is_host_path(text)
);
patterned!(
    /// The name or address of a machine; an IPv6 address without brackets.
    HostAddress, "^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$|^::[0-9A-Fa-f:.]{0,40}$",
    "must be a name or an address, without port and brackets", is_host_address
);
patterned!(
    /// The name or address of a machine; an empty one for none.
    OptionalHostAddress, "^([A-Za-z0-9][A-Za-z0-9._:-]{0,252})?$|^::[0-9A-Fa-f:.]{0,40}$",
    "must be a name or an address, without port and brackets",
    |text| text.is_empty() || is_host_address(text)
);
patterned!(
    /// Somebody who may log in to a machine.
    SshUser, "^[A-Za-z0-9._][A-Za-z0-9._@+-]{0,63}$",
    "must be 1 to 64 letters, digits and ._@+- and not begin with @+-", |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte))
            && !text.starts_with(['@', '+', '-'])
    }
);
patterned!(
    /// The fingerprint of a host key, as OpenSSH writes it; an empty one for none.
    HostKeyFingerprint, "^(SHA256:[A-Za-z0-9+/]{43})?$",
    "must be SHA256: and 43 characters, as `ssh-keygen -l` prints it", |text| {
        text.is_empty() || text.strip_prefix("SHA256:").is_some_and(|digest| {
            digest.len() == 43
                && digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
        })
    }
);
patterned!(
    /// The SHA-256 of a certificate in hexadecimal, with colons or without; an empty one for none.
    CertificateFingerprint, "^(([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2})?$",
    "must be 64 hexadecimal digits, with colons between pairs or without", |text| {
        let digits = text.bytes().filter(|byte| *byte != b':').count();
        let pairs = text.split(':').all(|pair| pair.len() == 2);
        text.is_empty() || digits == 64
            && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
            && (pairs || !text.contains(':'))
    }
);
patterned!(
    /// Where an endpoint listens on a host's own loopback: address and port.
    LoopbackEndpoint, r"^(127(\.[0-9]{1,3}){3}|localhost|\[::1\]):[0-9]{1,5}$",
    "must be a loopback address and a port, such as 127.0.0.1:7421", |text| {
        text.rsplit_once(':').is_some_and(|(host, port)| {
            let is_loopback = host
                .parse()
                .is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback());
            (is_loopback || matches!(host, "localhost" | "[::1]"))
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse().is_ok_and(|port: u16| port > 0)
        })
    }
);
patterned!(
    /// A token as it stands in a header; an empty one for none.
    BearerToken, "^[ -~]{0,1024}$", "must be at most 1,024 printable ASCII characters", |text| {
        text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    }
);

fn is_host_path(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
        && !text.starts_with('-')
}

fn is_host_address(text: &str) -> bool {
    let is_name = (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric());
    is_name || text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Whole<const MIN: i64, const MAX: i64>(pub i64);

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        if (MIN..=MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(de::Error::custom(format_args!("must be {MIN} to {MAX}")))
        }
    }
}

documented!(Whole<MIN, MAX>, [const MIN: i64, const MAX: i64], "integer_int64", required = true, inline(MetaSchema {
    minimum: Some(MIN as f64),
    maximum: Some(MAX as f64),
    ..MetaSchema::new_with_format("integer", "int64")
}), register = |_| {});

impl<const MIN: i64, const MAX: i64> ParseFromParameter for Whole<MIN, MAX> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        match value.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(ParseError::custom(format!(
                "must be a whole number from {MIN} to {MAX}"
            ))),
        }
    }
}

/// A finite number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        // serde_json reads 1e999 as an error, but another format may not.
        if number.is_finite() {
            Ok(Self(number))
        } else {
            Err(de::Error::custom("must be a finite number"))
        }
    }
}

documented!(
    Number,
    [],
    "number_double",
    required = true,
    inline(MetaSchema::new_with_format("number", "double")),
    register = |_| {}
);

/// A value that may be `null`, and says so in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Nullable<T>(pub Option<T>);

impl<T> From<Option<T>> for Nullable<T> {
    fn from(value: Option<T>) -> Self {
        Self(value)
    }
}

impl<T: Serialize> Serialize for Nullable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

documented!(
    Nullable<T>, [T: Type + Serialize + for<'any> Deserialize<'any>], format!("nullable_{}", T::name()), required = true,
    match T::schema_ref() {
        MetaSchemaRef::Inline(mut schema) => { schema.nullable = true; MetaSchemaRef::Inline(schema) }
        reference @ MetaSchemaRef::Reference(_) => {
            inline(MetaSchema { nullable: true, all_of: vec![reference], ..MetaSchema::ANY })
        }
    },
    register = T::register
);

/// At most `MAX` items.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct List<T, const MAX: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    if items.len() == MAX {
                        return Err(de::Error::custom(format_args!(
                            "must have at most {MAX} items"
                        )));
                    }
                    items.push(item);
                }
                Ok(items)
            }
        }

        deserializer
            .deserialize_seq(Items::<T, MAX>(PhantomData))
            .map(Self)
    }
}

documented!(
    List<T, MAX>, [T: Type + Serialize + for<'any> Deserialize<'any>, const MAX: usize], format!("list_{}", T::name()), required = true,
    inline(MetaSchema { items: Some(Box::new(T::schema_ref())), max_items: Some(MAX), ..MetaSchema::new("array") }),
    register = T::register
);

/// An object with free keys, at most `MAX` of them, each given once.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Dictionary<K: Ord, V, const MAX: usize>(pub BTreeMap<K, V>);

impl<K: Ord, V, const MAX: usize> Default for Dictionary<K, V, MAX> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K: Ord + Deserialize<'de>, V: Deserialize<'de>, const MAX: usize> Deserialize<'de>
    for Dictionary<K, V, MAX>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V, const MAX: usize>(PhantomData<(K, V)>);

        impl<'de, K: Ord + Deserialize<'de>, V: Deserialize<'de>, const MAX: usize> Visitor<'de>
            for Entries<K, V, MAX>
        {
            type Value = BTreeMap<K, V>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = access.next_entry()? {
                    if entries.insert(key, value).is_some() {
                        return Err(de::Error::custom("has a key that is given twice"));
                    }
                    if entries.len() > MAX {
                        return Err(de::Error::custom(format_args!(
                            "must have at most {MAX} keys"
                        )));
                    }
                }
                Ok(entries)
            }
        }

        deserializer
            .deserialize_map(Entries::<K, V, MAX>(PhantomData))
            .map(Self)
    }
}

documented!(
    Dictionary<K, V, MAX>,
    [K: Ord + Send + Sync + Serialize + for<'any> Deserialize<'any>, V: Type + Serialize + for<'any> Deserialize<'any>, const MAX: usize],
    format!("map_{}", V::name()), required = true,
    inline(MetaSchema {
        additional_properties: Some(Box::new(V::schema_ref())),
        max_properties: Some(MAX),
        ..MetaSchema::new("object")
    }),
    register = V::register
);

/// Labels of a host: at most 64, values of up to 256 characters.
pub type Labels = Dictionary<LabelName, Text<0, 256>, 64>;

/// Labels into plain strings.
pub fn plain_labels(labels: Labels) -> BTreeMap<String, String> {
    labels
        .0
        .into_iter()
        .map(|(name, value)| (name.0, value.0))
        .collect()
}

/// Plain strings into labels, as they were checked when they came in.
pub fn wire_labels(labels: &BTreeMap<String, String>) -> Labels {
    Dictionary(
        labels
            .iter()
            .map(|(name, value)| (LabelName(name.clone()), Text(value.clone())))
            .collect(),
    )
}

/// A moment in a query: RFC 3339, or whole Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub DateTime<Utc>);

impl Type for Moment {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "moment".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        inline(MetaSchema {
            pattern: Some(
                r"^([0-9]{1,11}|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))$"
                    .to_owned(),
            ),
            ..MetaSchema::new("string")
        })
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl std::str::FromStr for Moment {
    type Err = &'static str;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let by_seconds = || {
            value
                .parse()
                .ok()
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        };
        let by_date = || {
            DateTime::parse_from_rfc3339(value)
                .ok()
                .map(|time| time.to_utc())
        };
        by_seconds()
            .or_else(by_date)
            .map(Self)
            .ok_or("must be a time in RFC 3339 or whole Unix seconds")
    }
}

impl ParseFromParameter for Moment {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        value
            .parse()
            .map_err(|message: &str| ParseError::custom(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: for<'a> Deserialize<'a>>(json: &str) -> String {
        serde_json::from_str::<T>(json)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn strict_text() {
        type Name = Text<1, 4>;
        assert!(serde_json::from_str::<Name>("\"äöüß\"").is_ok());
        for (json, message) in [
            ("5", "expected a string"),
            ("true", "expected a string"),
            ("\"\"", "must be 1 to 4 characters"),
            ("\"abcde\"", "must be 1 to 4 characters"),
            (r#""a\u0000""#, "control characters"),
            (r#""a\n""#, "control characters"),
        ] {
            assert!(
                error::<Name>(json).contains(message),
                "{json}: {}",
                error::<Name>(json)
            );
        }
    }

    #[test]
    fn numbers() {
        type Seconds = Whole<1, 60>;
        for json in ["0", "61", "1.5", "\"1\"", "null", "1e1"] {
            assert!(!error::<Seconds>(json).is_empty(), "{json}");
        }
        for json in [
            "NaN", "Infinity", "1e999", "-1e999", "\"1\"", "true", "null",
        ] {
            assert!(!error::<Number>(json).is_empty(), "{json}");
        }
        assert_eq!(
            serde_json::from_str::<Nullable<Number>>("null").unwrap().0,
            None
        );
        assert_eq!(serde_json::from_str::<Number>("3").unwrap().0, 3.0);
    }

    #[test]
    fn containers_have_bounds_and_no_duplicate_keys() {
        type Few = Dictionary<LabelName, Text<0, 8>, 2>;
        assert!(error::<Few>(r#"{"a":"1","a":"2"}"#).contains("given twice"));
        assert!(error::<Few>(r#"{"a":"1","b":"2","c":"3"}"#).contains("at most 2 keys"));
        assert!(error::<Few>(r#"{"1a":"1"}"#).contains("must match"));
        assert!(error::<List<Number, 2>>("[1,2,3]").contains("at most 2 items"));
        assert!(error::<List<Number, 2>>("{}").contains("expected an array"));
    }

    #[test]
    fn moments_take_two_forms() {
        let moment = |text| {
            Moment::parse_from_parameter(text)
                .ok()
                .map(|moment| moment.0.timestamp())
        };
        assert_eq!(moment("1763881200"), Some(1_763_881_200));
        assert_eq!(moment("2025-11-23T07:00:00Z"), Some(1_763_881_200));
        assert_eq!(moment("2025-11-23T08:00:00.5+01:00"), Some(1_763_881_200));
        for bad in ["", "yesterday", "2025-11-23", "1e9", "99999999999999999999"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}
