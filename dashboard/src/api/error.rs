//! What can go wrong when the backend is asked, in words for people.

use std::fmt;
use std::str::FromStr;

use infra_watch_client::types;

use crate::format;

/// One field that the backend refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
}

/// An answer that is not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status, if there was an answer at all.
    status: Option<u16>,
    /// What failed, as a sentence.
    message: String,
    /// Which fields are wrong, where it is about fields.
    pub fields: Vec<FieldError>,
}

impl ApiError {
    /// Something that is wrong with one field, found before anything was sent.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        let fields = vec![FieldError {
            name: name.to_owned(),
            message: message.into(),
        }];
        Self {
            status: Some(422),
            message: "Something is not right yet.".to_owned(),
            fields,
        }
    }

    /// A value as the client's checked type, or what is wrong with the field it came from.
    pub fn checked<T: FromStr<Err: fmt::Display>>(name: &str, value: &str) -> Result<T, Self> {
        value
            .parse()
            .map_err(|error: T::Err| Self::field(name, in_words(&error.to_string())))
    }

    /// Whether the token was missing, ended or revoked.
    pub fn is_unauthorized(&self) -> bool {
        self.status == Some(401)
    }

    /// Whether asking again is pointless and what was known before is not true any more.
    pub fn is_final(&self) -> bool {
        matches!(self.status, Some(401 | 403 | 404))
    }

    /// There was no answer at all.
    pub fn unreachable() -> Self {
        Self::without_problem(None, "The server cannot be reached.".to_owned())
    }

    /// The answer does not say what the document says it does.
    pub fn not_understood() -> Self {
        let message =
            "The server's answer was not understood. A reload may bring a newer dashboard.";
        Self::without_problem(None, message.to_owned())
    }

    /// An answer that is no success; it comes with a problem unless something else than the backend has answered.
    pub fn refused(status: u16, body: &[u8]) -> Self {
        match infra_watch_client::read(body) {
            Ok(problem) => Self::problem(status, problem),
            Err(_) => {
                let message = format!("The server answered with status {status}.");
                Self::without_problem(Some(status), message)
            }
        }
    }

    fn problem(status: u16, problem: types::Problem) -> Self {
        let fields = problem
            .errors
            .into_iter()
            .map(|error| FieldError {
                name: error.field,
                message: error.message,
            })
            .collect();
        let words = if problem.detail.is_empty() {
            problem.title
        } else {
            problem.detail
        };
        Self {
            status: Some(status),
            message: sentence(&words),
            fields,
        }
    }

    fn without_problem(status: Option<u16>, message: String) -> Self {
        Self {
            status,
            message,
            fields: Vec::new(),
        }
    }
}

/// What the generated checks say, as a person would say it.
fn in_words(message: &str) -> String {
    match message {
        _ if message.starts_with("shorter than 1 ") => "must not be empty".to_owned(),
        _ if message.starts_with("doesn't match pattern") => {
            "has characters that are not allowed here".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// Text as a sentence: a capital first, a full stop last.
fn sentence(text: &str) -> String {
    let text = format::capitalised(text.trim());
    if text.ends_with(['.', '!', '?']) {
        text
    } else {
        format!("{text}.")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_before_sending() {
        let fields =
            ApiError::checked::<types::LoginPassword>("password", "").map_err(|error| error.fields);
        let expect = vec![FieldError {
            name: "password".to_owned(),
            message: "must not be empty".to_owned(),
        }];
        assert_eq!(fields, Err(expect));
        assert!(ApiError::checked::<types::LoginPassword>("password", "long enough").is_ok());
        assert_eq!(sentence("no name"), "No name.");
    }
}
