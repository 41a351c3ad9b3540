//! Agents' endpoints over HTTP.

use bytes::Bytes;
use uuid::Uuid;

use super::{Transport, TransportError, TransportSettings, Visit};
use crate::domain::collection::{Failure, HttpTarget, Step, Want};

/// Whether an endpoint may have this URL.
///
/// # Errors
/// What is wrong with it, in words that follow its name.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    if url.starts_with("http://") || url.starts_with("https://") {
        Ok(())
    } else {
        Err("must begin with http:// or https://")
    }
}

/// Asks endpoints.
pub struct HttpTransport;

impl HttpTransport {
    pub(super) fn new(_settings: &TransportSettings) -> Result<Self, TransportError> {
        Ok(Self)
    }
}

impl Transport for HttpTransport {
    type Target = HttpTarget;

    async fn fetch(
        &self,
        _host_id: Uuid,
        _target: &HttpTarget,
        _want: &Want,
        _visit: &mut Visit,
    ) -> Result<Bytes, Failure> {
        Err(Failure::new(Step::Resolve, "not built yet"))
    }
}
