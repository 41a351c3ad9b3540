//! A fleet of made-up machines with plausible days behind them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infra_watch_client::{Client, types};
use serde_json::json;
use uuid::Uuid;

use crate::process::{Site, unix_now};

const SERIES: [(&str, Option<&str>); 15] = [
    ("cpu_usage_percent", None),
    ("memory_usage_percent", None),
    ("swap_usage_percent", None),
    ("disk_usage_percent", Some("/")),
    ("disk_usage_percent", Some("/var")),
    ("load1", None),
    ("load5", None),
    ("load15", None),
    ("uptime_seconds", None),
    ("network_receive_bytes_per_second", Some("eth0")),
    ("network_transmit_bytes_per_second", Some("eth0")),
    ("disk_read_bytes_per_second", Some("vda")),
    ("disk_write_bytes_per_second", Some("vda")),
    ("process_count", None),
    ("queue_length", None),
];
const MINUTE: i64 = 60;

/// One machine: how busy it is, of 1, and how full.
struct Machine {
    name: &'static str,
    role: &'static str,
    os: &'static str,
    busy: f64,
    memory: f64,
    disk: f64,
    /// Reports so often; one second makes it late, then down, soon after its last report.
    interval_seconds: u32,
}

const fn machine(
    name: &'static str,
    role: &'static str,
    busy: f64,
    memory: f64,
    disk: f64,
) -> Machine {
    Machine {
        name,
        role,
        os: "Debian GNU/Linux 12 (bookworm)",
        busy,
        memory,
        disk,
        interval_seconds: 60,
    }
}

const MACHINES: [Machine; 8] = [
    machine("web-1", "web", 0.34, 0.52, 0.41),
    machine("web-2", "web", 0.31, 0.49, 0.44),
    machine("db-1", "database", 0.58, 0.81, 0.73),
    Machine {
        os: "Ubuntu 24.04.1 LTS",
        ..machine("db-2", "database", 0.22, 0.78, 0.71)
    },
    machine("cache-1", "cache", 0.12, 0.91, 0.18),
    Machine {
        os: "Rocky Linux 9.4 (Blue Onyx)",
        ..machine("build-1", "ci", 0.93, 0.67, 0.88)
    },
    machine("mail-1", "mail", 0.07, 0.33, 0.95),
    Machine {
        interval_seconds: 1,
        ..machine("backup-1", "backup", 0.04, 0.21, 0.62)
    },
];

/// Enrols the fleet, one machine of it still silent, and gives each some minutes of history. Returns the hosts that report.
pub async fn fill(site: &Site, minutes: i64) -> Vec<Uuid> {
    let admin = site.admin().await;
    let hosts = enroll(&admin, async |name| site.enroll(name).await).await;
    report(&hosts, minutes).await;
    hosts.into_iter().map(|(host_id, _)| host_id).collect()
}

/// Enrols the fleet; each host comes with the client of its agent.
pub async fn enroll(
    admin: &Client,
    enroll: impl AsyncFn(&'static str) -> (Uuid, Client),
) -> Vec<(Uuid, Client)> {
    let mut hosts = Vec::new();
    for (number, machine) in MACHINES.iter().enumerate() {
        let (host_id, agent) = enroll(machine.name).await;
        let labels = json!({ "labels": { "role": machine.role, "site": if number % 2 == 0 { "fra" } else { "ams" } } });
        let labels: types::UpdateHost = serde_json::from_value(labels).unwrap();
        admin
            .update_host()
            .host_id(host_id)
            .body(labels)
            .send()
            .await
            .unwrap();
        hosts.push((host_id, agent));
    }
    enroll("new-1").await;
    hosts
}

/// Sends what the hosts measured in the last minutes.
pub async fn report(hosts: &[(Uuid, Client)], minutes: i64) {
    for (number, (machine, (_, agent))) in MACHINES.iter().zip(hosts).enumerate() {
        agent
            .submit_report()
            .body(machine.report(number, minutes))
            .send()
            .await
            .unwrap();
    }
}

impl Machine {
    fn report(&self, number: usize, minutes: i64) -> types::Report {
        let now = unix_now();
        let points: Vec<_> = (0..=minutes)
            .rev()
            .map(|age| now - age * MINUTE)
            .map(|at| json!({ "at": at, "values": self.values(number, now, at) }))
            .collect();
        let series: Vec<_> = SERIES
            .iter()
            .map(|(metric, instance)| json!({ "metric": metric, "instance": instance }))
            .collect();
        serde_json::from_value(json!({
            "report_id": Uuid::new_v4(), "agent_version": env!("CARGO_PKG_VERSION"),
            "sent_at": chrono::DateTime::from_timestamp(now, 0), "interval_seconds": self.interval_seconds,
            "snapshot_interval_seconds": 3600, "series": series, "points": points,
            "host": {
                "hostname": self.name, "machine_id": "", "boot_id": "", "os": self.os, "os_family": "linux",
                "kernel": "6.1.0-28-amd64", "architecture": "x86_64", "addresses": [format!("10.0.0.{}", number + 5)],
                "cpu_count": 4, "memory_bytes": 17_179_869_184_u64,
            },
        }))
        .unwrap()
    }

    /// One value for each series: slow waves with some restlessness on them.
    fn values(&self, number: usize, now: i64, at: i64) -> Vec<f64> {
        let minute = at as f64 / MINUTE as f64;
        let wave = |period: f64| (minute / period + number as f64).sin();
        let restless = |salt: f64| {
            ((minute * 12.989_8 + salt * 78.233 + number as f64).sin() * 43_758.545).fract()
        };
        let busy = (self.busy
            * (1.0 + 0.25 * wave(37.0) + 0.12 * wave(11.0) + 0.2 * restless(1.0)))
        .clamp(0.0, 1.0);
        let traffic = 4e6 * busy * (1.0 + 0.3 * restless(2.0));
        vec![
            100.0 * busy,
            100.0 * (self.memory + 0.03 * wave(53.0) + 0.004 * restless(3.0)).clamp(0.0, 1.0),
            100.0 * (self.memory - 0.5).max(0.0) * 0.2,
            100.0 * self.disk,
            100.0 * self.disk * (0.7 + 0.02 * wave(90.0)),
            4.0 * busy,
            3.8 * self.busy * (1.0 + 0.25 * wave(37.0)),
            3.7 * self.busy * (1.0 + 0.2 * wave(40.0)),
            (at - now + 86_400 * (3 + 11 * i64::try_from(number).unwrap())) as f64,
            traffic,
            traffic * 2.7,
            2e5 * busy * restless(4.0).abs(),
            9e5 * busy * (1.0 + restless(5.0)).abs(),
            (120.0 + 60.0 * busy).round(),
            (9.0 * busy).round(),
        ]
    }
}
