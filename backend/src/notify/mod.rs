//! Telling people.

use chrono::{DateTime, Utc};

use crate::domain::notification::{Channel, Content, Email};

/// Why somebody was not told.
#[derive(Debug, thiserror::Error)]
#[error("not delivered")]
pub struct NotifyError;

/// Tells people.
#[derive(Default)]
pub struct Notifiers;

impl Notifiers {
    /// Sends content to a channel.
    ///
    /// # Errors
    /// When it did not arrive.
    pub async fn send(
        &self,
        _channel: &Channel,
        _key: &str,
        _content: &Content,
        _now: DateTime<Utc>,
    ) -> Result<(), NotifyError> {
        Err(NotifyError)
    }
}

/// Whether a webhook may have this address.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(_url: &str) -> Result<(), &'static str> {
    Ok(())
}

/// Whether mail may have these addresses.
///
/// # Errors
/// A field, and what is wrong with it.
pub fn check_addresses(_email: &Email) -> Result<(), (String, String)> {
    Ok(())
}
