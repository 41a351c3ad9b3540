//! The client of the Infra-Watch API, generated from `openapi.json` at build time for native and wasm32.
//!
//! [`Client`] has one method for each operation, named as its operation id. Everything that the API says stands in
//! [`types`]. [`operations`] says the same for who brings a transport, as the dashboard does.

mod request;

use std::sync::{Arc, PoisonError, RwLock};

/// What a client sends as `Authorization: Bearer`; clones share it, so that a refreshed token reaches all of them.
#[derive(Clone, Debug, Default)]
pub struct Credentials(Arc<RwLock<Option<String>>>);

impl Credentials {
    /// Sends this token from now on; with `None`, no header.
    pub fn set(&self, token: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// The token that is sent.
    pub fn get(&self) -> Option<String> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Adds the bearer token to a request that is about to be sent.
fn authorize(credentials: &Credentials, request: &mut reqwest::Request) {
    let header = credentials
        .get()
        .and_then(|token| reqwest::header::HeaderValue::from_str(&format!("Bearer {token}")).ok());
    if let Some(mut header) = header {
        header.set_sensitive(true);
        request
            .headers_mut()
            .insert(reqwest::header::AUTHORIZATION, header);
    }
}

#[expect(
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    unused_qualifications,
    reason = "generated code is not written for our lints"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

#[expect(
    clippy::extra_unused_lifetimes,
    clippy::needless_lifetimes,
    reason = "generated code is not written for our lints"
)]
pub mod operations {
    //! One function for each operation of the document, named as its operation id. What must be given are arguments,
    //! what may be given are methods of what it returns.

    use crate::request::{Operation, Request};
    use crate::types;

    include!(concat!(env!("OUT_DIR"), "/operations.rs"));
}

pub use generated::*;
pub use request::{Operation, Page, Request};
