//! Requests without a way to send them, for who brings one: the browser has its own, and its is free.

use std::fmt::Write as _;
use std::fmt::{self, Display};

use crate::read::{NotRead, Read, read};
use crate::write::Write;

/// What is asked of the API, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query, from the root of the server on.
    pub target: String,
    /// A body of JSON.
    pub body: Option<String>,
}

/// An operation of the API with everything that it needs; all of them stand in [`crate::operations`].
pub trait Operation {
    /// What a success says.
    type Answer: Read + 'static;

    /// What is sent for it.
    fn into_request(self) -> Request;

    /// Reads the body of a success; a body that is empty says nothing, as `null` does.
    ///
    /// # Errors
    /// When the body does not say what the document says it does.
    fn read(body: &[u8]) -> Result<Self::Answer, NotRead> {
        read(if body.is_empty() { b"null" } else { body })
    }
}

/// A part of a list that comes in pages.
pub trait Page {
    /// What is listed.
    type Item;

    /// The items, and the cursor of the page that follows.
    fn into_parts(self) -> (Vec<Self::Item>, Option<String>);
}

impl Request {
    pub(crate) fn new(method: &'static str) -> Self {
        Self {
            method,
            target: String::new(),
            body: None,
        }
    }

    /// Adds a part of the path as it is.
    pub(crate) fn path(&mut self, path: &str) {
        self.target.push_str(path);
    }

    /// Adds a value that is a part of the path, or the value of a pair.
    pub(crate) fn value(&mut self, value: &dyn Display) {
        // Writing into a text does not fail.
        let _ = write!(Encoder(&mut self.target), "{value}");
    }

    /// Adds a pair to the query.
    pub(crate) fn query(&mut self, name: &str, value: &dyn Display) {
        let is_first = !self.target.contains('?');
        self.target.push(if is_first { '?' } else { '&' });
        self.target.push_str(name);
        self.target.push('=');
        self.value(value);
    }

    /// Takes a body.
    pub(crate) fn body(&mut self, body: &dyn Write) {
        let mut text = String::new();
        body.write(&mut text);
        self.body = Some(text);
    }
}

/// Writes what has no meaning in an address as it is, and everything else as `%` and two digits.
struct Encoder<'a>(&'a mut String);

impl fmt::Write for Encoder<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    self.0.push(byte.into());
                }
                _ => write!(self.0, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::Operation;
    use crate::{operations, types};

    #[test]
    fn requests_are_what_the_document_says() {
        let check = |operation: &dyn Fn() -> super::Request, expect: &str| {
            let request = operation();
            let body = request.body.unwrap_or_default();
            assert_eq!(
                format!("{} {} {body}", request.method, request.target),
                expect
            );
        };
        let id = Uuid::nil();
        check(
            &|| operations::get_host(id).into_request(),
            "GET /api/v1/hosts/00000000-0000-0000-0000-000000000000 ",
        );
        check(
            &|| {
                operations::list_hosts()
                    .label(&["role=web", "a&b=ä"])
                    .status(types::HostStatus::Up)
                    .limit(5)
                    .cursor(None)
                    .into_request()
            },
            "GET /api/v1/hosts?label=role%3Dweb&label=a%26b%3D%C3%A4&status=up&limit=5 ",
        );
        check(
            &|| operations::run_job("../x").into_request(),
            "POST /api/v1/system/jobs/..%2Fx/run ",
        );
        let body = types::UpdateUser {
            disabled: Some(true),
            password: None,
            role: None,
            username: None,
        };
        check(
            &|| operations::update_user(id, &body).into_request(),
            "PATCH /api/v1/users/00000000-0000-0000-0000-000000000000 {\"disabled\":true}",
        );
    }

    #[test]
    fn answers_are_read() {
        assert!(operations::Logout::read(b"").is_ok());
        assert!(operations::GetMe::read(b"").is_err());
    }
}
