//! Configurations: a snapshot becomes what is known of its host, what changed, and what differs from the baseline.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::FlowError;
use crate::app::App;
use crate::domain::baseline::{self, Baseline, BaselineReference, DriftItem, HostDrift};
use crate::domain::change::{self, Change, ChangeSet};
use crate::domain::drift_rule;
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::snapshot::{
    DocumentId, ENVIRONMENT, FILES, Sections, Snapshot, SnapshotReference, canonical, carry_over,
};
use crate::store::audit::Actor;
use crate::store::document::{Document, Documents, NewDocument};
use crate::store::state::Change as StateChange;
use crate::store::{baseline as baselines, kv, snapshot as snapshots};

/// Why the first snapshot is the baseline.
const FIRST_SNAPSHOT: &str = "the first snapshot";
/// Snapshots of a host that retention looks at, and removes, at a time.
const RETENTION_SNAPSHOTS: usize = 1_000;

/// A host's configuration at one moment.
#[derive(Clone)]
pub struct Configuration {
    /// Its content.
    pub sections: Arc<Sections>,
    document: Document,
}

/// Reads a document of a host.
///
/// # Errors
/// The store's.
pub async fn read(app: &App, number: u32, id: DocumentId) -> Result<Configuration, FlowError> {
    let document = app.store.documents.read(number, id).await?;
    let content = Arc::clone(&document.content);
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&content))
        .await
        .map_err(|_| FlowError::Busy)?;
    let sections = parsed.map_err(|_| {
        FlowError::Store(kv::KvError::Damaged(format!("document {id:?} is no JSON")))
    })?;
    Ok(Configuration {
        sections: Arc::new(sections),
        document,
    })
}

/// Reads what is only compared with: where it is damaged, the host goes on without it, and the log says so.
async fn read_or_report(
    app: &App,
    host: &Host,
    id: Option<DocumentId>,
    what: &str,
) -> Result<Option<Configuration>, FlowError> {
    let Some(id) = id else { return Ok(None) };
    match read(app, host.number, id).await {
        Err(FlowError::Store(kv::KvError::Damaged(reason))) => {
            tracing::error!(host = host.name(), host_id = %host.host_id, reason, "the {what} cannot be read");
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// What a document has that other hosts may have too: neither the environment nor files.
fn shared(sections: &Sections) -> Vec<u8> {
    let mut shared = sections.clone();
    shared.remove(ENVIRONMENT);
    shared.remove(FILES);
    canonical(&shared)
}

async fn prepare(
    documents: &Arc<Documents>,
    number: u32,
    sections: &Sections,
    after: Option<Document>,
) -> Result<NewDocument, FlowError> {
    documents
        .prepare(number, canonical(sections), shared(sections), after)
        .await?
        .ok_or_else(|| FlowError::invalid("snapshot", "is too large, even compressed"))
}

/// A snapshot that was understood, and all that follows from it.
pub struct Taken {
    document: NewDocument,
    baseline: Option<(NewDocument, Baseline)>,
    reference: SnapshotReference,
    change_set: Option<ChangeSet>,
    drift: Option<Vec<DriftItem>>,
    sections: Arc<Sections>,
}

/// Understands a snapshot of a host. The caller is alone with the host (`Store::alone_with`) from before it read `host`
/// until [`Taken::put`] is durable.
///
/// # Errors
/// [`FlowError::Invalid`] for a snapshot that cannot be kept, and the store's.
pub async fn take(
    app: &App,
    host: &Host,
    snapshot: Snapshot,
    hash: String,
) -> Result<Taken, FlowError> {
    let now = app.clock.now();
    let known = host.snapshot.as_ref();
    let before = read_or_report(
        app,
        host,
        known.map(|known| known.document),
        "last snapshot",
    )
    .await?;
    let approved = host.baseline.as_ref().map(|baseline| baseline.document);
    let approved = read_or_report(app, host, approved, "baseline").await?;
    // Ids are in the order of time, also when the clock was set back.
    let received_at = known.map_or(now, |known| {
        now.max(id::time(known.snapshot_id) + TimeDelta::milliseconds(1))
    });
    let snapshot_id = id::new(received_at);
    let taken_at = snapshot.taken_at;
    let known_sections = before.as_ref().map(|before| before.sections.as_ref());
    let (sections, stale) = carry_over(known.zip(known_sections), snapshot);
    let sections = Arc::new(sections);
    let drift_before = app.store.state.drift.get(host.host_id);
    let compared = {
        let (before, approved, sections) = (
            before.as_ref().map(|before| Arc::clone(&before.sections)),
            approved
                .as_ref()
                .map(|approved| Arc::clone(&approved.sections)),
            Arc::clone(&sections),
        );
        tokio::task::spawn_blocking(move || {
            compare(
                before.as_deref(),
                approved.as_deref(),
                &sections,
                drift_before.as_deref(),
                received_at,
            )
        })
    };
    let Compared {
        mut changes,
        drift,
        adopted,
    } = compared.await.map_err(|_| FlowError::Busy)?;
    mark(app, host, &mut changes, received_at);
    let documents = &app.store.documents;
    let document = prepare(
        documents,
        host.number,
        &sections,
        before.map(|before| before.document),
    )
    .await?;
    let baseline = match (&host.baseline, adopted) {
        (None, _) => {
            // The same document: nothing more to write.
            let same = NewDocument::known(document.id);
            Some((same, first_baseline(document.id, received_at)))
        }
        (Some(_), Some(adopted)) => {
            let after = approved.map(|approved| approved.document);
            let document = prepare(documents, host.number, &adopted.sections, after).await?;
            let baseline = Baseline {
                reason: format!("newly collected: {}", adopted.names.join(", ")),
                ..first_baseline(document.id, received_at)
            };
            Some((document, baseline))
        }
        (Some(_), None) => None,
    };
    let change_set = known
        .filter(|_| !changes.is_empty())
        .map(|known| ChangeSet {
            change_set_id: snapshot_id,
            detected_at: received_at,
            from_snapshot_id: known.snapshot_id,
            items: changes,
        });
    Ok(Taken {
        reference: SnapshotReference {
            snapshot_id,
            hash,
            document: document.id,
            taken_at,
            received_at,
            confirmed_at: received_at,
            stale,
        },
        document,
        baseline,
        change_set,
        drift,
        sections,
    })
}

fn first_baseline(document: DocumentId, at: DateTime<Utc>) -> Baseline {
    Baseline {
        baseline_id: id::new(at),
        document,
        at,
        by: Actor::system().name,
        reason: FIRST_SNAPSHOT.to_owned(),
        changes: Vec::new(),
    }
}

struct Compared {
    changes: Vec<Change>,
    /// `None` when the baseline cannot be read: then nothing new can be said.
    drift: Option<Vec<DriftItem>>,
    adopted: Option<Adopted>,
}

struct Adopted {
    sections: Sections,
    names: Vec<String>,
}

fn compare(
    before: Option<&Sections>,
    approved: Option<&Sections>,
    sections: &Sections,
    drift_before: Option<&HostDrift>,
    at: DateTime<Utc>,
) -> Compared {
    let known = drift_before.map_or(&[][..], |drift| &drift.items);
    let adopted = approved.and_then(|approved| {
        let names = sections.keys().filter(|name| !approved.contains_key(*name));
        Some(Adopted {
            names: names.cloned().collect(),
            sections: baseline::adopt_new_sections(approved, sections)?,
        })
    });
    Compared {
        changes: before.map_or_else(Vec::new, |before| change::diff(before, sections)),
        drift: approved.map(|approved| baseline::drift(approved, sections, known, at)),
        adopted,
    }
}

/// Marks changes by the rules that are in force.
fn mark(app: &App, host: &Host, changes: &mut [Change], at: DateTime<Utc>) {
    let rules = app.store.state.drift_rules.all();
    for change in changes {
        let rules = rules.iter().map(AsRef::as_ref);
        change.disposition = drift_rule::disposition(rules, host, &change.section, &change.key, at);
    }
}

impl Taken {
    /// What is now known of the host.
    pub fn sections(&self) -> &Arc<Sections> {
        &self.sections
    }

    /// What changed, as the log says it.
    pub fn summary(&self) -> Option<String> {
        let change_set = self.change_set.as_ref()?;
        Some(change::summary(&change_set.items))
    }

    /// Adds all of it to a change, and to the host's record.
    ///
    /// # Errors
    /// When something has no form in which it can be kept.
    pub fn put(self, change: &mut StateChange<'_>, host: &mut Host) -> Result<(), FlowError> {
        let number = host.number;
        let stored = snapshots::StoredSnapshot {
            snapshot_id: self.reference.snapshot_id,
            document: self.reference.document,
            taken_at: self.reference.taken_at,
            has_changes: self.change_set.is_some(),
            stale: self.reference.stale.clone(),
        };
        self.document.put(change.batch());
        snapshots::put(change.batch(), number, &stored);
        if let Some(change_set) = &self.change_set {
            snapshots::put_changes(change.batch(), number, change_set)?;
        }
        if let Some((document, baseline)) = self.baseline {
            put_baseline(change, host, document, baseline)?;
        }
        if let Some(items) = self.drift {
            put_drift(change, host.host_id, items);
        }
        host.snapshot = Some(self.reference);
        Ok(())
    }
}

fn put_baseline(
    change: &mut StateChange<'_>,
    host: &mut Host,
    document: NewDocument,
    baseline: Baseline,
) -> Result<(), FlowError> {
    host.baseline = Some(BaselineReference {
        baseline_id: baseline.baseline_id,
        document: baseline.document,
        at: baseline.at,
    });
    document.put(change.batch());
    baselines::put(change.batch(), host.number, baseline)?;
    Ok(())
}

fn put_drift(change: &mut StateChange<'_>, host_id: Uuid, items: Vec<DriftItem>) {
    let known = change.state.drift.get(host_id);
    let is_same = known.map_or(items.is_empty(), |known| known.items == items);
    if is_same {
        return;
    }
    baselines::put_drift(change, HostDrift { host_id, items });
}

/// What an approval took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Approved {
    /// Hosts whose baseline is another now.
    pub hosts: usize,
    /// Items that were taken over.
    pub items: usize,
}

/// Lets a host's baseline take the current value of these items, or of all. Nothing happens where nothing differs.
///
/// # Errors
/// The store's.
pub async fn approve(
    app: &App,
    actor: &Actor,
    host_id: Uuid,
    items: Option<&BTreeSet<baseline::ItemId>>,
    reason: &str,
) -> Result<Approved, FlowError> {
    let Some(number) = app.store.state.hosts.get(host_id).map(|host| host.number) else {
        return Err(FlowError::NotFound("host"));
    };
    let _alone = app.store.alone_with(number).await;
    let host = app.store.state.hosts.get(host_id);
    let host = host.ok_or(FlowError::NotFound("host"))?;
    let (Some(known), Some(approved)) = (&host.snapshot, &host.baseline) else {
        return Ok(Approved::default());
    };
    let current = read(app, number, known.document).await?;
    let approved = read(app, number, approved.document).await?;
    let (sections, changes) = baseline::approve(&approved.sections, &current.sections, items);
    if changes.is_empty() {
        return Ok(Approved::default());
    }
    let now = app.clock.now();
    let left = {
        let known = app.store.state.drift.get(host_id);
        let known = known.as_ref().map_or(&[][..], |drift| &drift.items);
        baseline::drift(&sections, &current.sections, known, now)
    };
    let document = prepare(
        &app.store.documents,
        number,
        &sections,
        Some(current.document),
    )
    .await?;
    let taken = changes.len();
    let baseline = Baseline {
        baseline_id: id::new(now),
        document: document.id,
        at: now,
        by: actor.name.clone(),
        reason: reason.to_owned(),
        changes,
    };
    app.store
        .state
        .change(|change| {
            let host = change.state.hosts.get(host_id);
            let mut host = (*host.ok_or(FlowError::NotFound("host"))?).clone();
            super::note(
                change,
                now,
                actor.clone(),
                "drift.approve",
                Some(host_id),
                host.name(),
            );
            put_baseline(change, &mut host, document, baseline)?;
            put_drift(change, host_id, left);
            change.put(host);
            Ok::<_, FlowError>(())
        })
        .await?;
    tracing::info!(%host_id, by = actor.name, items = taken, reason, "drift approved");
    Ok(Approved {
        hosts: 1,
        items: taken,
    })
}

/// Reads what every host has into the inventory. A host whose configuration cannot be read is left out, and the log
/// says so.
pub async fn load_inventory(app: &App) {
    for host in app.store.state.hosts.all() {
        let document = host.snapshot.as_ref().map(|known| known.document);
        match read_or_report(app, &host, document, "last snapshot").await {
            Ok(Some(known)) => app.store.inventory.set_first(host.host_id, &known.sections),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(host = host.name(), host_id = %host.host_id, %error, "the inventory lacks a host");
            }
        }
    }
    app.store.inventory.finish_loading();
    let (items, held) = app.store.inventory.size();
    tracing::info!(items, held, "the inventory is read");
}

/// Removes snapshots that are older than `oldest`, with their change sets and what only they needed. The one that was in
/// force at `oldest` stays, and every baseline. Returns how many went.
///
/// # Errors
/// The store's.
pub async fn retain(app: &App, oldest: DateTime<Utc>) -> Result<usize, FlowError> {
    let mut removed = 0;
    for host in app.store.state.hosts.all() {
        removed += retain_host(app, host.number, host.host_id, oldest).await?;
    }
    let hosts = app.store.state.hosts.all();
    let numbers: Vec<u32> = hosts.iter().map(|host| host.number).collect();
    app.store.documents.sweep_patterns(&numbers).await?;
    Ok(removed)
}

async fn retain_host(
    app: &App,
    number: u32,
    host_id: Uuid,
    oldest: DateTime<Utc>,
) -> Result<usize, FlowError> {
    let kv = app.store.kv.as_ref();
    let _alone = app.store.alone_with(number).await;
    let Some(mut in_force) = snapshots::in_force_at(kv, number, oldest).await? else {
        return Ok(0);
    };
    let mut removed = 0;
    loop {
        let before = Some(in_force.snapshot_id);
        let old = snapshots::page(kv, number, before, RETENTION_SNAPSHOTS).await?;
        if old.is_empty() {
            break;
        }
        let mut batch = kv::Batch::new(kv::Class::State);
        for snapshot in &old {
            snapshots::remove(&mut batch, number, snapshot);
        }
        if in_force.has_changes {
            // What it changed refers to the one before, which goes.
            snapshots::remove(&mut batch, number, &in_force);
            in_force.has_changes = false;
            snapshots::put(&mut batch, number, &in_force);
        }
        kv.write(batch).await?;
        removed += old.len();
    }
    if removed > 0 {
        remove_documents(app, number, host_id).await?;
    }
    Ok(removed)
}

/// Removes the documents of a host that neither a snapshot nor a baseline needs.
async fn remove_documents(app: &App, number: u32, host_id: Uuid) -> Result<(), FlowError> {
    let kv = app.store.kv.as_ref();
    let mut needed = BTreeSet::new();
    if let Some(host) = app.store.state.hosts.get(host_id) {
        needed.extend(host.snapshot.as_ref().map(|known| known.document));
        needed.extend(host.baseline.as_ref().map(|known| known.document));
    }
    let mut before = None;
    loop {
        let page = snapshots::page(kv, number, before, RETENTION_SNAPSHOTS).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.snapshot_id);
        needed.extend(page.iter().map(|snapshot| snapshot.document));
    }
    let mut before = None;
    loop {
        let page = baselines::page(kv, number, before, RETENTION_SNAPSHOTS).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.baseline_id);
        needed.extend(page.iter().map(|baseline| baseline.document));
    }
    let unneeded = app.store.documents.unneeded(number, &needed).await?;
    for some in unneeded.chunks(RETENTION_SNAPSHOTS) {
        let mut batch = kv::Batch::new(kv::Class::State);
        Documents::remove(&mut batch, number, some);
        kv.write(batch).await?;
    }
    Ok(())
}
