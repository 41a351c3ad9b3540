//! Hosts: names and labels, and removal with everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Caller, FlowError, change_host, note};
use crate::app::App;
use crate::domain::host::Host;

/// Changes a host's name or labels; what is `None` stays, and an empty name goes back to the hostname.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn update(
    app: &App,
    caller: &Caller,
    host_id: Uuid,
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
) -> Result<Arc<Host>, FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            if let Some(name) = name {
                host.given_name = Some(name).filter(|name| !name.is_empty());
            }
            host.labels = labels.unwrap_or(host.labels);
            note(
                change,
                now,
                caller.actor(),
                "host.update",
                Some(host_id),
                host.name(),
            );
            change.put(host.clone());
            Ok(Arc::new(host))
        })
        .await
}

/// Removes a host with everything that is kept of it; its token stops working at once.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn delete(app: &App, caller: &Caller, host_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    let known = app.store.state.hosts.get(host_id);
    let number = known.ok_or(FlowError::NotFound("host"))?.number;
    // Nothing of its configuration is written or swept meanwhile.
    let _alone = app.store.alone_with(number).await;
    let number = app
        .store
        .state
        .change(|change| {
            let host = change
                .state
                .hosts
                .get(host_id)
                .ok_or(FlowError::NotFound("host"))?;
            change.delete_host(&host);
            note(
                change,
                now,
                caller.actor(),
                "host.delete",
                Some(host_id),
                host.name(),
            );
            Ok::<_, FlowError>(host.number)
        })
        .await?;
    app.store.series.forget(number);
    app.store.inventory.remove(host_id);
    // The host is gone; what is left of it on disk goes now, or with the next sweep.
    if let Err(error) = app.store.purge_deleted_hosts().await {
        tracing::warn!(%host_id, %error, "what the deleted host left is removed later");
    }
    Ok(())
}
