//! Hosts: names, labels and collection, and removal with everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::collection::{self, CollectionFields};
use super::{Caller, FlowError, change_host, note, set};
use crate::app::App;
use crate::domain::host::Host;

/// What shall be different of a host; what is `None` stays.
#[derive(Default)]
pub struct HostPatch {
    /// Its name; an empty one goes back to the hostname.
    pub name: Option<String>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Seconds between two collections.
    pub interval_seconds: Option<u32>,
    /// How it is pulled.
    pub collection: Option<CollectionFields>,
}

/// Changes a host.
///
/// # Errors
/// [`FlowError::NotFound`], and what [`collection::change`] says.
pub async fn update(
    app: &App,
    caller: &Caller,
    host_id: Uuid,
    patch: HostPatch,
) -> Result<Arc<Host>, FlowError> {
    let now = app.clock.now();
    let is_collection = patch.collection.is_some() || patch.interval_seconds.is_some();
    let host = app
        .store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            if let Some(name) = patch.name {
                host.given_name = Some(name).filter(|name| !name.is_empty());
            }
            set(&mut host.labels, patch.labels);
            if is_collection {
                collection::change(&mut host, patch.collection, patch.interval_seconds)?;
            }
            note(
                change,
                now,
                caller.actor(),
                "host.update",
                Some(host_id),
                host.name(),
            );
            change.put(host.clone());
            Ok::<_, FlowError>(host)
        })
        .await?;
    if is_collection {
        app.transports.forget(host_id);
        app.collections.restart(host_id, now);
    }
    Ok(Arc::new(host))
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
    app.transports.forget(host_id);
    app.store.series.forget(number);
    app.store.inventory.remove(host_id);
    // The host is gone; what is left of it on disk goes now, or with the next sweep.
    if let Err(error) = app.store.purge_deleted_hosts().await {
        tracing::warn!(%host_id, %error, "what the deleted host left is removed later");
    }
    Ok(())
}
