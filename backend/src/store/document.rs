//! Configurations by their content. A host's hundreds of configurations differ in a few lines, and those of a fleet
//! resemble each other: each is kept as what zstd makes of it with another one as its dictionary.
//!
//! A host's first document is its *root*, kept against a *pattern* that it shares with hosts like it. Each later
//! one is kept against the one before, and when that chain grows long against the root again. What differs from the
//! root by more than a quarter of itself becomes a new root.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use super::kv::{Batch, Class, Key, Kv, KvError, MAX_VALUE_BYTES, Table, prefix_range, scan_all};
use super::varint::{DecodeError, put_unsigned, take_array, take_unsigned};
use crate::domain::snapshot::DocumentId;

/// zstd level: a document is written once and kept for months.
const LEVEL: i32 = 9;
/// zstd level for finding out which pattern fits best: below it hardly anything of a dictionary is found.
const TRIAL_LEVEL: i32 = 3;
/// Documents between a root and the end of its chain: reading decompresses as many.
const MAX_CHAIN: u8 = 24;
/// A difference this small is always worth keeping as one, in bytes.
const SMALL_BYTES: usize = 512;
/// A difference may be this part of the whole.
const WORTH_ONE_IN: usize = 4;
/// Most patterns: kinds of systems in a fleet.
const MAX_PATTERNS: usize = 64;
/// Most patterns that one host brings between two starts.
const PATTERNS_OF_HOST: usize = 2;
/// How often a document is compressed before the store counts as too busy.
const PREPARE_ATTEMPTS: usize = 3;
/// The number under which patterns are kept; hosts are numbered from 1.
const PATTERNS_NUMBER: u32 = 0;
/// Largest pattern, in bytes: they are held in memory.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;
/// Largest document, in bytes: what one report can bring, and as much again that was carried over.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// What a document is kept against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// Nothing.
    None,
    /// A pattern.
    Pattern(DocumentId),
    /// Another document of the host, and how many there are from it down to the root.
    Own(DocumentId, u8),
}

/// The content of a pattern.
struct Pattern {
    id: DocumentId,
    content: Vec<u8>,
    /// The host that brought it since the start; 0 for one of before.
    made_by: u32,
    /// The sweep before which something last came to depend on it.
    used_before: AtomicU64,
}

/// A document of a host, read.
#[derive(Clone)]
pub struct Document {
    /// Its name.
    pub id: DocumentId,
    /// Its content: canonical JSON.
    pub content: Arc<Vec<u8>>,
    root: (DocumentId, Arc<Vec<u8>>),
    chain: u8,
}

/// What has to be written so that a document is there.
#[derive(Debug)]
pub struct NewDocument {
    /// Its name.
    pub id: DocumentId,
    puts: Vec<(Key, Bytes)>,
}

impl NewDocument {
    /// One that is there already.
    pub fn known(id: DocumentId) -> Self {
        Self {
            id,
            puts: Vec::new(),
        }
    }

    /// Adds it to a batch. Safe to repeat: the same content has the same name.
    pub fn put(self, batch: &mut Batch) {
        for (key, value) in self.puts {
            batch.put(Table::Documents, key, value);
        }
    }
}

/// The documents of all hosts.
pub struct Documents {
    kv: Arc<dyn Kv>,
    patterns: RwLock<Vec<Arc<Pattern>>>,
    /// Number of the next sweep of patterns.
    next_sweep: AtomicU64,
    /// Patterns are added one by one.
    adding: tokio::sync::Mutex<()>,
}

fn key(number: u32, id: DocumentId) -> Key {
    [&number.to_be_bytes()[..], &id.0].concat()
}

fn damaged(id: DocumentId, what: &str) -> KvError {
    KvError::Damaged(format!("document {id:?} {what}"))
}

impl Documents {
    /// Reads the patterns.
    ///
    /// # Errors
    /// The engine's.
    pub async fn open(kv: Arc<dyn Kv>) -> Result<Self, KvError> {
        let mut patterns = Vec::new();
        let range = prefix_range(&PATTERNS_NUMBER.to_be_bytes());
        scan_all(kv.as_ref(), Table::Documents, range, |key, value| {
            let id = key
                .last_chunk()
                .copied()
                .map(DocumentId)
                .ok_or_else(|| KvError::Damaged("a pattern's key is too short".to_owned()))?;
            patterns.push(Arc::new(Pattern {
                id,
                content: unpack(id, &value)?.decompress(id, &[])?,
                made_by: 0,
                used_before: AtomicU64::new(0),
            }));
            Ok::<_, KvError>(())
        })
        .await?;
        Ok(Self {
            kv,
            patterns: RwLock::new(patterns),
            next_sweep: AtomicU64::new(1),
            adding: tokio::sync::Mutex::default(),
        })
    }

    /// A document of a host.
    ///
    /// # Errors
    /// [`KvError::Damaged`] when it, or one that it depends on, is not there or not what was written.
    pub async fn read(&self, number: u32, id: DocumentId) -> Result<Document, KvError> {
        let mut links = Vec::new();
        let mut next = id;
        let pattern = loop {
            if links.len() > usize::from(MAX_CHAIN) + 1 {
                return Err(damaged(id, "depends on itself"));
            }
            let value = self
                .kv
                .get_many(Table::Documents, vec![key(number, next)])
                .await?;
            let value = value
                .into_iter()
                .flatten()
                .next()
                .ok_or_else(|| damaged(next, "is missing"))?;
            let base = unpack(next, &value)?.base;
            links.push((next, value));
            match base {
                Base::Own(below, _) => next = below,
                Base::Pattern(pattern) => break Some(self.pattern(pattern)?),
                Base::None => break None,
            }
        };
        let read = tokio::task::spawn_blocking(move || build(id, links, pattern.as_deref()));
        read.await
            .map_err(|_| KvError::Io("reading a document was interrupted".to_owned()))?
    }

    fn pattern(&self, id: DocumentId) -> Result<Arc<Pattern>, KvError> {
        let patterns = self.patterns.read();
        patterns
            .iter()
            .find(|pattern| pattern.id == id)
            .cloned()
            .ok_or_else(|| damaged(id, "is missing among the patterns"))
    }

    /// What has to be written so that `content` is a document of the host; `after` is the one that it mostly resembles.
    /// `shared` is what of it other hosts may have too. `None` when it is too large, or even compressed larger than a value may be.
    ///
    /// # Errors
    /// The engine's.
    pub async fn prepare(
        self: &Arc<Self>,
        number: u32,
        content: Arc<Vec<u8>>,
        shared: Arc<Vec<u8>>,
        after: Option<Document>,
    ) -> Result<Option<NewDocument>, KvError> {
        if content.len() > MAX_DOCUMENT_BYTES {
            return Ok(None);
        }
        let id = DocumentId::of(&content);
        if after.as_ref().is_some_and(|after| after.id == id) {
            return Ok(Some(NewDocument::known(id)));
        }
        let there = self
            .kv
            .get_many(Table::Documents, vec![key(number, id)])
            .await?;
        if there.iter().any(Option::is_some) {
            return Ok(Some(NewDocument::known(id)));
        }
        // The second time round another host may have taken the place of a new pattern.
        for _ in 0..PREPARE_ATTEMPTS {
            let documents = Arc::clone(self);
            let (content, shared, after) =
                (Arc::clone(&content), Arc::clone(&shared), after.clone());
            let prepared = tokio::task::spawn_blocking(move || {
                documents.compress(number, id, &content, &shared, after)
            });
            let prepared = prepared
                .await
                .map_err(|_| KvError::Io("compressing a document was interrupted".to_owned()))??;
            let Some(Compressed {
                document,
                new_pattern,
            }) = prepared
            else {
                return Ok(None);
            };
            let is_ready = match new_pattern {
                Some(new) => self.add_pattern(new).await?,
                None => true,
            };
            if is_ready {
                return Ok(Some(document));
            }
        }
        Err(KvError::Busy)
    }

    fn compress(
        &self,
        number: u32,
        id: DocumentId,
        content: &[u8],
        shared: &[u8],
        after: Option<Document>,
    ) -> Result<Option<Compressed>, KvError> {
        let own = match &after {
            Some(after) => Self::against_own(content, after)?,
            None => None,
        };
        let (base, packed, new_pattern) = match own {
            Some((base, packed)) => (base, packed, None),
            None => self.as_root(number, content, shared)?,
        };
        let value = pack(base, content.len(), &packed);
        if value.len() > MAX_VALUE_BYTES {
            return Ok(None);
        }
        Ok(Some(Compressed {
            document: NewDocument {
                id,
                puts: vec![(key(number, id), Bytes::from(value))],
            },
            new_pattern,
        }))
    }

    /// Against the document before, or against the root once the chain is long, where that is worth it.
    fn against_own(content: &[u8], after: &Document) -> Result<Option<(Base, Vec<u8>)>, KvError> {
        let is_long = after.chain >= MAX_CHAIN;
        let (base, dictionary) = if is_long {
            (Base::Own(after.root.0, 1), &after.root.1)
        } else {
            (Base::Own(after.id, after.chain + 1), &after.content)
        };
        let packed = compress(content, dictionary, LEVEL)?;
        let is_worth = packed.len() <= SMALL_BYTES
            || packed.len() * WORTH_ONE_IN <= compress(content, &[], TRIAL_LEVEL)?.len();
        Ok(is_worth.then_some((base, packed)))
    }

    /// Against the pattern that fits best; where none fits, what of it is shared becomes one.
    fn as_root(
        &self,
        number: u32,
        content: &[u8],
        shared: &[u8],
    ) -> Result<(Base, Vec<u8>, Option<NewPattern>), KvError> {
        let patterns = self.patterns.read().clone();
        let mut best: Option<(usize, Arc<Pattern>)> = None;
        for pattern in patterns {
            let size = compress(content, &pattern.content, TRIAL_LEVEL)?.len();
            if best.as_ref().is_none_or(|(least, _)| size < *least) {
                best = Some((size, pattern));
            }
        }
        let alone = compress(content, &[], TRIAL_LEVEL)?.len();
        let fits = best.filter(|(size, pattern)| {
            (*size <= SMALL_BYTES || size * WORTH_ONE_IN <= alone) && self.use_now(pattern)
        });
        if let Some((_, pattern)) = fits {
            let packed = compress(content, &pattern.content, LEVEL)?;
            return Ok((Base::Pattern(pattern.id), packed, None));
        }
        match self.new_pattern(number, shared)? {
            Some(new) => {
                let packed = compress(content, &new.pattern.content, LEVEL)?;
                Ok((Base::Pattern(new.pattern.id), packed, Some(new)))
            }
            None => Ok((Base::None, compress(content, &[], LEVEL)?, None)),
        }
    }

    /// Marks a pattern as used, unless it was swept away meanwhile.
    fn use_now(&self, pattern: &Pattern) -> bool {
        let patterns = self.patterns.read();
        let sweep = self.next_sweep.load(Ordering::Acquire);
        pattern.used_before.store(sweep, Ordering::Release);
        patterns.iter().any(|known| known.id == pattern.id)
    }

    fn new_pattern(&self, number: u32, shared: &[u8]) -> Result<Option<NewPattern>, KvError> {
        if shared.len() > MAX_PATTERN_BYTES {
            return Ok(None);
        }
        let id = DocumentId::of(shared);
        let value = pack(Base::None, shared.len(), &compress(shared, &[], LEVEL)?);
        let patterns = self.patterns.read();
        let of_host = patterns.iter().filter(|known| known.made_by == number);
        let is_full = patterns.len() >= MAX_PATTERNS || of_host.count() >= PATTERNS_OF_HOST;
        // One of the same name that did not fit has another content: a name is only eight bytes.
        if is_full || value.len() > MAX_VALUE_BYTES || patterns.iter().any(|known| known.id == id) {
            return Ok(None);
        }
        Ok(Some(NewPattern {
            value: Bytes::from(value),
            pattern: Arc::new(Pattern {
                id,
                content: shared.to_vec(),
                made_by: number,
                used_before: AtomicU64::new(self.next_sweep.load(Ordering::Acquire)),
            }),
        }))
    }

    /// Writes a pattern and then offers it to others: what depends on it must find it after a crash. Says whether the
    /// place was still free.
    async fn add_pattern(&self, new: NewPattern) -> Result<bool, KvError> {
        let _alone = self.adding.lock().await;
        let is_known = |patterns: &[Arc<Pattern>]| {
            let known = patterns.iter().find(|known| known.id == new.pattern.id);
            known.map(|known| known.content == new.pattern.content)
        };
        if let Some(is_same) = is_known(&self.patterns.read()) {
            return Ok(is_same && self.use_now(&new.pattern));
        }
        let mut batch = Batch::new(Class::State);
        batch.put(
            Table::Documents,
            key(PATTERNS_NUMBER, new.pattern.id),
            new.value,
        );
        self.kv.write(batch).await?;
        self.patterns.write().push(new.pattern);
        Ok(true)
    }
}

/// A document that was compressed, and the pattern that it needs if that is new.
struct Compressed {
    document: NewDocument,
    new_pattern: Option<NewPattern>,
}

struct NewPattern {
    pattern: Arc<Pattern>,
    value: Bytes,
}

impl Documents {
    /// What each document of a host is kept against.
    async fn bases(&self, number: u32) -> Result<BTreeMap<DocumentId, Base>, KvError> {
        let mut bases = BTreeMap::new();
        let range = prefix_range(&number.to_be_bytes());
        scan_all(self.kv.as_ref(), Table::Documents, range, |key, value| {
            if let Some(id) = key.last_chunk().copied().map(DocumentId) {
                bases.insert(id, unpack(id, &value)?.base);
            }
            Ok::<_, KvError>(())
        })
        .await?;
        Ok(bases)
    }

    /// The keys of a host's documents that nothing needs: neither those in `needed`, nor what they are kept against.
    ///
    /// # Errors
    /// The engine's.
    pub async fn unneeded(
        &self,
        number: u32,
        needed: &BTreeSet<DocumentId>,
    ) -> Result<Vec<DocumentId>, KvError> {
        let bases = self.bases(number).await?;
        let mut marked = BTreeSet::new();
        for id in needed {
            let mut next = Some(*id);
            while let Some(id) = next.filter(|id| marked.insert(*id)) {
                next = match bases.get(&id) {
                    Some(Base::Own(below, _)) => Some(*below),
                    _ => None,
                };
            }
        }
        Ok(bases
            .into_keys()
            .filter(|id| !marked.contains(id))
            .collect())
    }

    /// Adds the removal of a host's documents to a batch.
    pub fn remove(batch: &mut Batch, number: u32, ids: &[DocumentId]) {
        for id in ids {
            batch.delete(Table::Documents, key(number, *id));
        }
    }

    /// Removes patterns that no document of these hosts is kept against, and to which none was prepared since the sweep
    /// before: a document is written some time after it was prepared. Returns how many.
    ///
    /// # Errors
    /// The engine's.
    pub async fn sweep_patterns(&self, numbers: &[u32]) -> Result<usize, KvError> {
        let sweep = self.next_sweep.fetch_add(1, Ordering::AcqRel);
        let mut used = BTreeSet::new();
        for number in numbers {
            let bases = self.bases(*number).await?;
            used.extend(bases.into_values().filter_map(|base| match base {
                Base::Pattern(id) => Some(id),
                _ => None,
            }));
        }
        // Nobody adds one again before it is gone.
        let _alone = self.adding.lock().await;
        // From here on nobody can come to depend on them: they are no longer offered.
        let mut removed = Vec::new();
        self.patterns.write().retain(|pattern| {
            let stays = used.contains(&pattern.id)
                || pattern.used_before.load(Ordering::Acquire) + 1 > sweep;
            if !stays {
                removed.push(pattern.id);
            }
            stays
        });
        let mut batch = Batch::new(Class::State);
        Self::remove(&mut batch, PATTERNS_NUMBER, &removed);
        if !batch.is_empty() {
            self.kv.write(batch).await?;
        }
        Ok(removed.len())
    }
}

/// Decompresses a chain from its root up to the document that was asked for.
fn build(
    id: DocumentId,
    links: Vec<(DocumentId, Bytes)>,
    pattern: Option<&Pattern>,
) -> Result<Document, KvError> {
    let chain = u8::try_from(links.len().saturating_sub(1)).unwrap_or(u8::MAX);
    let mut links = links.into_iter().rev();
    let (root_id, value) = links.next().ok_or_else(|| damaged(id, "is missing"))?;
    let dictionary = pattern.map_or(&[][..], |pattern| &pattern.content);
    let root = Arc::new(unpack(root_id, &value)?.decompress(root_id, dictionary)?);
    let mut content = Arc::clone(&root);
    for (link, value) in links {
        content = Arc::new(unpack(link, &value)?.decompress(link, &content)?);
    }
    if DocumentId::of(&content) != id {
        return Err(damaged(id, "is not what was written"));
    }
    Ok(Document {
        id,
        content,
        root: (root_id, root),
        chain,
    })
}

/// A value: what it is kept against, its size, and what zstd made of it.
struct Packed<'a> {
    base: Base,
    size: usize,
    packed: &'a [u8],
}

fn pack(base: Base, size: usize, packed: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(packed.len() + 16);
    match base {
        Base::None => value.push(0),
        Base::Pattern(id) => {
            value.push(1);
            value.extend(id.0);
        }
        Base::Own(id, chain) => {
            value.extend([2, chain]);
            value.extend(id.0);
        }
    }
    put_unsigned(&mut value, size as u64);
    value.extend(packed);
    value
}

fn unpack(id: DocumentId, mut value: &[u8]) -> Result<Packed<'_>, KvError> {
    let mut take = || {
        let base = match take_array(&mut value)? {
            [0] => Base::None,
            [1] => Base::Pattern(DocumentId(take_array(&mut value)?)),
            [2] => {
                let [chain] = take_array(&mut value)?;
                Base::Own(DocumentId(take_array(&mut value)?), chain)
            }
            _ => return Err(DecodeError::Damaged),
        };
        let size = usize::try_from(take_unsigned(&mut value)?).unwrap_or(usize::MAX);
        if size > MAX_DOCUMENT_BYTES {
            return Err(DecodeError::Damaged);
        }
        Ok(Packed {
            base,
            size,
            packed: value,
        })
    };
    take().map_err(|_| damaged(id, "is not what was written"))
}

impl Packed<'_> {
    fn decompress(&self, id: DocumentId, dictionary: &[u8]) -> Result<Vec<u8>, KvError> {
        zstd::bulk::Decompressor::with_dictionary(dictionary)
            .and_then(|mut decompressor| decompressor.decompress(self.packed, self.size))
            .map_err(|error| damaged(id, &format!("does not decompress: {error}")))
    }
}

fn compress(content: &[u8], dictionary: &[u8], level: i32) -> Result<Vec<u8>, KvError> {
    let compress = || {
        let mut compressor = zstd::bulk::Compressor::with_dictionary(level, dictionary)?;
        // The size stands before it.
        compressor.set_parameter(zstd::zstd_safe::CParameter::ContentSizeFlag(false))?;
        compressor.compress(content)
    };
    compress().map_err(|error| KvError::Io(format!("compressing a document: {error}")))
}
