//! Strict JSON from outside into checked types, with the field named that is wrong.

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::strict::Strict;

/// Why text is not what it should be. Neither a parser's internals nor the value are in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// It is no JSON; holds the place, as ` at line 1 column 2`.
    #[error("not valid JSON{0}")]
    Json(String),
    /// A field is not what it should be.
    #[error("{field} {message}")]
    Field {
        /// Its path, such as `points[3].values[1]`; empty for the whole.
        field: String,
        /// What is wrong, in words that follow its name.
        message: String,
    },
}

/// Parses straight into the checked type; only text that fails is read again, to name the field.
///
/// # Errors
/// See [`ParseError`].
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ParseError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = T::deserialize(Strict(&mut deserializer));
    if let Ok(value) = parsed.and_then(|value| deserializer.end().map(|()| value)) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Strict(&mut deserializer)).map_err(|error| {
        let path = error.path().to_string();
        refusal(if path == "." { "" } else { &path }, error.inner())
    })?;
    deserializer.end().map_err(|error| refusal("", &error))?;
    Ok(value)
}

/// The words of a parser's error that are ours to say: never its internals, never the value.
fn refusal(path: &str, error: &serde_json::Error) -> ParseError {
    use serde_json::error::Category;
    if error.classify() != Category::Data {
        let place = if error.line() == 0 {
            String::new()
        } else {
            format!(" at line {} column {}", error.line(), error.column())
        };
        return ParseError::Json(place);
    }
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message);
    let quoted = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
    let field = |field: &str, message: &str| ParseError::Field {
        field: field.to_owned(),
        message: message.to_owned(),
    };
    let within = |name: String| {
        if path.is_empty() {
            name
        } else {
            format!("{path}.{name}")
        }
    };
    if text.starts_with("missing field") {
        field(&within(quoted(text)), "is required")
    } else if text.starts_with("unknown field") {
        // The path ends in the unknown name already.
        field(path, "is not a field that is known here")
    } else if text.starts_with("duplicate field") {
        field(&within(quoted(text)), "is given twice")
    } else if text.starts_with("unknown variant") {
        let known = text
            .split_once("expected ")
            .map_or("another value", |(_, known)| known);
        field(path, &format!("must be {}", known.replace('`', "")))
    } else if let Some((_, expected)) = text
        .split_once(", expected ")
        .filter(|_| text.starts_with("invalid "))
    {
        let expected = match expected {
            "f64" => "a number",
            "i64" | "u32" | "u64" => "a whole number",
            expected if expected.starts_with("struct ") => "an object",
            expected if expected.contains("UUID") || expected.contains("uuid") => "a UUID",
            expected if expected.contains("date and time") => "a time in RFC 3339",
            expected => expected,
        };
        field(path, &format!("must be {expected}"))
    } else if text.starts_with("must ") || text.starts_with("has ") {
        field(path, text)
    } else {
        field(path, "is not valid")
    }
}
