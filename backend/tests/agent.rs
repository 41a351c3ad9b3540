//! The real agent against a real backend: through kills of either, every second is measured and kept once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/process.rs"]
mod process;

use infra_watch_client::{Client, types};
use process::{Site, unix_now, until};
use uuid::Uuid;

/// A gauge that names its own second: uptime grows by one each second.
const METRIC: &str = "uptime_seconds";
/// Longest time until a retry of the agent's falls due, and some.
const RETRY_SECONDS: u64 = 90;
/// Ticks that the agent is to spool while the backend is away.
const SPOOLED: u64 = 4;

/// The host, once there is one.
async fn host(admin: &Client) -> types::Host {
    until("the agent has enrolled", 30, || async {
        let hosts = admin.list_hosts().send().await.unwrap().into_inner();
        hosts.items.into_iter().next()
    })
    .await
}

/// Waits until at least `count` samples lie after a second, and returns all.
async fn samples_after(
    site: &Site,
    admin: &Client,
    host_id: Uuid,
    at: i64,
    count: usize,
) -> Vec<(i64, f64)> {
    until("samples arrive", RETRY_SECONDS, || async {
        let samples = site.samples(admin, host_id, METRIC).await;
        (samples.iter().filter(|(sampled, _)| *sampled > at).count() >= count).then_some(samples)
    })
    .await
}

/// Bytes that wait in the agent's spool.
fn spooled_bytes(site: &Site) -> u64 {
    let Ok(files) = std::fs::read_dir(site.agent_directory().join("spool")) else {
        return 0;
    };
    let frames = files
        .map(Result::unwrap)
        .filter(|file| file.path().extension().is_some_and(|name| name == "frames"));
    frames
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// Waits until the spool has grown so many times.
async fn spool_grows(site: &Site, times: u64) {
    let (mut grown, mut bytes) = (0, spooled_bytes(site));
    until("the spool grows", 30, || {
        let now = spooled_bytes(site);
        grown += u64::from(now > bytes);
        bytes = now;
        let is_enough = grown >= times;
        async move { is_enough.then_some(()) }
    })
    .await;
}

/// Where seconds are missing: the second before and the one after.
fn gaps(samples: &[(i64, f64)]) -> Vec<(i64, i64)> {
    let pairs = samples.windows(2).map(|pair| (pair[0].0, pair[1].0));
    pairs
        .filter(|(before, after)| after - before != 1)
        .collect()
}

#[tokio::test]
async fn the_backlog_of_an_outage_arrives_once() {
    let site = Site::new();
    let backend = site.start(&[]).await;
    let agent = site.start_agent("1s");
    let admin = site.admin().await;
    let host_id = host(&admin).await.host_id;
    samples_after(&site, &admin, host_id, 0, 3).await;

    let lost_at = unix_now();
    backend.kill();
    spool_grows(&site, SPOOLED).await;
    agent.kill();
    let killed_at = unix_now();
    assert!(spooled_bytes(&site) > 0, "the backlog outlives the agent");
    let agent = site.start_agent("1s");
    spool_grows(&site, SPOOLED).await;
    let back_at = unix_now();
    let backend = site.start(&[]).await;

    // Live points come first: the backlog is in when nothing is missing but what the killed agent had in its hands.
    let admin = site.admin().await;
    samples_after(&site, &admin, host_id, back_at, 3).await;
    let is_of_the_kill = |(before, after): &(i64, i64)| {
        *before <= killed_at && *after >= killed_at && after - before <= 5
    };
    let samples = until("the backlog is in", RETRY_SECONDS, || async {
        let samples = site.samples(&admin, host_id, METRIC).await;
        gaps(&samples).iter().all(is_of_the_kill).then_some(samples)
    })
    .await;
    drop((agent, backend));

    assert!(
        samples.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "a second is there twice"
    );
    let outage = samples
        .iter()
        .filter(|(at, _)| (lost_at..back_at).contains(at))
        .count();
    assert!(
        outage as u64 >= 2 * SPOOLED,
        "{outage} samples of the outage"
    );
    // Each value is the one of its second: the machine's start is always the same moment.
    let start = samples[0].0 as f64 - samples[0].1;
    assert!(
        samples
            .iter()
            .all(|(at, uptime)| (*at as f64 - uptime - start).abs() < 2.0),
        "{samples:?}"
    );
    println!(
        "{} samples, {outage} of them from the outage",
        samples.len()
    );
}

/// How often the agent sent such a thing of its snapshot.
fn sent(site: &Site, what: &str) -> usize {
    site.read("agent.log")
        .matches(&format!("snapshot=\"{what}\""))
        .count()
}

#[tokio::test]
async fn a_snapshot_goes_once_and_again_when_something_changes() {
    let site = Site::new();
    let backend = site.start(&[]).await;
    let watched = site.directory.path().join("watched.conf");
    std::fs::write(&watched, "mode = slow\n").unwrap();
    let flags = [
        "--snapshot-interval",
        "1s",
        "--files",
        watched.to_str().unwrap(),
    ];
    let agent = site.start_agent_with("1s", &flags);
    let admin = site.admin().await;
    until("the backend has a snapshot", 60, || async {
        host(&admin).await.snapshot_at
    })
    .await;
    until("the agent knows it", 30, || async {
        (sent(&site, "hash") >= 5).then_some(())
    })
    .await;
    assert_eq!(sent(&site, "whole"), 1, "{}", site.read("agent.log"));

    std::fs::write(&watched, "mode = fast\n").unwrap();
    until("the change is sent", 30, || async {
        (sent(&site, "whole") == 2).then_some(())
    })
    .await;

    // After a restart the agent asks first, and nothing has changed.
    agent.kill();
    let before = sent(&site, "hash");
    let agent = site.start_agent_with("1s", &flags);
    until("the agent goes on", 60, || async {
        (sent(&site, "hash") >= before + 5).then_some(())
    })
    .await;
    assert_eq!(sent(&site, "whole"), 2, "{}", site.read("agent.log"));
    drop((agent, backend));
}
