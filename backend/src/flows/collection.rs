//! How hosts are pulled: set, changed, and their host keys confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Caller, FlowError, change_host, note, set};
use crate::app::App;
use crate::domain::collection::{
    CollectedBy, Collection, DEFAULT_AGENT_PATH, DEFAULT_ENDPOINT, DEFAULT_SSH_PORT, HttpTarget,
    Jump, SshMode, SshTarget, Target,
};
use crate::domain::host::{DEFAULT_INTERVAL_SECONDS, DEFAULT_SNAPSHOT_INTERVAL_SECONDS, Host};
use crate::domain::id;
use crate::domain::report::Facts;
use crate::transport;

/// The way that reports arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The agent sends them.
    Push,
    /// They are fetched from an agent's endpoint.
    Http,
    /// They are fetched over SSH.
    Ssh,
}

/// What is set of a collection; an empty text stands for none.
#[derive(Clone, Debug)]
pub struct CollectionFields {
    /// The way.
    pub way: Way,
    /// Who collects.
    pub collected_by: Option<CollectedBy>,
    /// URL of an endpoint.
    pub url: Option<String>,
    /// Fingerprint of its certificate.
    pub certificate_fingerprint: Option<String>,
    /// Token of an endpoint, also of one behind a tunnel.
    pub token: Option<String>,
    /// Address of an SSH server.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// User there.
    pub user: Option<String>,
    /// Fingerprint of its host key.
    pub host_key: Option<String>,
    /// How a report is got there.
    pub mode: Option<SshMode>,
    /// The agent's command there.
    pub agent_path: Option<String>,
    /// The agent's state directory there.
    pub state_dir: Option<String>,
    /// Where the agent's endpoint listens there.
    pub endpoint: Option<String>,
    /// Private key to log in with.
    pub private_key: Option<String>,
    /// The machine in between; one without an address stands for none.
    pub jump: Option<JumpFields>,
}

/// What is set of a machine in between.
#[derive(Clone, Debug, Default)]
pub struct JumpFields {
    /// Address.
    pub address: String,
    /// Port.
    pub port: Option<u16>,
    /// User there.
    pub user: Option<String>,
    /// Fingerprint of its host key.
    pub host_key: Option<String>,
    /// Private key to log in with.
    pub private_key: Option<String>,
}

/// A host to be pulled.
pub struct NewHost {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Seconds between two collections.
    pub interval_seconds: Option<u32>,
    /// How it is pulled.
    pub collection: CollectionFields,
}

/// Adds a host to be pulled. Nothing is dialled.
///
/// # Errors
/// [`FlowError::Invalid`] for what cannot be.
pub async fn create(app: &App, caller: &Caller, new: NewHost) -> Result<Arc<Host>, FlowError> {
    let now = app.clock.now();
    let collected_by = new.collection.collected_by.unwrap_or_default();
    let Some(target) = target(new.collection, None)? else {
        return Err(FlowError::invalid(
            "collection.kind",
            "must be http or ssh: hosts whose agents push enrol themselves",
        ));
    };
    let interval_seconds = new.interval_seconds.unwrap_or(DEFAULT_INTERVAL_SECONDS);
    let host = app
        .store
        .state
        .change(|change| {
            let host = Host {
                host_id: id::new(now),
                number: change.next_host_number(),
                install_id: None,
                given_name: Some(new.name),
                labels: new.labels,
                facts: Facts::default(),
                agent_version: String::new(),
                interval_seconds,
                snapshot_interval_seconds: DEFAULT_SNAPSHOT_INTERVAL_SECONDS,
                enrolled_at: now,
                tokens: Vec::new(),
                snapshot: None,
                baseline: None,
                previous_boot_id: None,
                set_aside: Vec::new(),
                collection: Some(Collection {
                    interval_seconds,
                    collected_by,
                    target,
                }),
            };
            let (host_id, actor) = (host.host_id, caller.actor());
            note(
                change,
                now,
                actor,
                "host.create",
                Some(host_id),
                host.name(),
            );
            change.put(host.clone());
            Ok::<_, FlowError>(host)
        })
        .await?;
    app.collections.restart(host.host_id, now);
    Ok(Arc::new(host))
}

/// Changes how a host is pulled, within a change of the host.
///
/// # Errors
/// [`FlowError::Invalid`] for what cannot be, and [`FlowError::Conflict`] when nothing would come any more.
pub fn change(
    host: &mut Host,
    fields: Option<CollectionFields>,
    interval_seconds: Option<u32>,
) -> Result<(), FlowError> {
    if let Some(fields) = fields {
        let known = host.collection.take();
        let collected_by = fields.collected_by;
        host.collection =
            target(fields, known.as_ref().map(|known| &known.target))?.map(|target| {
                let known = known.as_ref();
                Collection {
                    interval_seconds: known
                        .map_or(DEFAULT_INTERVAL_SECONDS, |known| known.interval_seconds),
                    collected_by: collected_by
                        .or(known.map(|known| known.collected_by))
                        .unwrap_or_default(),
                    target,
                }
            });
        if !host.is_pushed() {
            // Whoever answers next is the host.
            host.install_id = None;
        }
    }
    if let Some(seconds) = interval_seconds {
        let Some(collection) = &mut host.collection else {
            return Err(FlowError::invalid(
                "interval_seconds",
                "is the agent's own for a host that is not pulled",
            ));
        };
        collection.interval_seconds = seconds;
    }
    match &host.collection {
        None if !host.is_pushed() => Err(FlowError::Conflict(
            "no agent of this host was enrolled: without a collection nothing would come",
        )),
        Some(collection) if !host.is_pushed() => {
            host.interval_seconds = collection.interval_seconds;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Confirms the host key that the host, or the machine in between, offered at the last collection.
///
/// # Errors
/// [`FlowError::NotFound`], and [`FlowError::Conflict`] when it is not the one that is offered.
pub async fn confirm_host_key(
    app: &App,
    caller: &Caller,
    host_id: Uuid,
    fingerprint: String,
) -> Result<Arc<Host>, FlowError> {
    let now = app.clock.now();
    let progress = app.collections.progress(host_id);
    let host = app
        .store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            let target = host.collection.as_mut().map(|known| &mut known.target);
            let Some(Target::Ssh(target)) = target else {
                return Err(FlowError::Conflict("the host is not reached over SSH"));
            };
            let offered = progress.offered_host_key().ok_or(FlowError::Conflict(
                "no host key waits to be confirmed: collect the host first",
            ))?;
            if offered.fingerprint != fingerprint {
                return Err(FlowError::Conflict("another host key is offered"));
            }
            let pin = match (&mut target.jump, offered.is_jump) {
                (Some(jump), true) => &mut jump.host_key,
                (None, true) => {
                    return Err(FlowError::Conflict("there is no machine in between"));
                }
                (_, false) => &mut target.host_key,
            };
            if pin.is_some() {
                return Err(FlowError::Conflict(
                    "a host key is known already: change the collection to replace it",
                ));
            }
            *pin = Some(fingerprint);
            let (actor, name) = (caller.actor(), host.name());
            note(
                change,
                now,
                actor,
                "host.confirm_host_key",
                Some(host_id),
                name,
            );
            change.put(host.clone());
            Ok(host)
        })
        .await?;
    app.transports.forget(host_id);
    app.collections.restart(host_id, now);
    Ok(Arc::new(host))
}

/// The target that fields describe, over the one that is known; none for a host that is not pulled.
fn target(fields: CollectionFields, known: Option<&Target>) -> Result<Option<Target>, FlowError> {
    if let Some(field) = fields.foreign() {
        return Err(invalid(field, "does not belong to this kind of collection"));
    }
    match fields.way {
        Way::Push => Ok(None),
        Way::Http => {
            let known = match known {
                Some(Target::Http(known)) => Some(known),
                _ => None,
            };
            http(fields, known).map(Target::Http).map(Some)
        }
        Way::Ssh => {
            let known = match known {
                Some(Target::Ssh(known)) => Some(known),
                _ => None,
            };
            ssh(fields, known).map(Target::Ssh).map(Some)
        }
    }
}

impl CollectionFields {
    /// A field that does not belong to the way.
    fn foreign(&self) -> Option<&'static str> {
        let (http, ssh) = (self.way == Way::Http, self.way == Way::Ssh);
        [
            ("url", self.url.is_some() && !http),
            (
                "certificate_fingerprint",
                self.certificate_fingerprint.is_some() && !http,
            ),
            ("token", self.token.is_some() && !http && !ssh),
            ("address", self.address.is_some() && !ssh),
            ("port", self.port.is_some() && !ssh),
            ("user", self.user.is_some() && !ssh),
            ("host_key", self.host_key.is_some() && !ssh),
            ("mode", self.mode.is_some() && !ssh),
            ("agent_path", self.agent_path.is_some() && !ssh),
            ("state_dir", self.state_dir.is_some() && !ssh),
            ("endpoint", self.endpoint.is_some() && !ssh),
            ("private_key", self.private_key.is_some() && !ssh),
            ("jump", self.jump.is_some() && !ssh),
            ("collected_by", self.collected_by.is_some() && !http && !ssh),
        ]
        .into_iter()
        .find_map(|(field, is_foreign)| is_foreign.then_some(field))
    }
}

fn invalid(field: &str, message: &str) -> FlowError {
    FlowError::invalid(&format!("collection.{field}"), message)
}

fn missing(field: &'static str) -> impl Fn() -> FlowError {
    move || invalid(field, "is needed for this kind of collection")
}

/// An empty text stands for none.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn http(fields: CollectionFields, known: Option<&HttpTarget>) -> Result<HttpTarget, FlowError> {
    let url = fields.url.or_else(|| known.map(|known| known.url.clone()));
    let url = url.ok_or_else(missing("url"))?;
    transport::check_url(&url).map_err(|message| invalid("url", message))?;
    // A token is for the endpoint it was given for: at another it could be read.
    let kept = known.filter(|known| known.url == url);
    let token = fields.token.and_then(some);
    let token = token.or_else(|| kept.map(|known| known.token.clone()));
    let token = token.ok_or_else(|| {
        invalid(
            "token",
            "is needed, and must be given again for another URL",
        )
    })?;
    let mut certificate_fingerprint = kept.and_then(|known| known.certificate_fingerprint.clone());
    set(
        &mut certificate_fingerprint,
        fields.certificate_fingerprint.map(some),
    );
    Ok(HttpTarget {
        url,
        token,
        certificate_fingerprint,
    })
}

fn ssh(fields: CollectionFields, known: Option<&SshTarget>) -> Result<SshTarget, FlowError> {
    let mut target = match known {
        Some(known) => known.clone(),
        None => SshTarget {
            address: fields.address.clone().ok_or_else(missing("address"))?,
            port: DEFAULT_SSH_PORT,
            user: fields.user.clone().ok_or_else(missing("user"))?,
            host_key: None,
            mode: SshMode::Command,
            agent_path: DEFAULT_AGENT_PATH.to_owned(),
            state_dir: None,
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            token: None,
            private_key: None,
            jump: None,
        },
    };
    set(&mut target.address, fields.address);
    set(&mut target.port, fields.port);
    if known.is_some_and(|known| (&known.address, known.port) != (&target.address, target.port)) {
        // What is known of one machine says nothing of another.
        (target.host_key, target.token) = (None, None);
    }
    set(&mut target.user, fields.user);
    set(&mut target.host_key, fields.host_key.map(some));
    set(&mut target.mode, fields.mode);
    set(&mut target.agent_path, fields.agent_path);
    set(&mut target.state_dir, fields.state_dir.map(some));
    set(&mut target.private_key, fields.private_key.map(some));
    if let Some(key) = &target.private_key {
        transport::check_private_key(key).map_err(|message| invalid("private_key", message))?;
    }
    if target.mode == SshMode::Tunnel {
        set(&mut target.endpoint, fields.endpoint);
        set(&mut target.token, fields.token.map(some));
        if target.token.is_none() {
            return Err(invalid(
                "token",
                "is needed for a tunnel, and must be given again for another address",
            ));
        }
    } else {
        if fields.endpoint.is_some() || fields.token.is_some() {
            let field = if fields.token.is_some() {
                "token"
            } else {
                "endpoint"
            };
            return Err(invalid(field, "is only for the mode tunnel"));
        }
        (target.endpoint, target.token) = (DEFAULT_ENDPOINT.to_owned(), None);
    }
    if let Some(jump) = fields.jump {
        target.jump = self::jump(jump, target.jump)?;
    }
    Ok(target)
}

fn jump(fields: JumpFields, known: Option<Jump>) -> Result<Option<Jump>, FlowError> {
    if fields.address.is_empty() {
        return Ok(None);
    }
    let port = fields.port.unwrap_or(DEFAULT_SSH_PORT);
    let known = known.filter(|known| known.address == fields.address && known.port == port);
    let user = fields
        .user
        .or_else(|| known.as_ref().map(|known| known.user.clone()));
    let mut jump = Jump {
        address: fields.address,
        port,
        user: user.ok_or_else(missing("jump.user"))?,
        host_key: known.as_ref().and_then(|known| known.host_key.clone()),
        private_key: known.and_then(|known| known.private_key),
    };
    set(&mut jump.host_key, fields.host_key.map(some));
    set(&mut jump.private_key, fields.private_key.map(some));
    if let Some(key) = &jump.private_key {
        transport::check_private_key(key)
            .map_err(|message| invalid("jump.private_key", message))?;
    }
    Ok(Some(jump))
}
