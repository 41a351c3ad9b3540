//! `serve`: the daemon that sends nothing and is read.

use std::path::Path;
use std::sync::Arc;

use super::{Outcome, announce, observer, run_with, sender, shutdown};
use crate::config::Settings;
use crate::daemon::Daemon;
use crate::serve::{Board, Endpoint};
use crate::state::StateDir;

/// Measures and answers readers until the agent is told to end.
pub async fn serve(settings: &Settings, state_dir: &Path) -> Outcome {
    let options = settings.endpoint()?;
    let state = StateDir::open(state_dir)?;
    let install_id = state.install_id()?;
    let sender = sender(settings, Some(install_id))?;
    let observer = observer(settings, &state, install_id)?;
    let alive = state.alive(sender.interval_seconds.get());
    let shutdown = shutdown()?;
    announce(&state, &sender, None);
    let board = Arc::new(Board::new(sender, observer.host()));
    let endpoint = Endpoint::open(&options, Arc::clone(&board)).await?;
    let daemon = Daemon {
        observer,
        alive,
        pusher: None,
        board: Some(board),
    };
    run_with(daemon, Some(endpoint), shutdown).await;
    Ok(())
}
