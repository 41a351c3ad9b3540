//! Reads JSON into the generated types with as little code as it takes, for who sends that code to a browser: errors
//! say nothing, structs are objects alone, and each kind of value is read in one place, whatever the type.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::mem;

use serde::de::value::CowStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

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

impl serde::de::Error for NotRead {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// Reads a whole body.
///
/// # Errors
/// When it is not JSON or not a `T`.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let rest = str::from_utf8(body).map_err(|_| NotRead)?;
    let mut reader = Reader { rest };
    let value = T::deserialize(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(NotRead),
    }
}

/// What has not been read yet.
struct Reader<'de> {
    rest: &'de str,
}

enum Number {
    Natural(u64),
    Integer(i64),
    Real(f64),
}

impl<'de> Reader<'de> {
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
    fn split(&mut self, bytes: usize) -> Result<&'de str> {
        let (part, rest) = self.rest.split_at_checked(bytes).ok_or(NotRead)?;
        self.rest = rest;
        Ok(part)
    }

    fn text(&mut self) -> Result<Cow<'de, str>> {
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

    fn number(&mut self) -> Result<Number> {
        self.peek();
        let mut bytes = self.rest.bytes();
        let end = bytes
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(self.rest.len());
        let text = self.split(end)?;
        if let Ok(number) = text.parse() {
            Ok(Number::Natural(number))
        } else if let Ok(number) = text.parse() {
            Ok(Number::Integer(number))
        } else {
            real(text).map(Number::Real).ok_or(NotRead)
        }
    }

    /// Visits the values between two brackets.
    fn between<T>(
        &mut self,
        start: &str,
        end: &str,
        visit: impl FnOnce(Items<'_, 'de>) -> Result<T>,
    ) -> Result<T> {
        self.take(start)?;
        let value = visit(Items {
            end: end.as_bytes()[0],
            is_first: true,
            reader: self,
        })?;
        self.take(end)?;
        Ok(value)
    }
}

/// A number with a fraction or an exponent. Up to 15 digits are exact; with more, the last bit or two may be others than
/// the nearest, which would take the standard library's tables.
fn real(text: &str) -> Option<f64> {
    let (text, mut exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.parse().ok()?),
        None => (text, 0_i32),
    };
    let (sign, text) = text
        .strip_prefix('-')
        .map_or((1.0, text), |rest| (-1.0, rest));
    if !text.starts_with(|character: char| character.is_ascii_digit()) {
        return None;
    }
    let (mut digits, mut seen_point) = (0_u64, false);
    for byte in text.bytes() {
        match byte {
            b'.' if !seen_point => seen_point = true,
            b'0'..=b'9' => {
                // Beyond these digits nothing changes any more.
                let is_counted = digits < 10_u64.pow(18);
                if is_counted {
                    digits = digits * 10 + u64::from(byte - b'0');
                }
                exponent += i32::from(!is_counted) - i32::from(seen_point);
            }
            _ => return None,
        }
    }
    let power = 10_f64.powi(exponent.checked_abs()?);
    let digits = digits as f64;
    let size = if exponent < 0 {
        digits / power
    } else {
        digits * power
    };
    Some(sign * size.min(f64::MAX))
}

/// The values of an array, or the entries of an object, up to the bracket that ends them.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    end: u8,
    is_first: bool,
}

impl Items<'_, '_> {
    fn is_next(&mut self) -> Result<bool> {
        if self.reader.peek() == Some(self.end) {
            return Ok(false);
        }
        if !mem::take(&mut self.is_first) {
            self.reader.take(",")?;
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = NotRead;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.is_next()? {
            true => seed.deserialize(&mut *self.reader).map(Some),
            false => Ok(None),
        }
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = NotRead;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.is_next()? {
            true => seed.deserialize(&mut *self.reader).map(Some),
            false => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.reader.take(":")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// Methods of a deserializer that read with one of its methods.
macro_rules! read_with {
    ($reader:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.$reader(visitor)
        })*
    };
}

impl<'de> Reader<'de> {
    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.number()? {
            Number::Natural(number) => visitor.visit_u64(number),
            Number::Integer(number) => visitor.visit_i64(number),
            Number::Real(number) => visitor.visit_f64(number),
        }
    }

    fn visit_text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn visit_array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.between("[", "]", |items| visitor.visit_seq(items))
    }

    fn visit_object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.between("{", "}", |items| visitor.visit_map(items))
    }

    fn visit_bool<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let value = self.peek() == Some(b't');
        self.take(if value { "true" } else { "false" })?;
        visitor.visit_bool(value)
    }

    fn visit_null<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.take("null")?;
        visitor.visit_unit()
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = NotRead;

    read_with! {
        visit_number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
    }
    read_with! {
        visit_text: deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier
    }
    read_with! { visit_array: deserialize_seq }
    read_with! { visit_object: deserialize_map }
    read_with! { visit_bool: deserialize_bool }
    read_with! { visit_null: deserialize_unit }
    read_with! { deserialize_any: deserialize_ignored_any }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'{') => self.visit_object(visitor),
            Some(b'[') => self.visit_array(visitor),
            Some(b'"') => self.visit_text(visitor),
            Some(b't' | b'f') => self.visit_bool(visitor),
            Some(b'n') => self.visit_null(visitor),
            _ => self.visit_number(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'n') => self.take("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.visit_object(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.visit_null(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.visit_array(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.visit_array(visitor)
    }

    /// Of the names of an enum alone; one that holds values has its own name in a field, which serde reads as a map.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(CowStrDeserializer::new(self.text()?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{NotRead, read};
    use crate::types;

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

    /// As `oneOf` becomes.
    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(untagged)]
    enum Either {
        Role(types::Role),
        Place { place: Option<u32> },
    }

    #[test]
    fn one_of_several_is_read() {
        let check = |text: &str, expect| assert_eq!(read(text.as_bytes()), expect, "{text}");
        check(r#""admin""#, Ok(Either::Role(types::Role::Admin)));
        check(r#"{"place": 3}"#, Ok(Either::Place { place: Some(3) }));
        check(r#"{"place": null}"#, Ok(Either::Place { place: None }));
        check("[]", Err(NotRead));
    }

    #[test]
    fn types_are_read_from_objects() {
        let field = json!({ "field": "name", "message": "is taken", "later": [{}] });
        assert!(read::<types::FieldError>(field.to_string().as_bytes()).is_ok());
        assert!(read::<types::FieldError>(br#"["name", "is taken"]"#).is_err());
        assert!(read::<types::FieldError>(b"{}").is_err());
        assert_eq!(read(br#""late""#), Ok(types::HostStatus::Late));
        assert_eq!(read::<types::HostStatus>(br#""asleep""#), Err(NotRead));
        assert_eq!(read::<Option<[f64; 2]>>(b"[1, 2.5]"), Ok(Some([1.0, 2.5])));
        assert!(read::<[f64; 2]>(b"[1, 2, 3]").is_err());
        assert_eq!(read(b"1.7976931348623157e308"), Ok(f64::MAX));
    }
}
