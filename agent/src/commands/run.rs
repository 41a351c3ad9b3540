//! `run`: the daemon that pushes, with the endpoint beside it where that is wanted.

use std::path::Path;
use std::sync::Arc;

use super::{Outcome, announce, observer, run_with, sender, shutdown};
use crate::config::{self, Settings};
use crate::daemon::Daemon;
use crate::push::{Parts, Pusher};
use crate::serve::{Board, Endpoint};
use crate::state::StateDir;

/// Measures and pushes until the agent is told to end.
pub async fn run(settings: &Settings, state_dir: &Path) -> Outcome {
    let server = settings.server_url()?;
    let enrollment_key = settings.enrollment_key()?;
    let spool_limits = settings.spool_limits()?;
    let endpoint = settings.endpoint_beside()?;
    let state = StateDir::open(state_dir)?;
    let install_id = state.install_id()?;
    let sender = sender(settings, Some(install_id))?;
    let observer = observer(settings, &state, install_id)?;
    let _lock = state.lock()?;
    let alive = state.alive(sender.interval_seconds.get());
    let shutdown = shutdown()?;
    announce(&state, &sender, Some(&server));
    if config::is_exposed(&server) {
        tracing::warn!(
            server,
            "without https, the token and all that is sent can be read on the way"
        );
    }
    let host = observer.host();
    let endpoint = match endpoint {
        Some(options) => {
            let board = Arc::new(Board::new(sender, host.clone()));
            Some((Endpoint::open(&options, Arc::clone(&board)).await?, board))
        }
        None => None,
    };
    let pusher = Pusher::new(Parts {
        install_id,
        sender,
        server,
        ca_file: settings.ca_file.clone(),
        enrollment_key,
        state,
        spool_limits,
        host,
    })?;
    let (endpoint, board) = endpoint.unzip();
    let daemon = Daemon {
        observer,
        alive,
        pusher: Some(pusher),
        board,
    };
    run_with(daemon, endpoint, shutdown).await;
    Ok(())
}
