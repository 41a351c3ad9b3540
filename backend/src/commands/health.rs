//! `health`: whether a running backend is ready, for container health checks.

use std::time::Duration;

use super::{chain, client};
use crate::config::HealthArguments;

/// Time to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `/readyz`.
///
/// # Errors
/// In words, when the backend is not ready or cannot be reached.
pub async fn run(arguments: &HealthArguments) -> Result<(), String> {
    let client = client::builder("health", arguments.ca_file.as_deref())
        .map_err(|error| chain(&error))?
        .timeout(PATIENCE)
        .build()
        .map_err(|error| chain(&error))?;
    let url = format!("{}/readyz", arguments.server.trim_end_matches('/'));
    let response = client
        .get(&url)
        .send()
        .await
        .map_err(|error| chain(&error))?;
    if response.status().is_success() {
        Ok(())
    } else {
        Err(format!("{url} answers {}", response.status()))
    }
}
