//! The subcommands: from settings to an application, and what runs without one.

pub mod backup;
mod client;
pub mod collect;
pub mod diff;
pub mod health;
pub mod manual;
pub mod serve;
pub mod user;

use std::error::Error;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for a signal to stop.
async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
