//! The way to a host: addresses, a connection, the host key, and a user that is logged in; through another machine
//! where the target says so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Url;
use russh::client::Config;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::host_key::Family;
use super::key::SshKey;
use super::leash::Stream;
use super::machine::Machine;
use super::session::{Refused, Session, config};
use crate::domain::collection::{Failure, SshTarget, Step};
use crate::outgoing::{EgressError, Resolver};
use crate::transport::{Visit, words};

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 8;
/// Of how many machines is remembered which kind of key they are known by.
const MAX_FAMILIES: usize = 4096;

/// How a machine is reached.
enum Way<'a> {
    /// At one of these addresses.
    Direct(Vec<SocketAddr>),
    /// From another one.
    Through(&'a Session),
}

/// A connection to a host, and to the machine in between. Fields are dropped in this order.
pub struct Connection {
    pub host: Session,
    _jump: Option<Session>,
}

/// Makes connections.
pub struct Connector {
    resolver: Resolver,
    dial_patience: Duration,
    any: Arc<Config>,
    of_family: [Arc<Config>; 3],
    families: Mutex<HashMap<(Uuid, bool), Family>>,
}

impl Connector {
    pub fn new(resolver: Resolver, dial_patience: Duration) -> Self {
        Self {
            resolver,
            dial_patience,
            any: config(None),
            of_family: Family::ALL.map(|family| config(Some(family))),
            families: Mutex::new(HashMap::new()),
        }
    }

    /// Forgets what is known of a host.
    pub fn forget(&self, host_id: Uuid) {
        let mut families = self.families.lock();
        families.remove(&(host_id, false));
        families.remove(&(host_id, true));
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// With the step where it ended, and why.
    pub async fn connect(
        &self,
        host_id: Uuid,
        target: &SshTarget,
        own_key: Option<&SshKey>,
        visit: &mut Visit,
    ) -> Result<Connection, Failure> {
        let host = Machine::host(target, own_key)?;
        let Some(jump) = &target.jump else {
            let way = self.resolve(&host, visit).await?;
            let host = self.enter(host_id, &host, &way, visit).await?;
            return Ok(Connection { host, _jump: None });
        };
        self.judge_behind(host.address)?;
        let jump = Machine::jump(jump, own_key)?;
        let way = self.resolve(&jump, visit).await?;
        let jump = self.enter(host_id, &jump, &way, visit).await?;
        let way = Way::Through(&jump);
        let host = self.enter(host_id, &host, &way, visit).await?;
        Ok(Connection {
            host,
            _jump: Some(jump),
        })
    }

    async fn resolve(
        &self,
        machine: &Machine<'_>,
        visit: &mut Visit,
    ) -> Result<Way<'static>, Failure> {
        let doing = format!("resolving {}", machine.address);
        visit.begin(Step::Resolve, doing.clone());
        let permitted = self.resolver.permitted(machine.address, machine.port);
        let mut addresses = timeout(self.dial_patience, permitted)
            .await
            .map_err(|_| visit.took_too_long(self.dial_patience))?
            .map_err(refused_address)?;
        addresses.truncate(MAX_ADDRESSES);
        let found: Vec<String> = addresses
            .iter()
            .map(|found| found.ip().to_string())
            .collect();
        visit.pass(Step::Resolve, found.join(" "));
        Ok(Way::Direct(addresses))
    }

    /// The machine in between resolves names; what is written as an address is judged here all the same, since it could
    /// mean that machine itself.
    fn judge_behind(&self, address: &str) -> Result<(), Failure> {
        let url = Url::parse(&format!("http://{address}/")).ok();
        // As resolvers read it: 127.1 is an address too.
        let canonical = url.as_ref().and_then(Url::host_str).unwrap_or(address);
        let name = canonical.trim_end_matches('.');
        // As the files of hosts on most machines name it.
        let is_itself = matches!(name, "localhost" | "ip6-localhost" | "ip6-loopback")
            || name.ends_with(".localhost")
            || name.ends_with(".localdomain");
        let canonical = if is_itself { "127.0.0.1" } else { canonical };
        for literal in [address, canonical] {
            self.resolver
                .judge_literal(literal)
                .map_err(refused_address)?;
        }
        Ok(())
    }

    /// Connects to a machine, sees that it is the known one, and logs in.
    async fn enter(
        &self,
        host_id: Uuid,
        machine: &Machine<'_>,
        way: &Way<'_>,
        visit: &mut Visit,
    ) -> Result<Session, Failure> {
        let mut session = self.meet(host_id, machine, way, visit).await?;
        visit.pass(Step::HostKey, session.host_key.name());
        let user = machine.user;
        visit.begin(Step::Authenticate, format!("logging in as {user}"));
        session.log_in(user, &machine.key).await?;
        visit.pass(Step::Authenticate, format!("as {user}"));
        Ok(session)
    }

    /// Connects until the machine shows the known key, since it may have others that are preferred.
    async fn meet(
        &self,
        host_id: Uuid,
        machine: &Machine<'_>,
        way: &Way<'_>,
        visit: &mut Visit,
    ) -> Result<Session, Failure> {
        let remembered = self
            .families
            .lock()
            .get(&(host_id, machine.is_jump))
            .copied();
        let mut attempts: Vec<Option<Family>> = Vec::new();
        if machine.pin.is_some() {
            attempts.extend(remembered.map(Some));
            attempts.push(None);
            attempts.extend(Family::ALL.map(Some));
        } else {
            attempts.push(None);
        }
        let mut seen = Vec::new();
        for family in attempts {
            if family.is_some() && seen.contains(&family) {
                continue;
            }
            let stream = match self.dial(machine, way, visit).await {
                Ok(stream) => stream,
                // What it showed before counts, whatever it does now.
                Err(failure) => return Err(visit.shown.take().unwrap_or(failure)),
            };
            let doing = format!("waiting for the host key of {}", machine.place());
            visit.begin(Step::HostKey, doing);
            match Session::begin(stream, self.config(family), machine.pin).await {
                Ok(session) => {
                    self.remember((host_id, machine.is_jump), family);
                    visit.shown = None;
                    return Ok(session);
                }
                Err(Refused::Key(key)) => {
                    seen.push(key.family);
                    if family.is_none() || visit.shown.is_none() {
                        visit.shown = Some(machine.shows_unknown(key));
                    }
                }
                Err(Refused::NoSuchKey) => seen.push(family),
                Err(Refused::Other(error)) => {
                    let failure = machine.is_no_ssh(&error);
                    return Err(visit.shown.take().unwrap_or(failure));
                }
            }
        }
        let shown = visit.shown.take();
        Err(shown.unwrap_or_else(|| machine.has_no_safe_key()))
    }

    fn config(&self, family: Option<Family>) -> Arc<Config> {
        Arc::clone(match family {
            Some(family) => &self.of_family[family as usize],
            None => &self.any,
        })
    }

    fn remember(&self, machine: (Uuid, bool), family: Option<Family>) {
        let mut families = self.families.lock();
        match family {
            Some(_) if families.len() >= MAX_FAMILIES && !families.contains_key(&machine) => {}
            Some(family) => drop(families.insert(machine, family)),
            None => drop(families.remove(&machine)),
        }
    }

    async fn dial(
        &self,
        machine: &Machine<'_>,
        way: &Way<'_>,
        visit: &mut Visit,
    ) -> Result<Box<dyn Stream>, Failure> {
        let place = machine.place();
        match way {
            Way::Direct(addresses) => {
                visit.begin(Step::Connect, format!("connecting to {place}"));
                let (stream, address) = self
                    .first(addresses)
                    .await
                    .map_err(|reason| Failure::new(Step::Connect, reason))?;
                pass_once(visit, machine, &address.to_string());
                Ok(Box::new(stream))
            }
            Way::Through(jump) => {
                let doing = format!("connecting to {place} from the jump host");
                visit.begin(Step::Connect, doing);
                let opened = jump.tunnel(machine.address, machine.port);
                let channel = timeout(self.dial_patience, opened)
                    .await
                    .map_err(|_| visit.took_too_long(self.dial_patience))?
                    .map_err(|why| {
                        let reason =
                            format!("the jump host does not let us through to {place}: {why}");
                        Failure::new(Step::Connect, reason)
                    })?;
                pass_once(visit, machine, &format!("{place} from the jump host"));
                Ok(Box::new(channel.into_stream()))
            }
        }
    }

    /// The first address that takes the connection; each has its share of the time.
    async fn first(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), String> {
        let ends_at = Instant::now() + self.dial_patience;
        let mut reason = String::new();
        for (tried, &address) in addresses.iter().enumerate() {
            let left = ends_at.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
            let connecting = TcpStream::connect(address);
            match timeout(share, connecting).await {
                Ok(Ok(stream)) => {
                    // Only slower without it.
                    drop(stream.set_nodelay(true));
                    return Ok((stream, address));
                }
                Ok(Err(error)) => reason = words::unreachable(&address.to_string(), &error),
                Err(_) => reason = words::too_long(&format!("connecting to {address}"), share),
            }
        }
        Err(reason)
    }
}

/// Notes a connection, and not again when the machine is asked for another key.
fn pass_once(visit: &mut Visit, machine: &Machine<'_>, detail: &str) {
    let connections = visit
        .passed
        .iter()
        .filter(|passed| passed.step == Step::Connect);
    let logins = visit
        .passed
        .iter()
        .filter(|passed| passed.step == Step::Authenticate);
    if connections.count() == logins.count() {
        let role = if machine.is_jump { "jump host " } else { "" };
        visit.pass(Step::Connect, format!("{role}{detail}"));
    }
}

fn refused_address(refusal: EgressError) -> Failure {
    Failure::new(Step::Resolve, refusal.to_string())
}
