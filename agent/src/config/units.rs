//! Durations and sizes as people write them: `30s`, `5m`, `15d`, `64MiB`.

use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// A text that is no duration or no size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("not a duration: write a whole number and s, m, h or d, such as 30s")]
    Span,
    /// Not a size.
    #[error("not a size: write a whole number and KiB, MiB or GiB, such as 64MiB")]
    Size,
}

/// A duration of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
        number_of(text, &units)
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or(UnitError::Span)
    }
}

impl TryFrom<String> for Span {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        number_of(text, &units).map(Self).ok_or(UnitError::Size)
    }
}

impl TryFrom<String> for Size {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

/// Several names: a list in the file, separated by commas in the environment.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list, or names separated by commas")]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    Ok(Some(match Form::deserialize(deserializer)? {
        Form::List(list) => list,
        Form::Text(text) => {
            let names = text.split(',').map(str::trim);
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        }
    }))
}

/// Yes or no: `true` or `false` in the file, and in the environment as text.
pub fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected true or false")]
    enum Form {
        Switch(bool),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Switch(is_on) => Ok(Some(is_on)),
        Form::Text(text) => text
            .parse()
            .map(Some)
            .map_err(|_| D::Error::custom("expected true or false")),
    }
}

fn number_of(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.trim().strip_suffix(unit)?, factor)))?;
    // `parse` alone would take a sign.
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number
        .parse::<u64>()
        .ok()
        .filter(|_| digits)?
        .checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let check = |text: &str, expect: Option<u64>| {
            let found = text.parse::<Span>().ok().map(|span| span.0.as_secs());
            assert_eq!(found, expect, "{text}");
        };
        check("30s", Some(30));
        check("5m", Some(300));
        check("1h", Some(3600));
        check("15d", Some(1_296_000));
        check("0s", Some(0));
        check("30", None);
        check("s", None);
        check("+3s", None);
        check("1.5h", None);
        check("30 s", None);
        check("", None);
        check("99999999999999999999d", None);
        check("9999999999999999d", None);
    }

    #[test]
    fn sizes() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(text.parse::<Size>().ok(), expect.map(Size), "{text}");
        };
        check("64MiB", Some(64 << 20));
        check("1GiB", Some(1 << 30));
        check("512KiB", Some(512 << 10));
        check("64MB", None);
        check("64", None);
    }
}
