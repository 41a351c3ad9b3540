//! Many hosts pulled by the real backend and real collectors: each once an interval, every point once, whoever dies.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/agents.rs"]
#[expect(dead_code, reason = "nobody is kept waiting here")]
mod agents;
#[path = "support/count.rs"]
mod count;
#[path = "support/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;

use agents::{Agent, Agents, TOKEN};
use chrono::{DateTime, Utc};
use count::count;
use infra_watch::clock::{Clock as _, SystemClock};
use infra_watch::domain::collection::next_tick;
use infra_watch_client::{Client, types};
use parking_lot::Mutex;
use process::{Process, Site, backend_binary, unix_now, until};
use serde_json::json;
use uuid::Uuid;

/// Hosts that collectors and the backend share.
const SHARED_HOSTS: usize = 100;
/// Seconds between two collections of each of them.
const SHARED_INTERVAL: i64 = 5;
/// Collections of each that are waited for: a minute.
const SHARED_ROUNDS: usize = 12;
/// Hosts of the large fleet; `PULL_HOSTS` asks for others.
const FLEET_HOSTS: usize = 500;
/// Seconds between two collections of each of them.
const FLEET_INTERVAL: i64 = 10;
/// Seconds for which it is watched; `PULL_SECONDS` asks for more.
const FLEET_SECONDS: usize = 30;
/// Times that the backend is killed.
const KILLS: usize = 5;
/// Ticks of the system's clock in a second, as the kernel tells processes.
const TICKS_PER_SECOND: f64 = 100.0;

async fn add(admin: &Client, name: &str, agent: &Agent, interval_seconds: i64) -> Uuid {
    let body = json!({
        "name": name, "interval_seconds": interval_seconds,
        "collection": { "kind": "http", "url": agent.url(), "token": TOKEN },
    });
    let body: types::CreateHost = serde_json::from_value(body).unwrap();
    admin.create_host().body(body).send().await.unwrap().host_id
}

/// Made-up agents by the real clock, and a host for each.
async fn fleet(admin: &Client, count: usize, interval_seconds: i64) -> (Agents, Vec<Uuid>) {
    let agents = Agents::start(
        count,
        interval_seconds,
        unix_now() - 3600,
        Arc::new(SystemClock),
    )
    .await;
    let mut hosts = Vec::new();
    for (number, agent) in agents.all.iter().enumerate() {
        hosts.push(add(admin, &format!("web-{number}"), agent, interval_seconds).await);
    }
    (agents, hosts)
}

/// Waits until every agent was asked so often.
async fn until_asked(agents: &Agents, times: usize, seconds: u64) {
    until("every host was asked often enough", seconds, || async {
        let asked = agents
            .all
            .iter()
            .all(|agent| agent.asked_at().len() >= times);
        asked.then_some(())
    })
    .await;
}

/// That a host was asked once between two of its moments; with a pause where a collector died that had leased it.
fn is_once_an_interval(
    host_id: Uuid,
    interval_seconds: i64,
    asked: &[DateTime<Utc>],
    may_pause: bool,
) {
    let interval = u32::try_from(interval_seconds).unwrap();
    let windows: Vec<_> = asked
        .iter()
        .map(|at| next_tick(host_id, interval, *at))
        .collect();
    // One may come late, and none is left out twice in a row.
    let gaps = windows
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).num_seconds());
    for gap in gaps {
        let is_fine = (interval_seconds..=2 * interval_seconds).contains(&gap);
        assert!(is_fine || may_pause, "{host_id}: {asked:?}");
        assert_ne!(gap, 0, "{host_id}: {asked:?}");
    }
}

/// That all that was measured since the first collection is stored, with its value: nothing lost, nothing else.
async fn is_stored(site: &Site, admin: &Client, host_id: Uuid, agent: &Agent) {
    let stored = site.samples(admin, host_id, "cpu_usage_percent").await;
    let (first, last) = (stored.first().unwrap().0, stored.last().unwrap().0);
    let expect: Vec<_> = agent
        .moments(first, last)
        .into_iter()
        .map(|at| (at, agent.value(at)))
        .collect();
    assert_eq!(stored, expect);
}

/// Processor time that a process took, in seconds.
fn processor_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum();
    ticks / TICKS_PER_SECOND
}

async fn start_collector(site: &Site, admin: &Client, name: &str) -> Process {
    let body = types::CreateCollectorToken::builder()
        .name(name)
        .selector(types::Selector::builder());
    let token = admin
        .create_collector_token()
        .body(body)
        .send()
        .await
        .unwrap();
    let path = site.directory.path().join(name);
    fs::write(&path, &token.token).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(backend_binary());
    command
        .env_clear()
        .args([
            "collect",
            "--every",
            "1s",
            "--allow-private-egress",
            "--server",
            &site.url(""),
        ])
        .arg("--token-file")
        .arg(&path)
        .stderr(fs::File::create(site.directory.path().join(format!("{name}.log"))).unwrap());
    Process::spawn(&mut command)
}

#[tokio::test]
async fn two_collectors_and_the_backend_share_hosts_and_one_may_die() {
    let site = Site::new();
    let mut backend = site
        .start(&["--allow-private-egress", "--log", "warn"])
        .await;
    let admin = site.admin().await;
    let (agents, hosts) = fleet(&admin, SHARED_HOSTS, SHARED_INTERVAL).await;
    let first = start_collector(&site, &admin, "first").await;
    let mut second = start_collector(&site, &admin, "second").await;
    // Everybody takes a share.
    let seen = Mutex::new(BTreeSet::new());
    until("all three collect", 60, || async {
        let limit = NonZeroU64::new(1000).unwrap();
        let hosts = admin
            .list_hosts()
            .limit(limit)
            .send()
            .await
            .unwrap()
            .into_inner();
        let mut seen = seen.lock();
        let collected = hosts.items.into_iter().map(|host| host.collection);
        let collected = collected.filter(|collection| collection.last_success_at.is_some());
        seen.extend(collected.map(|collection| collection.last_collector));
        (seen.len() == 3).then_some(())
    })
    .await;
    until_asked(&agents, SHARED_ROUNDS / 2, 120).await;
    first.kill();
    let killed_at = SystemClock.now();
    // What it had leased comes back when the leases have run out.
    until("the others took over", 120, || async {
        let again = agents.all.iter().all(|agent| {
            let asked = agent.asked_at();
            asked.iter().filter(|at| **at > killed_at).count() >= 2
        });
        again.then_some(())
    })
    .await;
    until_asked(&agents, SHARED_ROUNDS, 180).await;
    assert!(!backend.has_ended() && !second.has_ended());
    for (host_id, agent) in hosts.iter().zip(&agents.all) {
        is_once_an_interval(*host_id, SHARED_INTERVAL, &agent.asked_at(), true);
        is_stored(&site, &admin, *host_id, agent).await;
    }
}

#[tokio::test]
async fn a_backend_that_is_killed_while_it_collects_loses_and_doubles_nothing() {
    let site = Site::new();
    let mut backend = site
        .start(&["--allow-private-egress", "--log", "warn"])
        .await;
    let admin = site.admin().await;
    let (agents, hosts) = fleet(&admin, 60, 1).await;
    for _ in 0..KILLS {
        let before = agents.all.iter().map(|agent| agent.asked_at().len()).max();
        // In the midst of collections: there are sixty in each second.
        until("more was collected", 60, || async {
            let asked = agents.all.iter().map(|agent| agent.asked_at().len()).max();
            (asked >= before.map(|before| before + 2)).then_some(())
        })
        .await;
        backend.kill();
        backend = site
            .start(&["--allow-private-egress", "--log", "warn"])
            .await;
    }
    let asked = agents
        .all
        .iter()
        .map(|agent| agent.asked_at().len())
        .max()
        .unwrap();
    until_asked(&agents, asked + 2, 60).await;
    let admin = site.admin().await;
    for (host_id, agent) in hosts.iter().zip(&agents.all) {
        is_stored(&site, &admin, *host_id, agent).await;
    }
}

#[tokio::test]
async fn a_large_fleet_is_pulled_and_every_point_is_stored_once() {
    let (count, seconds) = (
        count("PULL_HOSTS", FLEET_HOSTS),
        count("PULL_SECONDS", FLEET_SECONDS),
    );
    let site = Site::new();
    let mut backend = site
        .start(&["--allow-private-egress", "--log", "warn"])
        .await;
    let admin = site.admin().await;
    let (agents, hosts) = fleet(&admin, count, FLEET_INTERVAL).await;
    until_asked(&agents, 1, 120).await;
    let (started_at, used) = (SystemClock.now(), processor_seconds(backend.id()));
    let rounds = seconds / usize::try_from(FLEET_INTERVAL).unwrap();
    until_asked(&agents, 1 + rounds, 60 + 4 * seconds as u64).await;
    let (took, used) = (
        SystemClock.now() - started_at,
        processor_seconds(backend.id()) - used,
    );
    assert!(!backend.has_ended());
    for (host_id, agent) in hosts.iter().zip(&agents.all) {
        is_once_an_interval(*host_id, FLEET_INTERVAL, &agent.asked_at(), false);
        is_stored(&site, &admin, *host_id, agent).await;
    }
    let percent = used * 100_000.0 / took.num_milliseconds() as f64;
    assert!(percent < 30.0, "{percent} % of one core");
    println!(
        "{count} hosts each {FLEET_INTERVAL} s for {} s: {:.1} % of one core",
        took.num_seconds(),
        percent
    );
}
