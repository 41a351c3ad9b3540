//! Reads JSON into the generated types with as little code as it takes, for who sends that code to a browser: a text
//! becomes a tree in one place, and each generated type takes its fields out of it by name (`build/json.rs`). What
//! cannot be read is noted and goes on as something, so that a type has one straight way through; errors say nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::mem;
use std::num::NonZeroU64;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

use crate::number;

/// The text is no JSON, or it does not say what the document says it does.
#[derive(Debug, PartialEq, Eq)]
pub struct NotRead;

type Result<T> = std::result::Result<T, NotRead>;

impl Display for NotRead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the answer is not what the document says")
    }
}

impl std::error::Error for NotRead {}

/// Reads a whole body.
///
/// # Errors
/// When it is not JSON or not a `T`.
pub fn read<T: Read>(body: &[u8]) -> Result<T> {
    let tree = tree(body)?;
    let mut is_read = true;
    let value = T::read(&tree, &mut is_read);
    if is_read { Ok(value) } else { Err(NotRead) }
}

/// What can be read.
pub trait Read: Sized {
    /// Takes a value out of the tree; where there is another, notes so and gives something. An entry that is not there
    /// is read as `null`.
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self;
}

/// A value of JSON.
#[derive(Debug)]
pub enum Json<'a> {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that is not negative.
    Natural(u64),
    /// Another integer.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    Items(Vec<Json<'a>>),
    /// An object.
    Entries(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// The entry of an object.
    pub(crate) fn entry(&self, name: &str) -> &Json<'a> {
        let entry = match self {
            Self::Entries(entries) => entries.iter().find(|(known, _)| known == name),
            _ => None,
        };
        entry.map_or(&Json::Null, |(_, value)| value)
    }

    /// Notes when this is no object.
    pub(crate) fn must_be_object(&self, is_read: &mut bool) {
        *is_read &= matches!(self, Self::Entries(_));
    }

    /// The place of a text among these.
    pub(crate) fn place(&self, names: &[&str], is_read: &mut bool) -> usize {
        let text = self.text(is_read);
        let place = names.iter().position(|name| *name == text);
        *is_read &= place.is_some();
        place.unwrap_or_default()
    }

    fn text(&self, is_read: &mut bool) -> &str {
        match self {
            Self::Text(text) => text,
            _ => {
                *is_read = false;
                ""
            }
        }
    }

    fn integer(&self, is_read: &mut bool) -> i64 {
        match self {
            Self::Natural(number) => i64::try_from(*number).ok(),
            Self::Integer(number) => Some(*number),
            _ => None,
        }
        .unwrap_or_else(|| {
            *is_read = false;
            0
        })
    }
}

impl Read for () {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        *is_read &= matches!(json, Json::Null);
    }
}

impl Read for bool {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        *is_read &= matches!(json, Json::Bool(_));
        matches!(json, Json::Bool(true))
    }
}

impl Read for f64 {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        match json {
            Json::Real(number) => *number,
            Json::Natural(number) => *number as f64,
            Json::Integer(number) => *number as f64,
            _ => {
                *is_read = false;
                0.0
            }
        }
    }
}

impl Read for i64 {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        json.integer(is_read)
    }
}

impl Read for u64 {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        *is_read &= matches!(json, Json::Natural(_));
        match json {
            Json::Natural(number) => *number,
            _ => 0,
        }
    }
}

/// Numbers with bounds of their own.
macro_rules! bounded {
    ($($number:ty)*) => {
        $(impl Read for $number {
            fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
                let number = json.integer(is_read).try_into();
                *is_read &= number.is_ok();
                number.unwrap_or_default()
            }
        })*
    };
}

bounded! { i32 u32 u16 u8 }

impl Read for NonZeroU64 {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        let number = Self::new(u64::read(json, is_read));
        *is_read &= number.is_some();
        number.unwrap_or(Self::MIN)
    }
}

impl Read for String {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        json.text(is_read).to_owned()
    }
}

impl Read for Uuid {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        let id = json.text(is_read).parse();
        *is_read &= id.is_ok();
        id.unwrap_or_default()
    }
}

impl Read for DateTime<Utc> {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        let at = moment(json.text(is_read));
        *is_read &= at.is_some();
        at.unwrap_or_default()
    }
}

impl<T: Read> Read for Option<T> {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        match json {
            Json::Null => None,
            _ => Some(T::read(json, is_read)),
        }
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        let items = match json {
            Json::Items(items) => items.as_slice(),
            _ => {
                *is_read = false;
                &[]
            }
        };
        items.iter().map(|item| T::read(item, is_read)).collect()
    }
}

impl<T: Read> Read for HashMap<String, T> {
    fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
        json.must_be_object(is_read);
        let entries = match json {
            Json::Entries(entries) => entries.as_slice(),
            _ => &[],
        };
        let entry = |(name, value): &(Cow<'_, str>, Json<'_>)| {
            (name.clone().into_owned(), T::read(value, is_read))
        };
        entries.iter().map(entry).collect()
    }
}

/// A moment as RFC 3339 writes it.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let (date, time) = text.split_at_checked(10)?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let mut numbers = date.split('-').map(|part| part.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    let date = NaiveDate::from_ymd_opt(i32::try_from(next()?).ok()?, next()?, next()?)?;
    let zone = time.rfind(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let (hour, rest) = before_colon(time)?;
    let (minute, second) = before_colon(rest)?;
    // Nine digits are nanoseconds.
    let mut nanoseconds = 0_u32;
    for place in 0..9 {
        let digit = fraction
            .as_bytes()
            .get(place)
            .map_or(0, |byte| byte.wrapping_sub(b'0'));
        nanoseconds = nanoseconds * 10 + u32::from(digit).min(9);
    }
    let at = date.and_hms_nano_opt(hour, minute, second.parse().ok()?, nanoseconds)?;
    let east_minutes = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let (hours, minutes) = before_colon(zone)?;
            let minutes = i64::from(hours * 60 + minutes.parse::<u32>().ok()?);
            if sign == "-" { -minutes } else { minutes }
        }
    };
    Some(at.and_utc() - TimeDelta::minutes(east_minutes))
}

fn before_colon(text: &str) -> Option<(u32, &str)> {
    let (number, rest) = text.split_once(':')?;
    Some((number.parse().ok()?, rest))
}

/// The tree of a whole body.
fn tree(body: &[u8]) -> Result<Json<'_>> {
    let rest = str::from_utf8(body).map_err(|_| NotRead)?;
    let mut reader = Reader { rest };
    let tree = reader.value()?;
    match reader.peek() {
        None => Ok(tree),
        Some(_) => Err(NotRead),
    }
}

/// What has not been read yet.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Json<'a>> {
        match self.peek() {
            Some(b'{') => {
                let mut entries = Vec::new();
                self.between("{", "}", &mut |reader| {
                    let name = reader.text()?;
                    reader.take(":")?;
                    entries.push((name, reader.value()?));
                    Ok(())
                })?;
                Ok(Json::Entries(entries))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                self.between("[", "]", &mut |reader| {
                    items.push(reader.value()?);
                    Ok(())
                })?;
                Ok(Json::Items(items))
            }
            Some(b'"') => Ok(Json::Text(self.text()?)),
            Some(b't') => self.take("true").map(|()| Json::Bool(true)),
            Some(b'f') => self.take("false").map(|()| Json::Bool(false)),
            Some(b'n') => self.take("null").map(|()| Json::Null),
            _ => self.number(),
        }
    }

    /// Reads what stands between two brackets, one after the other.
    fn between(
        &mut self,
        start: &str,
        end: &str,
        each: &mut dyn FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.take(start)?;
        let mut is_first = true;
        while self.peek() != end.bytes().next() {
            if !mem::take(&mut is_first) {
                self.take(",")?;
            }
            each(self)?;
        }
        self.take(end)
    }

    /// The first byte of what comes next, after white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\r', '\t']);
        self.rest.as_bytes().first().copied()
    }

    /// Takes what must come next.
    fn take(&mut self, token: &str) -> Result<()> {
        self.peek();
        self.rest = self.rest.strip_prefix(token).ok_or(NotRead)?;
        Ok(())
    }

    /// Takes a number of bytes that are ASCII, or up to a place where one is.
    fn split(&mut self, bytes: usize) -> Result<&'a str> {
        let (part, rest) = self.rest.split_at_checked(bytes).ok_or(NotRead)?;
        self.rest = rest;
        Ok(part)
    }

    fn text(&mut self) -> Result<Cow<'a, str>> {
        self.take("\"")?;
        let mut text = Cow::Borrowed("");
        loop {
            let mut bytes = self.rest.bytes();
            let end = bytes.position(|byte| matches!(byte, b'"' | b'\\'));
            let part = self.split(end.ok_or(NotRead)?)?;
            // Nothing is copied when nothing is escaped.
            text += part;
            if self.split(1)? == "\"" {
                return Ok(text);
            }
            text.to_mut().push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char> {
        match self.split(1)? {
            "\"" => Ok('"'),
            "\\" => Ok('\\'),
            "/" => Ok('/'),
            "b" => Ok('\u{8}'),
            "f" => Ok('\u{c}'),
            "n" => Ok('\n'),
            "r" => Ok('\r'),
            "t" => Ok('\t'),
            "u" => {
                let first = self.unit()?;
                let second = match first {
                    0xd800..0xdc00 if self.split(2)? == "\\u" => Some(self.unit()?),
                    _ => None,
                };
                let units = [first].into_iter().chain(second);
                let decoded = char::decode_utf16(units).next();
                decoded.and_then(std::result::Result::ok).ok_or(NotRead)
            }
            _ => Err(NotRead),
        }
    }

    fn unit(&mut self) -> Result<u16> {
        u16::from_str_radix(self.split(4)?, 16).map_err(|_| NotRead)
    }

    fn number(&mut self) -> Result<Json<'a>> {
        self.peek();
        let mut bytes = self.rest.bytes();
        let end = bytes
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(self.rest.len());
        let text = self.split(end)?;
        if let Ok(number) = text.parse() {
            Ok(Json::Natural(number))
        } else if let Ok(number) = text.parse() {
            Ok(Json::Integer(number))
        } else {
            number::parse(text).map(Json::Real).ok_or(NotRead)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use chrono::DateTime;
    use serde_json::{Map, Value, json};

    use super::{Json, NotRead, Read, read};
    use crate::types;

    impl Read for Value {
        fn read(json: &Json<'_>, is_read: &mut bool) -> Self {
            match json {
                Json::Null => Self::Null,
                Json::Bool(value) => (*value).into(),
                Json::Natural(number) => (*number).into(),
                Json::Integer(number) => (*number).into(),
                Json::Real(number) => (*number).into(),
                Json::Text(text) => text.as_ref().into(),
                Json::Items(_) => Self::Array(Vec::read(json, is_read)),
                Json::Entries(entries) => {
                    let entry = |(name, value): &(Cow<'_, str>, Json<'_>)| {
                        (name.clone().into_owned(), Self::read(value, is_read))
                    };
                    Self::Object(entries.iter().map(entry).collect::<Map<_, _>>())
                }
            }
        }
    }

    #[test]
    fn values_are_read_as_json_says() {
        let check = |text: &str| {
            let expect = serde_json::from_str::<Value>(text).map_err(|_| NotRead);
            assert_eq!(read::<Value>(text.as_bytes()), expect, "{text}");
        };
        for text in [
            "null",
            " true\n",
            "false",
            "0",
            "-7",
            "18446744073709551615",
            "-9223372036854775808",
            "0.5",
            "-12.75",
            "1e3",
            "2.5E-3",
            "99.87654321",
            "123456789012345678901234567890",
            r#""""#,
            r#""plain ä €""#,
            r#""a\"b\\c\/d\b\f\n\r\t\u00e4\ud83d\ude00 end""#,
            "[]",
            "[ 1 , [2], {} ]",
            r#"{"a":{"b":[null,true]},"c":"d"}"#,
            "",
            "nul",
            "[1,]",
            "[1 2]",
            r#"{"a" 1}"#,
            r#"{"a":1,}"#,
            r#"{1:2}"#,
            "{} x",
            r#""open"#,
            r#""\x""#,
            r#""\ud83d""#,
            r#""\ud83dab""#,
            "1.2.3",
            "--1",
            "ä",
        ] {
            check(text);
        }
    }

    #[test]
    fn what_was_written_is_read() {
        proptest::proptest!(|(text: String, natural: u64, integer: i64, real in -1e9..1e9_f64)| {
            let value = json!({ text.clone(): [text, natural, integer, null, true] });
            assert_eq!(read(value.to_string().as_bytes()), Ok(value));
            let near = read::<f64>(json!(real).to_string().as_bytes()).unwrap();
            assert!((near - real).abs() <= real.abs() * 2.0 * f64::EPSILON);
            let short = format!("{real:.2}");
            assert_eq!(read::<f64>(short.as_bytes()).ok(), short.parse().ok());
        });
    }

    #[test]
    fn one_of_several_is_read() {
        let change = json!({
            "section": "os", "key": "kernel", "kind": "changed", "before": "1", "after": null,
            "direction": null, "disposition": "drift",
        });
        let at = "2026-11-23T07:00:00Z";
        let group = json!({ "change": change, "host_count": 0, "hosts": [], "first_at": at, "last_at": at });
        let found = read(group.to_string().as_bytes());
        assert!(
            matches!(found, Ok(types::ChangeItem::Group(group)) if group.change.key == "kernel")
        );
        assert!(read::<types::ChangeItem>(b"{}").is_err());
    }

    #[test]
    fn moments_are_read() {
        for text in [
            "2026-11-23T07:00:00Z",
            "2024-02-29T23:59:60Z",
            "2026-11-23T07:00:00.5Z",
            "2026-11-23t07:00:00.123456789z",
            "2026-11-23T07:00:00+01:30",
            "2026-11-23T07:00:00-05:00",
            "2026-13-23T07:00:00Z",
            "2026-02-30T07:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T07:00Z",
            "2026-11-23T07:00:00",
            "2026-11-23",
            "today",
            "",
        ] {
            let expect = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
            let found = read::<DateTime<_>>(json!(text).to_string().as_bytes());
            // We know no leap seconds.
            if !text.contains(":60") {
                assert_eq!(found.ok(), expect.ok(), "{text}");
            }
        }
    }

    #[test]
    fn types_are_read_from_objects() {
        let field = json!({ "field": "name", "message": "is taken", "later": [{}] });
        assert!(read::<types::FieldError>(field.to_string().as_bytes()).is_ok());
        assert!(read::<types::FieldError>(br#"["name", "is taken"]"#).is_err());
        assert!(read::<types::FieldError>(b"{}").is_err());
        assert_eq!(read(br#""late""#), Ok(types::HostStatus::Late));
        assert_eq!(read::<types::HostStatus>(br#""asleep""#), Err(NotRead));
        assert_eq!(read::<Option<f64>>(b"null"), Ok(None));
        assert_eq!(read::<u32>(b"4294967296"), Err(NotRead));
        assert_eq!(read(b"1.7976931348623157e308"), Ok(f64::MAX));
    }
}
