//! Writes generated types as JSON, for who sends that code to a browser: each type writes its fields one by one
//! (`build/json.rs`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::num::NonZeroU64;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::number;

/// What can be written.
pub trait Write {
    /// Adds the value to a text.
    fn write(&self, text: &mut String);

    /// Whether an entry with this value may be left out where the document says so.
    fn is_none(&self) -> bool {
        false
    }
}

/// An object that is being written.
pub(crate) struct Entries<'a> {
    text: &'a mut String,
    next: char,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(text: &'a mut String) -> Self {
        Self { text, next: '{' }
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, name: &str, value: &dyn Write) {
        self.text.push(self.next);
        self.next = ',';
        quoted(name, self.text);
        self.text.push(':');
        value.write(self.text);
    }

    /// Adds an entry unless its value is none.
    pub(crate) fn add_some(&mut self, name: &str, value: &dyn Write) {
        if !value.is_none() {
            self.add(name, value);
        }
    }

    pub(crate) fn end(self) {
        if self.next == '{' {
            self.text.push('{');
        }
        self.text.push('}');
    }
}

/// Adds a text in quotes.
pub(crate) fn quoted(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => {
                text.push('\\');
                text.push(character);
            }
            '\0'..' ' => {
                // Writing into a text does not fail.
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}

impl Write for String {
    fn write(&self, text: &mut String) {
        quoted(self, text);
    }
}

impl Write for f64 {
    fn write(&self, text: &mut String) {
        let number = self.is_finite().then(|| number::shortest(*self));
        text.push_str(number.as_deref().unwrap_or("null"));
    }
}

/// What is written as it is shown.
macro_rules! shown {
    ($($kind:ty)*) => {
        $(impl Write for $kind {
            fn write(&self, text: &mut String) {
                let _ = write!(text, "{self}");
            }
        })*
    };
}

shown! { bool i32 i64 u8 u16 u32 u64 NonZeroU64 }

impl Write for Uuid {
    fn write(&self, text: &mut String) {
        quoted(&self.to_string(), text);
    }
}

impl Write for DateTime<Utc> {
    fn write(&self, text: &mut String) {
        quoted(&self.to_rfc3339(), text);
    }
}

impl<T: Write> Write for Option<T> {
    fn write(&self, text: &mut String) {
        match self {
            Some(value) => value.write(text),
            None => text.push_str("null"),
        }
    }

    fn is_none(&self) -> bool {
        self.is_none()
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, text: &mut String) {
        text.push('[');
        for (place, item) in self.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            item.write(text);
        }
        text.push(']');
    }
}

impl<T: Write> Write for HashMap<String, T> {
    fn write(&self, text: &mut String) {
        let mut entries = Entries::new(text);
        for (name, value) in self {
            entries.add(name, value);
        }
        entries.end();
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::Write;
    use crate::types;

    fn check<T: Write + Serialize + serde::de::DeserializeOwned>(value: Value) {
        let typed: T = serde_json::from_value(value).unwrap();
        let mut text = String::new();
        typed.write(&mut text);
        let written: Value = serde_json::from_str(&text).unwrap();
        // Moments may be written in two ways: what is read again is the same.
        let again: T = serde_json::from_value(written).unwrap();
        assert_eq!(
            serde_json::to_value(again).unwrap(),
            serde_json::to_value(typed).unwrap()
        );
    }

    #[test]
    fn bodies_are_what_serde_writes() {
        let name = "a \"quoted\" \\ name,\nä \u{1}";
        check::<types::UpdateUser>(json!({}));
        check::<types::UpdateUser>(json!({ "role": "admin", "disabled": false }));
        check::<types::CreateAlertRule>(json!({
            "name": name, "severity": "critical", "for_seconds": 300, "clear_value": -0.25,
            "condition": { "kind": "threshold", "metric": "load1", "operator": "gte", "value": 1e21 },
            "selector": { "labels": { "role": "web", "env": "" } },
            "channels": ["67e55044-10b1-426f-9247-bb680e5fe0c8"],
        }));
        check::<types::CreateSilence>(json!({
            "comment": name, "from": "2026-11-23T07:00:00.25Z", "to": "2026-11-24T07:00:00Z",
        }));
        check::<types::CreateEnrollmentKey>(json!({ "name": name, "max_uses": 3, "labels": {} }));
    }

    #[test]
    fn any_text_is_written() {
        proptest::proptest!(|(text: String, number in -1e9..1e9_f64)| {
            let mut written = String::new();
            text.write(&mut written);
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
            written.clear();
            number.write(&mut written);
            let back: f64 = serde_json::from_str(&written).unwrap();
            assert!((back - number).abs() <= number.abs() * 4.0 * f64::EPSILON + 1e-17);
        });
    }
}
