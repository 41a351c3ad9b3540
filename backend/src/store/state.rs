//! State: records that are few, read all the time and changed seldom. They live in memory as they are on disk.
//!
//! A change is decided under one lock from what is in memory, written in one batch, and only then shown: whoever
//! reads sees what is durable, and two decisions never cross.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use serde_json::Value;
use uuid::Uuid;

use super::OpenError;
use super::kv::{Batch, Class, Direction, Kv, KvError, Table, prefix_range, scan_all};
use super::record::{self, Record};
use super::{alert, snapshot};
use crate::domain::alert::Alert;
use crate::domain::alert::rule::AlertRule;
use crate::domain::alert::silence::Silence;
use crate::domain::baseline::HostDrift;
use crate::domain::credential::{ApiToken, CollectorToken, EnrollmentKey};
use crate::domain::drift_rule::DriftRule;
use crate::domain::host::Host;
use crate::domain::notification::{Channel, Message, Notice};
use crate::domain::session::Session;
use crate::domain::snapshot::hex;
use crate::domain::user::User;

/// Key of the last number given to a host, in table `meta`.
const HOST_NUMBER_KEY: &[u8] = b"host_number";
/// Keys of deleted hosts whose data still has to go, in table `meta`.
const DELETED_HOST_PREFIX: &[u8] = b"deleted_host/";
/// Keys that one transaction of a purge removes.
const PURGE_KEYS: usize = 2_000;

macro_rules! records {
    ($($type:ty, $table:ident, $version:literal, $id:ident;)*) => {
        $(impl Record for $type {
            const TABLE: super::kv::Table = super::kv::Table::$table;
            const VERSION: u16 = $version;

            fn id(&self) -> Uuid {
                self.$id
            }
        })*
    };
}

records! {
    User, Users, 1, user_id;
    Session, Sessions, 1, session_id;
    ApiToken, ApiTokens, 1, token_id;
    EnrollmentKey, EnrollmentKeys, 1, key_id;
    CollectorToken, CollectorTokens, 1, token_id;
    DriftRule, DriftRules, 1, rule_id;
    HostDrift, Drift, 1, host_id;
    AlertRule, AlertRules, 1, rule_id;
    Alert, ActiveAlerts, 1, alert_id;
    Silence, Silences, 1, silence_id;
    Channel, Channels, 1, channel_id;
    Notice, Notices, 1, notice_id;
    Message, Messages, 1, message_id;
}

impl Record for Host {
    const TABLE: Table = Table::Hosts;
    const VERSION: u16 = 2;

    fn id(&self) -> Uuid {
        self.host_id
    }

    /// Version 1 named a snapshot that was kept whole, and no agent ever sent one: the next report's is the first.
    fn upgrade(from: u16, mut value: Value) -> Result<Value, String> {
        let host = value.as_object_mut().ok_or("it is no object")?;
        if from == 1 {
            host.insert("snapshot".to_owned(), Value::Null);
        }
        Ok(value)
    }
}

/// All records of one type, in the order of their ids, which is the order in which they were made.
pub struct Collection<T> {
    records: RwLock<BTreeMap<Uuid, Arc<T>>>,
}

impl<T: Record> Collection<T> {
    async fn load(kv: &dyn Kv) -> Result<Self, OpenError> {
        let mut records = BTreeMap::new();
        scan_all(kv, T::TABLE, Vec::new()..vec![0xff; 17], |key, value| {
            let record: T = record::decode(&value).map_err(|source| OpenError::Record {
                table: T::TABLE.name(),
                key: hex(&key),
                source,
            })?;
            records.insert(record.id(), Arc::new(record));
            Ok::<_, OpenError>(())
        })
        .await?;
        Ok(Self {
            records: RwLock::new(records),
        })
    }

    /// The record with this id.
    pub fn get(&self, id: Uuid) -> Option<Arc<T>> {
        self.records.read().get(&id).cloned()
    }

    /// All records, oldest first.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.records.read().values().cloned().collect()
    }

    /// The first record that `matches`.
    pub fn find(&self, matches: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.records
            .read()
            .values()
            .find(|record| matches(record))
            .cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.read().is_empty()
    }
}

/// Gives the collection of a type, so that a change can name it by the type alone.
pub trait Kept: Record {
    /// Its collection.
    fn collection(state: &State) -> &Collection<Self>
    where
        Self: Sized;
}

macro_rules! kept {
    ($($type:ty => $field:ident;)*) => {
        $(impl Kept for $type {
            fn collection(state: &State) -> &Collection<Self> {
                &state.$field
            }
        })*
    };
}

kept! {
    User => users;
    Session => sessions;
    ApiToken => api_tokens;
    EnrollmentKey => enrollment_keys;
    CollectorToken => collector_tokens;
    Host => hosts;
    DriftRule => drift_rules;
    HostDrift => drift;
    AlertRule => alert_rules;
    Alert => active_alerts;
    Silence => silences;
    Channel => channels;
    Notice => notices;
    Message => messages;
}

/// Every collection, and the lock under which they change.
pub struct State {
    /// People.
    pub users: Collection<User>,
    /// Their sessions.
    pub sessions: Collection<Session>,
    /// Tokens for scripts.
    pub api_tokens: Collection<ApiToken>,
    /// Keys for new agents.
    pub enrollment_keys: Collection<EnrollmentKey>,
    /// Tokens of collectors.
    pub collector_tokens: Collection<CollectorToken>,
    /// Watched machines.
    pub hosts: Collection<Host>,
    /// Rules that mark changes.
    pub drift_rules: Collection<DriftRule>,
    /// What differs from each host's baseline.
    pub drift: Collection<HostDrift>,
    /// Rules that watch.
    pub alert_rules: Collection<AlertRule>,
    /// Alerts that fire.
    pub active_alerts: Collection<Alert>,
    /// Times in which nobody is told.
    pub silences: Collection<Silence>,
    /// Ways to tell people.
    pub channels: Collection<Channel>,
    /// What waits to be told.
    pub notices: Collection<Notice>,
    /// What is on its way.
    pub messages: Collection<Message>,
    last_host_number: AtomicU32,
    kv: Arc<dyn Kv>,
    writing: tokio::sync::Mutex<()>,
}

type Apply = Box<dyn FnOnce(&State) + Send>;

/// A change being put together; see [`State::change`].
pub struct Change<'a> {
    /// What is in memory, and durable, before the change.
    pub state: &'a State,
    batch: Batch,
    apply: Vec<Apply>,
    error: Option<KvError>,
}

impl Change<'_> {
    /// Sets a record.
    pub fn put<T: Kept>(&mut self, record: T) {
        match record::encode(&record) {
            Ok(bytes) => self.put_encoded(Arc::new(record), bytes.into()),
            Err(error) => self.error = Some(KvError::Io(error.to_string())),
        }
    }

    /// Sets a record whose form was made before: what is large is not written down while others wait.
    pub fn put_encoded<T: Kept>(&mut self, record: Arc<T>, bytes: Bytes) {
        self.batch.put(T::TABLE, record::key(record.id()), bytes);
        self.apply.push(Box::new(move |state| {
            T::collection(state)
                .records
                .write()
                .insert(record.id(), record);
        }));
    }

    /// Removes a record.
    pub fn delete<T: Kept>(&mut self, id: Uuid) {
        self.batch.delete(T::TABLE, record::key(id));
        self.apply.push(Box::new(move |state| {
            T::collection(state).records.write().remove(&id);
        }));
    }

    /// A number for a new host, never given before, not even when the change fails.
    pub fn next_host_number(&mut self) -> u32 {
        let number = self.state.last_host_number.fetch_add(1, Ordering::AcqRel) + 1;
        self.batch.put(
            Table::Meta,
            HOST_NUMBER_KEY.to_vec(),
            Bytes::copy_from_slice(&number.to_be_bytes()),
        );
        number
    }

    /// Removes a host and marks what it left for [`State::purge`].
    pub fn delete_host(&mut self, host: &Host) {
        self.delete::<Host>(host.host_id);
        self.delete::<HostDrift>(host.host_id);
        let mark = [DELETED_HOST_PREFIX, &host.number.to_be_bytes()[..]].concat();
        self.batch.put(Table::Meta, mark, Bytes::new());
    }

    /// The batch, for what lives on disk alone.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }
}

impl State {
    /// Reads everything into memory.
    ///
    /// # Errors
    /// The engine's, and records that this build cannot understand.
    pub async fn load(kv: Arc<dyn Kv>) -> Result<Self, OpenError> {
        let kept = kv
            .get_many(Table::Meta, vec![HOST_NUMBER_KEY.to_vec()])
            .await?
            .into_iter()
            .flatten()
            .next();
        let last_host_number = kept
            .and_then(|bytes| bytes.first_chunk().copied())
            .map_or(0, u32::from_be_bytes);
        Ok(Self {
            users: Collection::load(kv.as_ref()).await?,
            sessions: Collection::load(kv.as_ref()).await?,
            api_tokens: Collection::load(kv.as_ref()).await?,
            enrollment_keys: Collection::load(kv.as_ref()).await?,
            collector_tokens: Collection::load(kv.as_ref()).await?,
            hosts: Collection::load(kv.as_ref()).await?,
            drift_rules: Collection::load(kv.as_ref()).await?,
            drift: Collection::load(kv.as_ref()).await?,
            alert_rules: Collection::load(kv.as_ref()).await?,
            active_alerts: Collection::load(kv.as_ref()).await?,
            silences: Collection::load(kv.as_ref()).await?,
            channels: Collection::load(kv.as_ref()).await?,
            notices: Collection::load(kv.as_ref()).await?,
            messages: Collection::load(kv.as_ref()).await?,
            last_host_number: AtomicU32::new(last_host_number),
            kv,
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// Decides a change from what is in memory, makes it durable, and shows it. `decide` runs alone; when it fails
    /// nothing changes.
    ///
    /// # Errors
    /// Those of `decide`, and the engine's.
    pub async fn change<R, E: From<KvError>>(
        &self,
        decide: impl FnOnce(&mut Change<'_>) -> Result<R, E> + Send,
    ) -> Result<R, E> {
        let _alone = self.writing.lock().await;
        let mut change = Change {
            state: self,
            batch: Batch::new(Class::State),
            apply: Vec::new(),
            error: None,
        };
        let result = decide(&mut change)?;
        let Change {
            batch,
            apply,
            error,
            ..
        } = change;
        if let Some(error) = error {
            return Err(error.into());
        }
        if !batch.is_empty() {
            self.kv.write(batch).await?;
        }
        for apply in apply {
            apply(self);
        }
        Ok(result)
    }

    /// Numbers of deleted hosts whose data still has to go.
    ///
    /// # Errors
    /// The engine's.
    pub async fn deleted_hosts(&self) -> Result<Vec<u32>, KvError> {
        let marks = self
            .kv
            .scan(
                Table::Meta,
                prefix_range(DELETED_HOST_PREFIX),
                usize::MAX,
                Direction::Forward,
            )
            .await?;
        let numbers = marks.iter().filter_map(|(mark, _)| {
            let number = mark.strip_prefix(DELETED_HOST_PREFIX)?;
            Some(u32::from_be_bytes(number.try_into().ok()?))
        });
        Ok(numbers.collect())
    }

    /// Removes what a deleted host left in state, and then the mark of its deletion. Safe to repeat.
    ///
    /// # Errors
    /// The engine's.
    pub async fn purge(&self, number: u32) -> Result<(), KvError> {
        snapshot::purge(self.kv.as_ref(), number, PURGE_KEYS).await?;
        alert::purge(self.kv.as_ref(), number).await?;
        let number = number.to_be_bytes();
        for table in [Table::Documents, Table::Baselines] {
            while self
                .kv
                .delete_range(table, prefix_range(&number), PURGE_KEYS)
                .await?
                == PURGE_KEYS
            {}
        }
        let mut batch = Batch::new(Class::State);
        batch.delete(Table::Meta, [DELETED_HOST_PREFIX, &number].concat());
        self.kv.write(batch).await
    }
}
