//! `serve`: the daemon that sends nothing and is read.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Outcome, observer, sender, shutdown};
use crate::config::Settings;
use crate::daemon::Daemon;
use crate::report::{AGENT_VERSION, Sender};
use crate::serve::{Board, Endpoint};
use crate::state::StateDir;

/// Measures and answers readers until the agent is told to end.
pub async fn serve(settings: &Settings, state_dir: &Path) -> Outcome {
    let options = settings.endpoint()?;
    let state = StateDir::open(state_dir)?;
    let install_id = state.install_id()?;
    let sender = sender(settings, Some(install_id))?;
    let observer = observer(settings, &state, install_id)?;
    let shutdown = shutdown()?;
    start(&state, &sender, None);
    let board = Arc::new(Board::new(sender, observer.host()));
    let endpoint = Endpoint::open(&options, Arc::clone(&board)).await?;
    let daemon = Daemon {
        observer,
        pusher: None,
        board: Some(board),
    };
    until_end(daemon, Some(endpoint), shutdown).await;
    Ok(())
}

/// Says what starts.
pub fn start(state: &StateDir, sender: &Sender, server: Option<&str>) {
    tracing::info!(
        server,
        install_id = sender.install_id.map(tracing::field::display),
        interval_seconds = sender.interval_seconds,
        state_dir = %state.path().display(),
        "infra-watch-agent {AGENT_VERSION} starts"
    );
}

/// Runs the daemon until `shutdown`, and the endpoint for as long and until it has given its last answers.
pub async fn until_end(
    daemon: Daemon,
    endpoint: Option<Endpoint>,
    shutdown: impl Future<Output = ()>,
) {
    let (running, stopped) = watch::channel(());
    let daemon = async {
        daemon.run(shutdown).await;
        drop(running);
    };
    match endpoint {
        Some(endpoint) => drop(tokio::join!(daemon, endpoint.serve(stopped))),
        None => daemon.await,
    }
}
