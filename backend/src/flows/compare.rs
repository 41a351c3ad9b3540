//! Questions about configurations: one at a time, two beside each other, a group, and who has what.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::FlowError;
use super::configuration::{self, Configuration};
use crate::app::App;
use crate::domain::change::{self, Change};
use crate::domain::compare;
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::snapshot::{DocumentId, StaleSection, without_keyed_hashes};
use crate::store::{baseline, snapshot};

/// How long a question waits for the inventory to be read after a start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which of a host's configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one in force now.
    Latest,
    /// The approved one.
    Baseline,
    /// A snapshot's, or that of a baseline of the past.
    Id(Uuid),
    /// The one in force at a time.
    At(DateTime<Utc>),
}

/// A configuration with what is known about it.
pub struct Found {
    /// The snapshot's id, or the baseline's.
    pub id: Uuid,
    /// When the host took it, or when the baseline was approved.
    pub taken_at: DateTime<Utc>,
    /// When the backend received it, or when the baseline was approved.
    pub received_at: DateTime<Utc>,
    /// What could not be read.
    pub stale: Vec<StaleSection>,
    /// Its content.
    pub configuration: Configuration,
}

struct Meta {
    id: Uuid,
    document: DocumentId,
    taken_at: DateTime<Utc>,
    stale: Vec<StaleSection>,
}

/// Finds a host's configuration.
///
/// # Errors
/// [`FlowError::NotFound`], and the store's.
pub async fn find(app: &App, host: &Host, which: Which) -> Result<Found, FlowError> {
    let kv = app.store.kv.as_ref();
    let of_snapshot = |stored: snapshot::StoredSnapshot| Meta {
        id: stored.snapshot_id,
        document: stored.document,
        taken_at: stored.taken_at,
        stale: stored.stale,
    };
    let of_baseline = |id, document, taken_at| Meta {
        id,
        document,
        taken_at,
        stale: Vec::new(),
    };
    let meta = match which {
        Which::Latest => host.snapshot.as_ref().map(|known| Meta {
            id: known.snapshot_id,
            document: known.document,
            taken_at: known.taken_at,
            stale: known.stale.clone(),
        }),
        Which::Baseline => host
            .baseline
            .as_ref()
            .map(|known| of_baseline(known.baseline_id, known.document, known.at)),
        Which::At(at) => snapshot::in_force_at(kv, host.number, at)
            .await?
            .map(of_snapshot),
        Which::Id(id) => match snapshot::get(kv, host.number, id).await? {
            Some(stored) => Some(of_snapshot(stored)),
            None => baseline::get(kv, host.number, id)
                .await?
                .map(|known| of_baseline(known.baseline_id, known.document, known.at)),
        },
    };
    let meta = meta.ok_or(FlowError::NotFound("snapshot"))?;
    Ok(Found {
        configuration: configuration::read(app, host.number, meta.document).await?,
        id: meta.id,
        taken_at: meta.taken_at,
        received_at: id::time(meta.id),
        stale: meta.stale,
    })
}

/// Two configurations beside each other.
pub struct Difference {
    /// What differs, item by item.
    pub items: Vec<Change>,
    /// The same as text.
    pub unified: String,
}

/// Compares two configurations, of one host or of two. Keyed hashes of different hosts say nothing about each other.
///
/// # Errors
/// See [`find`].
pub async fn difference(
    app: &App,
    left: (Arc<Host>, Which),
    right: (Arc<Host>, Which),
) -> Result<Difference, FlowError> {
    let (left_host, right_host) = (left.0, right.0);
    let left = find(app, &left_host, left.1).await?;
    let right = find(app, &right_host, right.1).await?;
    let name = |host: &Host, found: &Found| {
        let at = found
            .taken_at
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        format!("{} {at}", host.name())
    };
    let names = (name(&left_host, &left), name(&right_host, &right));
    let is_one_host = left_host.host_id == right_host.host_id;
    super::query::off_thread(app, move || {
        let (left, right) = (&left.configuration.sections, &right.configuration.sections);
        let compare = |left: &_, right: &_| Difference {
            items: change::diff(left, right),
            unified: compare::unified((&names.0, &names.1), left, right),
        };
        Ok(if is_one_host {
            compare(left, right)
        } else {
            compare(&without_keyed_hashes(left), &without_keyed_hashes(right))
        })
    })
    .await
}

/// Differences of a host of a group that are listed.
const LISTED_DIFFERENCES: usize = 1_000;

/// How a host of a group differs from the others.
pub struct Outlier {
    /// The host.
    pub host: Arc<Host>,
    /// How many items differ; `None` when nothing is known of the host.
    pub count: Option<usize>,
    /// The first of them: what differs from the reference (`before`).
    pub items: Vec<Change>,
}

/// Some hosts of a group.
pub struct Group {
    /// How many hosts there are in all.
    pub count: usize,
    /// Those that were asked for.
    pub members: Vec<Outlier>,
}

/// Compares each host with the golden one, or with what most of them have. Those that differ most come first, then by
/// `name`; items are made only of the places that are asked for.
///
/// # Errors
/// [`FlowError::NotFound`] when nothing is known of the golden host.
pub async fn group(
    app: &App,
    hosts: Vec<Arc<Host>>,
    golden: Option<Uuid>,
    name: fn(&Host) -> String,
    places: Range<usize>,
) -> Result<Group, FlowError> {
    let inventory = loaded(app).await?;
    super::query::off_thread(app, move || {
        let ids: Vec<Uuid> = hosts.iter().map(|host| host.host_id).collect();
        let reference = match golden {
            Some(golden) => inventory
                .golden(golden)
                .ok_or(FlowError::NotFound("snapshot of the golden host"))?,
            None => inventory.majority(&ids),
        };
        let differences = |host: &Host| inventory.differences(&reference, host.host_id);
        let hosts = hosts
            .into_iter()
            .filter(|host| Some(host.host_id) != golden);
        let mut counted: Vec<(Option<usize>, Arc<Host>)> = hosts
            .map(|host| (differences(&host).map(|items| items.len()), host))
            .collect();
        counted
            .sort_by_cached_key(|(count, host)| (Reverse(count.unwrap_or_default()), name(host)));
        let count = counted.len();
        let asked = counted.into_iter().skip(places.start).take(places.len());
        let members = asked.map(|(count, host)| {
            let mut items = differences(&host).unwrap_or_default();
            items.truncate(LISTED_DIFFERENCES);
            Outlier { host, count, items }
        });
        Ok(Group {
            count,
            members: members.collect(),
        })
    })
    .await
}

/// The inventory, once everything that was kept is in it.
///
/// # Errors
/// [`FlowError::Busy`] when a start has not come so far in time.
pub async fn loaded(app: &App) -> Result<Arc<crate::store::inventory::Inventory>, FlowError> {
    let waited = tokio::time::timeout(PATIENCE, app.store.inventory.loaded());
    waited.await.map_err(|_| FlowError::Busy)?;
    Ok(Arc::clone(&app.store.inventory))
}
