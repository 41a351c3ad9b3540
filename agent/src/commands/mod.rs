//! The subcommands.

mod health;
mod manual;
mod prepare;
mod report;
mod run;
mod serve;

use std::error::Error;
use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;

use crate::chain;
use crate::config::{ConfigError, Settings};
use crate::daemon::{Daemon, FIRST_MEASURE, Observer, Taker, Ticks};
use crate::facts::Facts;
use crate::report::{AGENT_VERSION, Sender};
use crate::serve::Endpoint;
use crate::state::StateDir;

pub use health::health;
pub use manual::{completions, config, man};
pub use prepare::prepare;
pub use report::report;
pub use run::run;
pub use serve::serve;

/// How a subcommand ends.
pub type Outcome = Result<(), Box<dyn Error>>;

fn sender(settings: &Settings, install_id: Option<Uuid>) -> Result<Sender, ConfigError> {
    Ok(Sender {
        install_id,
        interval_seconds: settings.interval_seconds()?,
        snapshot_interval_seconds: settings.snapshot_interval_seconds()?,
    })
}

/// What takes snapshots, with the key of this host. Without a key values cannot be hashed, and only names are told.
fn facts(settings: &Settings, state: &StateDir) -> Result<Facts, Box<dyn Error>> {
    let key = state.environment_key().inspect_err(|error| {
        tracing::warn!(
            error = chain(error),
            "only the names of environment variables are sent"
        );
    });
    Ok(Facts::new(
        &settings.host_root()?,
        state.path(),
        settings.watched_environment(key.ok()),
        settings.files()?,
        settings.services(),
    ))
}

/// What observes this machine.
fn observer(
    settings: &Settings,
    state: &StateDir,
    install_id: Uuid,
) -> Result<Observer, Box<dyn Error>> {
    let interval_seconds = settings.interval_seconds()?.get();
    let root = settings.host_root()?;
    let taker = Taker::new(
        root.clone(),
        facts(settings, state)?,
        settings.snapshot_interval_seconds()?.get(),
        interval_seconds,
        FIRST_MEASURE,
    );
    let ticks = Ticks::new(interval_seconds, install_id);
    Ok(Observer::new(root, ticks, taker))
}

/// Comes when the agent is told to end.
fn shutdown() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Says what starts.
fn announce(state: &StateDir, sender: &Sender, server: Option<&str>) {
    tracing::info!(
        server,
        install_id = sender.install_id.map(tracing::field::display),
        interval_seconds = sender.interval_seconds,
        state_dir = %state.path().display(),
        "infra-watch-agent {AGENT_VERSION} starts"
    );
}

/// Runs the daemon until `shutdown`, and the endpoint for as long and until it has given its last answers.
async fn run_with(daemon: Daemon, endpoint: Option<Endpoint>, shutdown: impl Future<Output = ()>) {
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
