//! Infra-Watch's backend: the map.
//!
//! - [`domain`]: plain data and decisions; no input or output, no clock.
//! - [`wire`]: the JSON shapes of the published document, checked into and out of the domain.
//! - [`store`]: keeping: an ordered key-value seam, redb behind it, state as records, series as log and head.
//! - [`flows`]: the verbs, one path each: login, enroll, ingest, query, maintain.
//! - [`http`]: poem: guards, problems, one file per noun.
//! - [`notify`]: telling people: webhooks and mail.
//! - [`outgoing`]: what everything that dials has in common: permitted addresses, believed certificates.
//! - [`transport`]: reaching a host to fetch its report: over HTTP, over SSH.
//! - [`scheduler`]: the cron table.
//! - [`commands`]: the subcommands.
//! - [`app`]: everything that flows need, built once. [`clock`]: time, as an argument. [`config`]: settings.
//!
//! `tests/rooms.rs` holds who may name whom.

pub mod app;
pub mod clock;
pub mod commands;
pub mod config;
pub mod domain;
pub mod flows;
pub mod http;
pub mod notify;
pub mod outgoing;
pub mod scheduler;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod transport;
pub mod wire;

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::app::App;
use crate::http::HttpSettings;
use crate::http::server::ServeOptions;

/// Serves an application on a listener until `shutdown`. The caller owns socket and end.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(
    app: Arc<App>,
    settings: HttpSettings,
    listener: TcpListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let endpoint = http::service(Arc::clone(&app), settings);
    let stopping = app.stopping.clone();
    let shutdown = async move {
        shutdown.await;
        stopping.cancel();
    };
    let loading = {
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            tokio::select! {
                () = app.stopping.cancelled() => {}
                () = flows::configuration::load_inventory(&app) => {}
            }
        })
    };
    let served = http::server::serve(endpoint, listener, options, shutdown).await;
    // These hold the store, which the caller may want to close now.
    app.stopping.cancel();
    app.collections.tasks.close();
    app.collections.tasks.wait().await;
    if let Err(error) = loading.await {
        tracing::error!(%error, "reading the inventory");
    }
    served
}
