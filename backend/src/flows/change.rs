//! Reading changes: of a host, of the fleet, and the same change at many hosts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::FlowError;
use super::query::{self, Selection};
use crate::app::App;
use crate::domain::change::{Change, ChangeKind, ChangeSet, Disposition, is_meant};
use crate::domain::drift_rule::{self, DriftRule};
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::series::Aggregate;
use crate::store::kv::Key;
use crate::store::snapshot::{self, KeptChangeSet};

/// Change sets read at a time: each may have up to a megabyte, and several as items.
const READ_ENTRIES: usize = 64;
/// A page ends with so many items, even if it has few change sets.
const ITEMS_OF_PAGE: usize = 50_000;
/// Most changes that are gathered into groups.
const GROUPED_CHANGES: usize = 1_000_000;
/// A page ends after so many entries were looked at, even if few of them are what was asked for: the next goes on there.
const MAX_LOOKED_AT: usize = 20_000;
/// Hosts that are named in a group.
const NAMED_HOSTS: usize = 100;
/// Longest that changes are gathered into groups, in seconds.
const QUERY_SECONDS: u64 = 5;
/// How long before and after a change its effect is measured.
const EFFECT_SECONDS: i64 = 3600;
/// What shows whether a change did something.
const EFFECT_METRICS: [&str; 3] = ["cpu_usage_percent", "memory_usage_percent", "load1"];

/// Which changes.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Section.
    pub section: Option<String>,
    /// Key: whole, a pattern, or the name by which people know it.
    pub key: Option<String>,
    /// From when on.
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    fn matches(&self, change: &Change) -> bool {
        let Change { section, key, .. } = change;
        self.section.as_ref().is_none_or(|wanted| wanted == section)
            && self
                .key
                .as_ref()
                .is_none_or(|wanted| is_meant(section, key, wanted))
    }

    /// The items that are meant; `None` when there are none.
    fn apply(&self, mut change_set: ChangeSet) -> Option<ChangeSet> {
        change_set.items.retain(|change| self.matches(change));
        (!change_set.items.is_empty()).then_some(change_set)
    }

    fn lowest(&self) -> Uuid {
        self.from.map_or(Uuid::nil(), id::lowest)
    }

    fn end(&self) -> Uuid {
        self.to.map_or(Uuid::max(), id::lowest)
    }

    /// # Errors
    /// [`FlowError::Invalid`] for a range that is none.
    fn check(&self) -> Result<(), FlowError> {
        match self.from.zip(self.to) {
            Some((from, to)) if from >= to => Err(FlowError::invalid("to", "must be after from")),
            _ => Ok(()),
        }
    }
}

/// A host's change set.
pub struct HostChangeSet {
    /// The host.
    pub host: Arc<Host>,
    /// What changed.
    pub change_set: ChangeSet,
}

/// One page: the change sets, newest first, and where the next page begins.
pub struct ChangePage<C> {
    /// The change sets.
    pub items: Vec<HostChangeSet>,
    /// Where to go on; `None` at the end.
    pub next: Option<C>,
    /// Items of all its change sets.
    item_count: usize,
}

impl<C> ChangePage<C> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            next: None,
            item_count: 0,
        }
    }

    fn is_full(&self, limit: usize) -> bool {
        self.items.len() == limit || self.item_count >= ITEMS_OF_PAGE
    }

    /// Takes a change set, marked by the rules of now as well.
    fn push(&mut self, rules: &[Arc<DriftRule>], host: &Arc<Host>, mut change_set: ChangeSet) {
        mark_again(rules, host, &mut change_set);
        self.item_count += change_set.items.len();
        self.items.push(HostChangeSet {
            host: Arc::clone(host),
            change_set,
        });
    }
}

/// Understands what was read and keeps what is meant: off the async threads.
async fn read(
    kept: Vec<KeptChangeSet>,
    filter: &Filter,
    numbers: Arc<HashSet<u32>>,
) -> Result<Vec<(Key, u32, ChangeSet)>, FlowError> {
    let filter = filter.clone();
    let read = tokio::task::spawn_blocking(move || {
        let read = kept.into_iter().filter_map(|kept| {
            let (number, change_set) = kept.read()?;
            if !numbers.contains(&number) {
                return None;
            }
            Some((kept.key, number, filter.apply(change_set)?))
        });
        read.collect()
    });
    read.await.map_err(|_| FlowError::Busy)
}

/// Marks again by the rules of now what no rule was there for when it was seen.
fn mark_again(rules: &[Arc<DriftRule>], host: &Host, change_set: &mut ChangeSet) {
    let at = change_set.detected_at;
    for change in &mut change_set.items {
        if change.disposition == Disposition::Drift {
            let rules = rules.iter().map(AsRef::as_ref);
            change.disposition =
                drift_rule::disposition(rules, host, &change.section, &change.key, at);
        }
    }
}

/// A host's changes below `before`.
///
/// # Errors
/// [`FlowError::Invalid`], and the store's.
pub async fn of_host(
    app: &App,
    host: &Arc<Host>,
    filter: &Filter,
    before: Option<Uuid>,
    limit: usize,
) -> Result<ChangePage<Uuid>, FlowError> {
    filter.check()?;
    let kv = app.store.kv.as_ref();
    let rules = app.store.state.drift_rules.all();
    let mut before = before.unwrap_or(Uuid::max()).min(filter.end());
    let mut page = ChangePage::new();
    let mut looked_at = 0;
    loop {
        let mut some = snapshot::page(kv, host.number, Some(before), READ_ENTRIES).await?;
        some.retain(|snapshot| snapshot.snapshot_id >= filter.lowest());
        let is_last = some.len() < READ_ENTRIES;
        let Some(last) = some.last() else {
            return Ok(page);
        };
        before = last.snapshot_id;
        looked_at += some.len();
        let changed = some.iter().filter(|snapshot| snapshot.has_changes);
        let ids = changed.map(|snapshot| snapshot.snapshot_id);
        let kept = snapshot::changes_of(kv, host.number, ids).await?;
        let this_host = Arc::new(HashSet::from([host.number]));
        for (_, _, change_set) in read(kept, filter, this_host).await? {
            if page.is_full(limit) {
                page.next = page.items.last().map(|last| last.change_set.change_set_id);
                return Ok(page);
            }
            page.push(&rules, host, change_set);
        }
        if is_last {
            return Ok(page);
        }
        if looked_at >= MAX_LOOKED_AT {
            page.next = Some(before);
            return Ok(page);
        }
    }
}

/// The fleet's changes below `before`, of these hosts.
///
/// # Errors
/// [`FlowError::Invalid`], and the store's.
pub async fn of_fleet(
    app: &App,
    hosts: &[Arc<Host>],
    filter: &Filter,
    before: Option<Key>,
    limit: usize,
) -> Result<ChangePage<Key>, FlowError> {
    filter.check()?;
    let by_number: HashMap<u32, &Arc<Host>> =
        hosts.iter().map(|host| (host.number, host)).collect();
    let numbers: HashSet<u32> = by_number.keys().copied().collect();
    let numbers = Arc::new(numbers);
    let rules = app.store.state.drift_rules.all();
    let end = filter.end().as_bytes().to_vec();
    let mut before = before.map_or(end.clone(), |before| before.min(end));
    let mut page = ChangePage::new();
    let (mut looked_at, mut last_taken) = (0, None);
    loop {
        let kv = app.store.kv.as_ref();
        let some =
            snapshot::page_of_changes(kv, filter.lowest(), before.clone(), READ_ENTRIES).await?;
        let is_last = some.len() < READ_ENTRIES;
        looked_at += some.len();
        before = some.last().map_or(before, |last| last.key.clone());
        for (key, number, change_set) in read(some, filter, numbers.clone()).await? {
            let Some(host) = by_number.get(&number) else {
                continue;
            };
            if page.is_full(limit) {
                page.next = last_taken;
                return Ok(page);
            }
            last_taken = Some(key);
            page.push(&rules, host, change_set);
        }
        if is_last {
            return Ok(page);
        }
        if looked_at >= MAX_LOOKED_AT {
            page.next = Some(before);
            return Ok(page);
        }
    }
}

/// The same change of the same item at several hosts.
pub struct Group {
    /// The change, as the first host took it.
    pub change: Change,
    /// How many hosts took it.
    pub host_count: usize,
    /// When the first did.
    pub first_at: DateTime<Utc>,
    /// When the last did.
    pub last_at: DateTime<Utc>,
    /// The first of them, with their change sets.
    pub hosts: Vec<(Arc<Host>, Uuid)>,
}

/// Changes of a range put together by item and both its values, the latest first.
///
/// # Errors
/// [`FlowError::Invalid`], [`FlowError::QueryTimeout`], and the store's.
pub async fn groups(
    app: &App,
    hosts: &[Arc<Host>],
    filter: &Filter,
) -> Result<Vec<Group>, FlowError> {
    let deadline = Instant::now() + Duration::from_secs(QUERY_SECONDS);
    let mut groups: BTreeMap<GroupKey, (Change, Vec<Taken>)> = BTreeMap::new();
    let (mut before, mut gathered) = (None, 0);
    loop {
        let page = of_fleet(app, hosts, filter, before, usize::MAX).await?;
        for HostChangeSet { host, change_set } in page.items {
            gathered += change_set.items.len();
            for change in change_set.items {
                let taken = (
                    change_set.detected_at,
                    Arc::clone(&host),
                    change_set.change_set_id,
                );
                let group = groups.entry(GroupKey::of(&change));
                let (oldest, group) = group.or_insert_with(|| (change.clone(), Vec::new()));
                *oldest = change;
                group.push(taken);
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
        if Instant::now() > deadline {
            return Err(FlowError::QueryTimeout(QUERY_SECONDS));
        }
        if gathered > GROUPED_CHANGES {
            let message = "the range has more than a million changes; ask for a shorter one";
            return Err(FlowError::invalid("from", message));
        }
    }
    let mut groups: Vec<Group> = groups.into_values().filter_map(Group::of).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.last_at));
    Ok(groups)
}

/// When a host took a change, and with which change set.
type Taken = (DateTime<Utc>, Arc<Host>, Uuid);

/// By what changes are the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    section: String,
    key: String,
    kind: ChangeKind,
    values: (Option<String>, Option<String>),
}

impl GroupKey {
    fn of(change: &Change) -> Self {
        // Of a file only the first line, which has its hash; keyed hashes differ from host to host.
        let value = |value: &Option<String>| {
            let value = value.as_ref()?;
            let line = value.lines().next().unwrap_or_default();
            let is_keyed = line.starts_with("hmac:");
            Some(if is_keyed { "hmac" } else { line }.to_owned())
        };
        Self {
            section: change.section.clone(),
            key: change.key.clone(),
            kind: change.kind,
            values: (value(&change.before), value(&change.after)),
        }
    }
}

impl Group {
    fn of((change, mut taken): (Change, Vec<Taken>)) -> Option<Self> {
        // Oldest first; a host that took it twice counts once.
        taken.reverse();
        let last_at = taken.last()?.0;
        let mut hosts: Vec<(Arc<Host>, Uuid)> = Vec::new();
        let mut seen = HashSet::new();
        let first_at = taken.first()?.0;
        for (_, host, change_set_id) in taken {
            if seen.insert(host.host_id) && hosts.len() < NAMED_HOSTS {
                hosts.push((host, change_set_id));
            }
        }
        Some(Self {
            change,
            host_count: seen.len(),
            first_at,
            last_at,
            hosts,
        })
    }
}

/// A metric around a change.
pub struct Effect {
    /// Metric.
    pub metric: &'static str,
    /// Mean of the hour before.
    pub before: Option<f64>,
    /// Mean of the hour after.
    pub after: Option<f64>,
}

/// One change set of a host.
///
/// # Errors
/// [`FlowError::NotFound`], and the store's.
pub async fn one(app: &App, host: &Arc<Host>, id: Uuid) -> Result<HostChangeSet, FlowError> {
    let kv = app.store.kv.as_ref();
    let found = snapshot::changes_of(kv, host.number, std::iter::once(id)).await?;
    let (_, mut change_set) = found
        .first()
        .and_then(KeptChangeSet::read)
        .ok_or(FlowError::NotFound("change set"))?;
    mark_again(&app.store.state.drift_rules.all(), host, &mut change_set);
    Ok(HostChangeSet {
        host: Arc::clone(host),
        change_set,
    })
}

/// What a host's load was before and after a time.
///
/// # Errors
/// The query's.
pub fn effects(app: &App, host: &Arc<Host>, at: DateTime<Utc>) -> Result<Vec<Effect>, FlowError> {
    let mean = |metric: &str, from: i64, to: i64| {
        let selection = Selection {
            metrics: vec![metric.to_owned()],
            instance: None,
            from,
            to,
        };
        let found = query::top(app, vec![Arc::clone(host)], &selection, Aggregate::Avg, 1)?;
        Ok::<_, FlowError>(found.first().map(|item| item.value))
    };
    let at = at.timestamp();
    let effects = EFFECT_METRICS.into_iter().map(|metric| {
        Ok(Effect {
            metric,
            before: mean(metric, at - EFFECT_SECONDS, at)?,
            after: mean(metric, at, at + EFFECT_SECONDS)?,
        })
    });
    effects.collect()
}
