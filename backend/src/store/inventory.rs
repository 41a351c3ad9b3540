//! What every host has now, in memory: each item (section, key, value) once for the whole fleet, and for each host the
//! numbers of its items. Questions over the fleet then touch numbers, not texts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;
use uuid::Uuid;

use crate::domain::change::{self, Change};
use crate::domain::snapshot::{Sections, is_compared, without_keyed_hashes};

/// Number of an item.
type ItemNumber = u32;

/// One item as some hosts have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Section.
    pub section: Arc<str>,
    /// Key within it.
    pub key: Arc<str>,
    /// Its value: the first line, and of a keyed hash only that it is one, since each host has its own key.
    pub value: Arc<str>,
}

/// An item that a search found, at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The host.
    pub host_id: Uuid,
    /// What it has.
    pub item: Item,
}

/// What a search is for.
pub struct Query<'a> {
    /// Section.
    pub section: &'a str,
    /// Whether a key is meant.
    pub key: &'a dyn Fn(&str) -> bool,
    /// Whether a value of a key is meant.
    pub value: &'a dyn Fn(&str, &str) -> bool,
}

/// See the module.
pub struct Inventory {
    index: RwLock<Index>,
    is_loaded: watch::Sender<bool>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            index: RwLock::default(),
            is_loaded: watch::Sender::new(false),
        }
    }
}

/// Key → value → number of the item.
type KeysOfSection = BTreeMap<Arc<str>, BTreeMap<Arc<str>, ItemNumber>>;
/// Section and key.
type ItemKey = (Arc<str>, Arc<str>);

#[derive(Default)]
struct Index {
    items: Vec<Option<Counted>>,
    free: Vec<ItemNumber>,
    numbers: BTreeMap<Arc<str>, KeysOfSection>,
    hosts: HashMap<Uuid, HostItems>,
}

struct Counted {
    item: Item,
    hosts: u32,
}

struct HostItems {
    sections: Box<[Arc<str>]>,
    /// Sorted.
    items: Box<[ItemNumber]>,
}

/// What the hosts of a group have in common: numbers of items, sorted, and the sections that they are of.
pub struct Reference {
    items: Vec<ItemNumber>,
    /// Keys of which no value has a majority are compared with nothing.
    undecided: Vec<ItemKey>,
    sections: Vec<Arc<str>>,
}

impl Inventory {
    /// Sets what a host has.
    pub fn set(&self, host_id: Uuid, sections: &Sections) {
        let sections = without_keyed_hashes(sections);
        self.index.write().set(host_id, &sections);
    }

    /// Sets what a host has, unless something is known of it already.
    pub fn set_first(&self, host_id: Uuid, sections: &Sections) {
        let sections = without_keyed_hashes(sections);
        let mut index = self.index.write();
        if !index.hosts.contains_key(&host_id) {
            index.set(host_id, &sections);
        }
    }

    /// Forgets a host.
    pub fn remove(&self, host_id: Uuid) {
        self.index.write().remove(host_id);
    }

    /// Everything that was kept is now here.
    pub fn finish_loading(&self) {
        self.is_loaded.send_replace(true);
    }

    /// Waits until everything that was kept is here.
    pub async fn loaded(&self) {
        // The sender lives as long as this does.
        let _ = self
            .is_loaded
            .subscribe()
            .wait_for(|is_loaded| *is_loaded)
            .await;
    }

    /// What these hosts have of what is searched for: hosts in their order, keys in theirs, at most `limit` items; of the
    /// host that is named, only keys after this one.
    pub fn search(
        &self,
        hosts: &[Uuid],
        query: &Query<'_>,
        after: Option<(Uuid, &str)>,
        limit: usize,
    ) -> Vec<Found> {
        let index = self.index.read();
        let wanted = index.matching(query);
        let mut found = Vec::new();
        for host_id in hosts {
            let Some(host) = index.hosts.get(host_id) else {
                continue;
            };
            let mut items: Vec<&Item> = host
                .items
                .iter()
                .filter(|number| wanted.contains(**number))
                .filter_map(|number| index.item(*number))
                .filter(|item| {
                    after.is_none_or(|(host, key)| host != *host_id || item.key.as_ref() > key)
                })
                .collect();
            items.sort_unstable_by(|left, right| left.key.cmp(&right.key));
            found.extend(items.into_iter().map(|item| Found {
                host_id: *host_id,
                item: item.clone(),
            }));
            if found.len() >= limit {
                found.truncate(limit);
                break;
            }
        }
        found
    }

    /// What most of these hosts have: of each key the value, or the absence, that more than half of those have whose
    /// section is known.
    pub fn majority(&self, hosts: &[Uuid]) -> Reference {
        self.index.read().majority(hosts)
    }

    /// What one host has, to compare others with; `None` when nothing is known of it.
    pub fn golden(&self, host_id: Uuid) -> Option<Reference> {
        let index = self.index.read();
        let host = index.hosts.get(&host_id)?;
        Some(Reference {
            items: host.items.to_vec(),
            undecided: Vec::new(),
            sections: host.sections.to_vec(),
        })
    }

    /// How a host differs from a reference; `None` when nothing is known of it. Where one of the two has no such
    /// section, nothing is said of it.
    pub fn differences(&self, reference: &Reference, host_id: Uuid) -> Option<Vec<Change>> {
        let index = self.index.read();
        let host = index.hosts.get(&host_id)?;
        let mut sides: BTreeMap<ItemKey, [Option<Arc<str>>; 2]> = BTreeMap::new();
        let mut take = |number: ItemNumber, side: usize| {
            let Some(item) = index.item(number) else {
                return;
            };
            let is_comparable = reference.sections.contains(&item.section)
                && host.sections.contains(&item.section)
                && is_compared(&item.section, &item.key);
            if is_comparable {
                let key = (Arc::clone(&item.section), Arc::clone(&item.key));
                if let Some(place) = sides.entry(key).or_default().get_mut(side) {
                    *place = Some(Arc::clone(&item.value));
                }
            }
        };
        for (number, side) in symmetric_difference(&reference.items, &host.items) {
            take(number, side);
        }
        let changes = sides
            .into_iter()
            .filter(|(key, _)| reference.undecided.binary_search(key).is_err());
        let changes = changes.filter_map(|((section, key), [expected, found])| {
            let text = |value: Option<Arc<str>>| value.map(|value| value.to_string());
            change::compare(
                &section,
                &key,
                text(expected).as_ref(),
                text(found).as_ref(),
            )
        });
        Some(changes.collect())
    }

    /// How many items there are fleet-wide, and how many numbers of them the hosts hold together.
    pub fn size(&self) -> (usize, usize) {
        let index = self.index.read();
        let held = index.hosts.values().map(|host| host.items.len()).sum();
        (index.items.len() - index.free.len(), held)
    }
}

/// Longest value that is held, in bytes: a search has to look at all of it.
const MAX_VALUE_BYTES: usize = 1024;

/// What is held of a value: its first line, and of that no more than any version has.
fn held(value: &str) -> &str {
    let line = value.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(MAX_VALUE_BYTES))
        .unwrap_or_default()
}

/// A set of item numbers.
struct Numbers(Vec<bool>);

impl Numbers {
    fn contains(&self, number: ItemNumber) -> bool {
        self.0.get(number as usize).copied().unwrap_or_default()
    }
}

impl Index {
    fn item(&self, number: ItemNumber) -> Option<&Item> {
        let counted = self.items.get(number as usize)?.as_ref()?;
        Some(&counted.item)
    }

    fn set(&mut self, host_id: Uuid, sections: &Sections) {
        let mut names = Vec::with_capacity(sections.len());
        let mut numbers = Vec::with_capacity(sections.values().map(BTreeMap::len).sum());
        for (section, items) in sections {
            let section = self.section(section);
            for (key, value) in items {
                let value = held(value);
                numbers.push(self.take(&section, key, value));
            }
            names.push(section);
        }
        numbers.sort_unstable();
        self.remove(host_id);
        let host = HostItems {
            sections: names.into(),
            items: numbers.into(),
        };
        self.hosts.insert(host_id, host);
    }

    fn section(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.numbers.get_key_value(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.numbers.insert(Arc::clone(&name), BTreeMap::new());
        name
    }

    /// The number of an item, which one host more now has.
    fn take(&mut self, section: &Arc<str>, key: &str, value: &str) -> ItemNumber {
        let keys = self.numbers.entry(Arc::clone(section)).or_default();
        if let Some(number) = keys.get(key).and_then(|values| values.get(value)) {
            if let Some(Some(counted)) = self.items.get_mut(*number as usize) {
                counted.hosts += 1;
            }
            return *number;
        }
        let key = keys
            .get_key_value(key)
            .map_or_else(|| key.into(), |(known, _)| Arc::clone(known));
        let item = Item {
            section: Arc::clone(section),
            key: Arc::clone(&key),
            value: value.into(),
        };
        let values = keys.entry(key).or_default();
        let value = Arc::clone(&item.value);
        let counted = Some(Counted { item, hosts: 1 });
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.items.get_mut(number as usize) {
                    *place = counted;
                }
                number
            }
            None => {
                self.items.push(counted);
                // A fleet has far fewer than 2³² different items: they would not fit into memory.
                ItemNumber::try_from(self.items.len() - 1).unwrap_or(ItemNumber::MAX)
            }
        };
        values.insert(value, number);
        number
    }

    fn remove(&mut self, host_id: Uuid) {
        let Some(host) = self.hosts.remove(&host_id) else {
            return;
        };
        for number in host.items {
            let Some(place) = self.items.get_mut(number as usize) else {
                continue;
            };
            let Some(counted) = place else { continue };
            counted.hosts -= 1;
            if counted.hosts > 0 {
                continue;
            }
            if let Some(Counted { item, .. }) = place.take() {
                self.free.push(number);
                self.forget(&item);
            }
        }
    }

    fn forget(&mut self, item: &Item) {
        let Some(keys) = self.numbers.get_mut(&item.section) else {
            return;
        };
        if let Some(values) = keys.get_mut(&item.key) {
            values.remove(&item.value);
            if values.is_empty() {
                keys.remove(&item.key);
            }
        }
        if keys.is_empty() {
            self.numbers.remove(&item.section);
        }
    }

    fn matching(&self, query: &Query<'_>) -> Numbers {
        let mut wanted = Numbers(vec![false; self.items.len()]);
        let keys = self.numbers.get(query.section).into_iter().flatten();
        for (key, values) in keys.filter(|(key, _)| (query.key)(key)) {
            for (_, number) in values.iter().filter(|(value, _)| (query.value)(key, value)) {
                if let Some(place) = wanted.0.get_mut(*number as usize) {
                    *place = true;
                }
            }
        }
        wanted
    }

    fn majority(&self, hosts: &[Uuid]) -> Reference {
        let mut with_item = vec![0_usize; self.items.len()];
        let mut with_section: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for host in hosts.iter().filter_map(|host_id| self.hosts.get(host_id)) {
            for number in &host.items {
                if let Some(count) = with_item.get_mut(*number as usize) {
                    *count += 1;
                }
            }
            for section in &host.sections {
                *with_section.entry(Arc::clone(section)).or_default() += 1;
            }
        }
        let count =
            |number: &ItemNumber| with_item.get(*number as usize).copied().unwrap_or_default();
        let (mut items, mut undecided) = (Vec::new(), Vec::new());
        for (section, hosts) in &with_section {
            for (key, values) in self.numbers.get(section).into_iter().flatten() {
                let with_key: usize = values.values().map(count).sum();
                let is_most = |count: usize| count * 2 > *hosts;
                match values.values().find(|number| is_most(count(number))) {
                    Some(number) => items.push(*number),
                    None if with_key > 0 && !is_most(hosts.saturating_sub(with_key)) => {
                        undecided.push((Arc::clone(section), Arc::clone(key)));
                    }
                    None => {}
                }
            }
        }
        items.sort_unstable();
        Reference {
            items,
            undecided,
            sections: with_section.into_keys().collect(),
        }
    }
}

/// Numbers that only one of two sorted lists has, with the place of that list.
fn symmetric_difference(left: &[ItemNumber], right: &[ItemNumber]) -> Vec<(ItemNumber, usize)> {
    let mut found = Vec::new();
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        match (left.peek().copied(), right.peek().copied()) {
            (Some(one), Some(other)) if one == other => {
                left.next();
                right.next();
            }
            (Some(one), other) if other.is_none_or(|other| one < other) => {
                found.push((*one, 0));
                left.next();
            }
            (_, Some(other)) => {
                found.push((*other, 1));
                right.next();
            }
            (_, None) => return found,
        }
    }
}
