//! Copies of a host: who reports is judged before anything is kept, and an admin decides about the newcomer.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Caller, FlowError, change_host, note};
use crate::app::App;
use crate::domain::host::{Host, Status, status};
use crate::domain::id;
use crate::domain::identity::{MAX_SET_ASIDE, Machine, SetAside, Verdict, judge};
use crate::domain::report::Facts;
use crate::store::audit::Actor;

/// What a machine that is set aside is told.
const SET_ASIDE: &str =
    "another machine reports with this identity; an admin must decide which of them it is";
/// That a machine still tries is written down at most so often, in seconds.
const SEEN_SECONDS: i64 = 60;

/// Lets a report in, or sets the machine aside that sent it.
///
/// # Errors
/// [`FlowError::Conflict`] when the machine is set aside.
pub async fn admit(app: &App, host_id: Uuid, facts: &Facts) -> Result<(), FlowError> {
    let Some(host) = app.store.state.hosts.get(host_id) else {
        return Err(FlowError::NotFound("host"));
    };
    let now = app.clock.now();
    let machine = Machine::from(facts);
    match judge(&host, facts, is_heard(app, &host, now)) {
        Verdict::Host => welcome(app, host_id, &machine).await,
        Verdict::Newcomer => {
            set_aside(app, host_id, machine, now).await?;
            Err(FlowError::Conflict(SET_ASIDE))
        }
        Verdict::Returned => {
            // What is known is the newcomer's; the report that is let in puts it right.
            set_aside(app, host_id, Machine::from(&host.facts), now).await
        }
    }
}

/// A machine that was set aside and is the host now, since the host fell silent, is no longer aside.
async fn welcome(app: &App, host_id: Uuid, machine: &Machine) -> Result<(), FlowError> {
    let is_same = |known: &SetAside| known.machine.is_same(&machine.machine_id, &machine.boot_id);
    let host = app.store.state.hosts.get(host_id);
    if !host.iter().flat_map(|host| &host.set_aside).any(is_same) {
        return Ok(());
    }
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            host.set_aside.retain(|known| !is_same(known));
            change.put(host);
            Ok(())
        })
        .await
}

/// Whether it is another machine than the host's, which has reported lately.
pub fn is_other(app: &App, host: &Host, machine_id: &str, now: DateTime<Utc>) -> bool {
    let facts = Facts {
        machine_id: machine_id.to_owned(),
        ..Facts::default()
    };
    judge(host, &facts, is_heard(app, host, now)) == Verdict::Newcomer
}

/// Whether the host has reported lately.
fn is_heard(app: &App, host: &Host, now: DateTime<Utc>) -> bool {
    let last_seen = app.store.series.with_head(host.number, |head| {
        head.last_received_at()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
    });
    let since = app.listening_since;
    status(host.interval_seconds, last_seen, since, now) == Status::Up
}

async fn set_aside(
    app: &App,
    host_id: Uuid,
    machine: Machine,
    now: DateTime<Utc>,
) -> Result<(), FlowError> {
    let host = app.store.state.hosts.get(host_id);
    let known = host.iter().flat_map(|host| &host.set_aside);
    let is_fresh = |known: &SetAside| {
        known.machine == machine && now - known.last_seen_at < TimeDelta::seconds(SEEN_SECONDS)
    };
    if known.clone().any(is_fresh) {
        return Ok(());
    }
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            let is_same = |known: &&mut SetAside| {
                known.machine.is_same(&machine.machine_id, &machine.boot_id)
            };
            if let Some(known) = host.set_aside.iter_mut().find(is_same) {
                known.machine = machine;
                known.last_seen_at = now;
            } else if host.set_aside.len() < MAX_SET_ASIDE {
                tracing::warn!(
                    host = host.name(), %host_id, hostname = machine.hostname,
                    "another machine reports with this host's identity; it is set aside"
                );
                note(
                    change,
                    now,
                    Actor::system(),
                    "host.set_aside",
                    Some(host_id),
                    host.name(),
                );
                host.set_aside.push(SetAside {
                    set_aside_id: id::new(now),
                    machine,
                    first_seen_at: now,
                    last_seen_at: now,
                    is_decided: false,
                });
            } else {
                return Ok(());
            }
            change.put(host);
            Ok(())
        })
        .await
}

/// Makes the machine that is set aside the host, and sets the one aside that was.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn accept(
    app: &App,
    caller: &Caller,
    host_id: Uuid,
    set_aside_id: Uuid,
) -> Result<(), FlowError> {
    decide(
        app,
        caller,
        host_id,
        set_aside_id,
        "host.accept_set_aside",
        |host, chosen, now| {
            let before = Machine::from(&host.facts);
            host.facts.machine_id = chosen.machine.machine_id;
            host.facts.boot_id = chosen.machine.boot_id;
            host.facts.hostname = chosen.machine.hostname;
            host.facts.addresses = chosen.machine.addresses;
            host.previous_boot_id = None;
            if !host.is_pushed() {
                // Its agent is another one, and becomes the host's when it answers.
                host.install_id = None;
            }
            host.set_aside.push(SetAside {
                set_aside_id: id::new(now),
                machine: before,
                first_seen_at: now,
                last_seen_at: now,
                is_decided: true,
            });
        },
    )
    .await
}

/// Forgets a machine that was set aside; if it still reports, it is seen again.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn forget(
    app: &App,
    caller: &Caller,
    host_id: Uuid,
    set_aside_id: Uuid,
) -> Result<(), FlowError> {
    decide(
        app,
        caller,
        host_id,
        set_aside_id,
        "host.forget_set_aside",
        |_, _, _| {},
    )
    .await
}

async fn decide(
    app: &App,
    caller: &Caller,
    host_id: Uuid,
    set_aside_id: Uuid,
    action: &str,
    apply: impl FnOnce(&mut Host, SetAside, DateTime<Utc>) + Send,
) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            let place = host
                .set_aside
                .iter()
                .position(|known| known.set_aside_id == set_aside_id)
                .ok_or(FlowError::NotFound("machine that is set aside"))?;
            let chosen = host.set_aside.remove(place);
            apply(&mut host, chosen, now);
            note(
                change,
                now,
                caller.actor(),
                action,
                Some(host_id),
                host.name(),
            );
            change.put(host);
            Ok(())
        })
        .await
}
