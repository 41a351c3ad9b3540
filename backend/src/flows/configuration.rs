//! Configurations: a snapshot becomes what is known of its host, what changed, and what differs from the baseline.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{FlowError, change_host};
use crate::app::App;
use crate::domain::baseline::{self, Baseline, BaselineReference, DriftItem, HostDrift};
use crate::domain::change::{self, Change, ChangeSet};
use crate::domain::drift_rule::{self, DriftRule};
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::snapshot::{
    DocumentId, ENVIRONMENT, FILES, Sections, Snapshot, SnapshotReference, canonical, carry_over,
};
use crate::store::audit::Actor;
use crate::store::baseline::EncodedDrift;
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

/// Work on whole configurations takes milliseconds: off the async threads.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FlowError> {
    let done = tokio::task::spawn_blocking(work);
    done.await.map_err(|_| FlowError::Busy)
}

async fn prepare(
    documents: &Arc<Documents>,
    number: u32,
    sections: &Arc<Sections>,
    after: Option<Document>,
) -> Result<NewDocument, FlowError> {
    let sections = Arc::clone(sections);
    let forms = off_thread(move || (canonical(&sections), shared(&sections))).await?;
    documents
        .prepare(number, Arc::new(forms.0), Arc::new(forms.1), after)
        .await?
        .ok_or_else(|| FlowError::invalid("snapshot", "is too large, even compressed"))
}

/// A snapshot that was understood, and all that follows from it, ready to be written.
pub struct Taken {
    batch: kv::Batch,
    reference: SnapshotReference,
    baseline: Option<BaselineReference>,
    drift: Option<EncodedDrift>,
    sections: Arc<Sections>,
    summary: Option<String>,
}

/// Understands a snapshot of a host. The caller is alone with the host (`Store::alone_with`) from before it read `host`
/// until [`Taken::put`] is durable.
///
/// # Errors
/// [`FlowError::Invalid`] for a snapshot that cannot be kept, and the store's.
pub async fn take(
    app: &App,
    host: &Arc<Host>,
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
    let snapshot_id = id::after(now, known.map(|known| known.snapshot_id));
    let taken_at = snapshot.taken_at;
    let known_sections = before.as_ref().map(|before| before.sections.as_ref());
    let (sections, stale) = carry_over(known.zip(known_sections), snapshot);
    let sections = Arc::new(sections);
    let comparison = Comparison {
        host: Arc::clone(host),
        before: before.as_ref().map(|before| Arc::clone(&before.sections)),
        approved: approved
            .as_ref()
            .map(|approved| Arc::clone(&approved.sections)),
        sections: Arc::clone(&sections),
        drift_before: app.store.state.drift.get(host.host_id),
        rules: app.store.state.drift_rules.all(),
        snapshot_id,
        now,
    };
    let Compared {
        mut batch,
        has_changes,
        summary,
        drift,
        adopted,
    } = off_thread(move || comparison.compare()).await??;
    let documents = &app.store.documents;
    let before = before.map(|before| before.document);
    let document = prepare(documents, host.number, &sections, before).await?;
    let document_id = document.id;
    document.put(&mut batch);
    let baseline = match (&host.baseline, adopted) {
        // The same document: nothing more to write.
        (None, _) => Some((document_id, FIRST_SNAPSHOT.to_owned())),
        (Some(_), Some(adopted)) => {
            let after = approved.map(|approved| approved.document);
            let document =
                prepare(documents, host.number, &Arc::new(adopted.sections), after).await?;
            let document_id = document.id;
            document.put(&mut batch);
            Some((
                document_id,
                format!("newly collected: {}", adopted.names.join(", ")),
            ))
        }
        (Some(_), None) => None,
    };
    let baseline = baseline.map(|(document, reason)| Baseline {
        baseline_id: id::after(now, host.baseline.as_ref().map(|known| known.baseline_id)),
        document,
        at: now,
        by: Actor::system().name,
        reason,
        changes: Vec::new(),
    });
    let reference = SnapshotReference {
        snapshot_id,
        hash,
        document: document_id,
        taken_at,
        received_at: now,
        confirmed_at: now,
        stale,
    };
    let stored = snapshots::StoredSnapshot {
        snapshot_id,
        document: document_id,
        taken_at,
        has_changes,
        stale: reference.stale.clone(),
    };
    snapshots::put(&mut batch, host.number, &stored);
    Ok(Taken {
        baseline: baseline
            .map(|baseline| put_baseline(&mut batch, host.number, baseline))
            .transpose()?,
        batch,
        reference,
        drift,
        sections,
        summary,
    })
}

/// What a snapshot is compared with.
struct Comparison {
    host: Arc<Host>,
    before: Option<Arc<Sections>>,
    approved: Option<Arc<Sections>>,
    sections: Arc<Sections>,
    drift_before: Option<Arc<HostDrift>>,
    rules: Vec<Arc<DriftRule>>,
    snapshot_id: Uuid,
    now: DateTime<Utc>,
}

/// What a comparison showed.
struct Compared {
    /// The change set, if there is one.
    batch: kv::Batch,
    has_changes: bool,
    summary: Option<String>,
    /// `None` when it is as before, or the baseline cannot be read and nothing new can be said.
    drift: Option<EncodedDrift>,
    adopted: Option<Adopted>,
}

struct Adopted {
    sections: Sections,
    names: Vec<String>,
}

impl Comparison {
    fn compare(self) -> Result<Compared, kv::KvError> {
        let mut batch = kv::Batch::new(kv::Class::State);
        let before = self.before.as_deref();
        let mut items = before.map_or_else(Vec::new, |before| change::diff(before, &self.sections));
        self.mark(&mut items);
        let summary = (!items.is_empty()).then(|| change::summary(&items));
        let from = self.host.snapshot.as_ref().filter(|_| !items.is_empty());
        let change_set = from.map(|from| ChangeSet {
            change_set_id: self.snapshot_id,
            detected_at: self.now,
            from_snapshot_id: from.snapshot_id,
            items,
        });
        if let Some(change_set) = &change_set {
            snapshots::put_changes(&mut batch, self.host.number, change_set)?;
        }
        let adopted = self.approved.as_deref().and_then(|approved| {
            let names = self.sections.keys();
            let names = names.filter(|name| !approved.contains_key(*name));
            Some(Adopted {
                names: names.cloned().collect(),
                sections: baseline::adopt_new_sections(approved, &self.sections)?,
            })
        });
        let known = self.drift_before.as_ref();
        let known = known.map_or(&[][..], |drift| &drift.items);
        let drift = self
            .approved
            .as_deref()
            .map(|approved| baseline::drift(approved, &self.sections, known, self.now));
        Ok(Compared {
            batch,
            has_changes: change_set.is_some(),
            summary,
            drift: encode_drift(self.host.host_id, known, drift)?,
            adopted,
        })
    }

    /// Marks changes by the rules that are in force.
    fn mark(&self, changes: &mut [Change]) {
        for change in changes {
            let rules = self.rules.iter().map(AsRef::as_ref);
            let (section, key) = (&change.section, &change.key);
            change.disposition = drift_rule::disposition(rules, &self.host, section, key, self.now);
        }
    }
}

/// The form of what differs, unless it is as before.
fn encode_drift(
    host_id: Uuid,
    known: &[DriftItem],
    items: Option<Vec<DriftItem>>,
) -> Result<Option<EncodedDrift>, kv::KvError> {
    items
        .filter(|items| items != known)
        .map(|items| EncodedDrift::new(HostDrift { host_id, items }))
        .transpose()
}

impl Taken {
    /// What is now known of the host.
    pub fn sections(&self) -> &Arc<Sections> {
        &self.sections
    }

    /// What changed, as the log says it.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// Adds all of it to a change, and to the host's record.
    pub fn put(self, change: &mut StateChange<'_>, host: &mut Host) {
        change.batch().append(self.batch);
        if let Some(drift) = self.drift {
            drift.put(change);
        }
        host.baseline = self.baseline.or(host.baseline.take());
        host.snapshot = Some(self.reference);
    }
}

fn put_baseline(
    batch: &mut kv::Batch,
    number: u32,
    baseline: Baseline,
) -> Result<BaselineReference, kv::KvError> {
    let reference = BaselineReference {
        baseline_id: baseline.baseline_id,
        document: baseline.document,
        at: baseline.at,
    };
    baselines::put(batch, number, baseline)?;
    Ok(reference)
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
    let now = app.clock.now();
    let current = read(app, number, known.document).await?;
    let before = read_or_report(app, &host, Some(approved.document), "baseline").await?;
    let compared = {
        let (before, current) = (
            before.map(|before| before.sections),
            Arc::clone(&current.sections),
        );
        let (items, known) = (items.cloned(), app.store.state.drift.get(host_id));
        off_thread(move || {
            let known = known.as_ref().map_or(&[][..], |drift| &drift.items);
            let Some(before) = before else {
                // All of what is there is approved; of single items nothing can be said.
                let all = items.is_none().then_some((current, Vec::new()));
                let left = all.as_ref().map(|_| Vec::new());
                return Ok((all, encode_drift(host_id, known, left)?));
            };
            let (sections, changes) = baseline::approve(&before, &current, items.as_ref());
            if changes.is_empty() {
                return Ok((None, None));
            }
            let left = baseline::drift(&sections, &current, known, now);
            let left = encode_drift(host_id, known, Some(left))?;
            Ok::<_, kv::KvError>((Some((Arc::new(sections), changes)), left))
        })
    };
    let (Some((sections, changes)), left) = compared.await?? else {
        return Ok(Approved::default());
    };
    let after = Some(current.document);
    let document = prepare(&app.store.documents, number, &sections, after).await?;
    let taken = changes.len();
    let mut batch = kv::Batch::new(kv::Class::State);
    let baseline = Baseline {
        baseline_id: id::after(now, Some(approved.baseline_id)),
        document: document.id,
        at: now,
        by: actor.name.clone(),
        reason: reason.to_owned(),
        changes,
    };
    document.put(&mut batch);
    let reference = put_baseline(&mut batch, number, baseline)?;
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            super::note(
                change,
                now,
                actor.clone(),
                "drift.approve",
                Some(host_id),
                host.name(),
            );
            change.batch().append(batch);
            if let Some(left) = left {
                left.put(change);
            }
            host.baseline = Some(reference);
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
    if app.store.state.hosts.get(host_id).is_none() {
        return Ok(0);
    }
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
