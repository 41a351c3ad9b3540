//! A fleet posting to a real backend on 127.0.0.1: posts a second, their latency, what each costs in CPU and on disk.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/support/process.rs"]
mod process;

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use infra_watch_client::{Client, types};
use process::{Site, unix_now};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

const HOSTS: usize = 200;
const GAUGES: usize = 20;
/// Posts of each host.
const POSTS: i64 = 100;
/// Connections that are opened together: fewer than an address may have before it shows a token.
const AT_ONCE: usize = 32;
/// Clock ticks of `/proc/PID/stat` in a second, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main]
async fn main() {
    // `cargo test` runs benches too, with this flag: then it is enough that it is built.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let site = Site::new();
    let backend = site.start(&["--log", "error"]).await;
    let mut agents = Vec::new();
    for number in 0..HOSTS {
        agents.push(site.enroll(&format!("host-{number}")).await.1);
    }
    // So many connections of one address are taken only when they come one after the other.
    for some in agents.chunks(AT_ONCE) {
        join_all(some.iter().map(|agent| send(agent, 0))).await;
    }
    let bytes_before = stored_bytes(&site);
    let cpu_before = cpu_seconds(backend.id());
    let started = Instant::now();
    let posting: Vec<_> = agents
        .into_iter()
        .map(|agent| tokio::spawn(post(agent)))
        .collect();
    let mut latencies = Vec::new();
    for host in posting {
        latencies.extend(host.await.unwrap());
    }
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(backend.id()) - cpu_before;
    let posts = latencies.len() as f64;
    let samples = posts * GAUGES as f64;
    latencies.sort_unstable();
    let percentile =
        |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{HOSTS} hosts, {GAUGES} gauges, {posts} posts in {elapsed:.1} s");
    println!(
        "  {:.0} posts/s, {:.0} samples/s",
        posts / elapsed,
        samples / elapsed
    );
    println!("  {:.0} µs of the backend's CPU a post", cpu / posts * 1e6);
    println!(
        "  latency p50 {:.1} ms, p99 {:.1} ms",
        percentile(50),
        percentile(99)
    );
    println!(
        "  {:.1} bytes a sample in series.redb",
        (stored_bytes(&site) - bytes_before) as f64 / samples
    );
    println!("  {:.1} MiB resident", resident_mib(backend.id()));
    let stopped = Instant::now();
    backend.kill();
    drop(site.start(&["--log", "error"]).await);
    println!("  ready {} ms after kill -9", stopped.elapsed().as_millis());
}

/// Posts one point after the other and returns how long each took.
async fn post(agent: Client) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for number in 1..=POSTS {
        latencies.push(send(&agent, number).await);
    }
    latencies
}

async fn send(agent: &Client, number: i64) -> Duration {
    let body = report(unix_now() - 86_400 + number * 30, number);
    let sent = Instant::now();
    agent.submit_report().body(body).send().await.unwrap();
    sent.elapsed()
}

fn report(at: i64, number: i64) -> types::Report {
    let series: Vec<_> = (0..GAUGES)
        .map(|gauge| json!({ "metric": format!("gauge_{gauge}") }))
        .collect();
    // Two decimals, moving slowly, as gauges do.
    let values: Vec<_> = (0..GAUGES)
        .map(|gauge| gauge as f64 + ((number * 37 + gauge as i64 * 11) % 500) as f64 / 100.0)
        .collect();
    serde_json::from_value(json!({
        "report_id": Uuid::new_v4(), "agent_version": "0.1.0", "sent_at": chrono::DateTime::from_timestamp(at, 0),
        "interval_seconds": 30, "snapshot_interval_seconds": 3600, "series": series,
        "points": [{ "at": at, "values": values }],
    }))
    .unwrap()
}

fn stored_bytes(site: &Site) -> u64 {
    fs::metadata(site.directory.path().join("data/series.redb"))
        .unwrap()
        .len()
}

/// Processor time of a process so far, its own and the system's for it.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    ticks / TICKS_PER_SECOND
}

fn resident_mib(pid: u32) -> f64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
