//! The token that a client sends with every request.

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
pub(crate) fn authorize(credentials: &Credentials, request: &mut reqwest::Request) {
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
