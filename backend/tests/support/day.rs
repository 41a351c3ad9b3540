//! Configurations of the made-up machines, and a day in which some of them change.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use infra_watch::domain::snapshot;
use infra_watch_client::{Client, types};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::configuration::with;
use crate::support::Backend;

/// Packages that every Debian here has, before and after its upgrade.
const PACKAGES: [(&str, &str, &str); 32] = [
    ("openssl", "3.0.13-1~deb12u1", "3.0.14-1~deb12u2"),
    ("libssl3", "3.0.13-1~deb12u1", "3.0.14-1~deb12u2"),
    ("nginx", "1.22.1-9", "1.22.1-9+deb12u1"),
    ("nginx-common", "1.22.1-9", "1.22.1-9+deb12u1"),
    ("curl", "7.88.1-10+deb12u5", "7.88.1-10+deb12u8"),
    ("libcurl4", "7.88.1-10+deb12u5", "7.88.1-10+deb12u8"),
    ("bash", "5.2.15-2+b7", "5.2.15-2+b7"),
    ("coreutils", "9.1-1", "9.1-1"),
    ("systemd", "252.22-1~deb12u1", "252.31-1~deb12u1"),
    ("libsystemd0", "252.22-1~deb12u1", "252.31-1~deb12u1"),
    ("udev", "252.22-1~deb12u1", "252.31-1~deb12u1"),
    ("openssh-server", "1:9.2p1-2+deb12u2", "1:9.2p1-2+deb12u3"),
    ("openssh-client", "1:9.2p1-2+deb12u2", "1:9.2p1-2+deb12u3"),
    ("libc6", "2.36-9+deb12u4", "2.36-9+deb12u9"),
    ("libc-bin", "2.36-9+deb12u4", "2.36-9+deb12u9"),
    ("locales", "2.36-9+deb12u4", "2.36-9+deb12u9"),
    ("python3.11", "3.11.2-6", "3.11.2-6+deb12u4"),
    ("libpython3.11", "3.11.2-6", "3.11.2-6+deb12u4"),
    ("tzdata", "2024a-0+deb12u1", "2024b-0+deb12u1"),
    ("ca-certificates", "20230311", "20230311"),
    ("sudo", "1.9.13p3-1+deb12u1", "1.9.13p3-1+deb12u1"),
    ("vim-tiny", "2:9.0.1378-2", "2:9.0.1378-2"),
    ("rsyslog", "8.2302.0-1", "8.2302.0-1"),
    ("cron", "3.0pl1-162", "3.0pl1-162"),
    ("chrony", "4.3-2+deb12u1", "4.3-2+deb12u1"),
    ("git", "1:2.39.2-1.1", "1:2.39.5-0+deb12u1"),
    ("less", "590-2", "590-2.1~deb12u2"),
    ("wget", "1.21.3-1+b2", "1.21.3-1+b2"),
    ("zlib1g", "1:1.2.13.dfsg-1", "1:1.2.13.dfsg-1"),
    ("libexpat1", "2.5.0-1", "2.5.0-1+deb12u1"),
    ("gnupg", "2.2.40-1.1", "2.2.40-1.1"),
    ("apt", "2.6.1", "2.6.1"),
];

/// How long the fleet's day is.
pub const DAY_MINUTES: i64 = 26 * 60;

/// A configuration before its upgrade.
pub fn debian() -> Value {
    let mut packages: serde_json::Map<String, Value> = PACKAGES
        .iter()
        .map(|(name, before, _)| (format!("dpkg/{name}:amd64"), json!(before)))
        .collect();
    for number in 0..180 {
        packages.insert(
            format!("dpkg/lib{number}-tools:all"),
            json!(format!("1.{number}-1")),
        );
    }
    json!({
        "packages": packages,
        "os": { "id": "debian", "version": "12", "kernel": "6.1.0-28-amd64", "timezone": "Etc/UTC", "reboot_required": "false" },
        "services": { "nginx.service": "enabled", "ssh.service": "enabled", "cron.service": "enabled", "chrony.service": "enabled" },
        "environment": { "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DB_PASSWORD": "hmac:4f09c1aa27e1" },
        "files": {
            "/etc/ssh/sshd_config": "sha256:9b2f04d1c6e85a7703\nPort 22\nPermitRootLogin prohibit-password\nPasswordAuthentication no",
            "/etc/sysctl.conf": "sha256:11aa22bb33cc44dd55\nvm.swappiness = 10",
        },
    })
}

/// The same after its upgrade.
pub fn upgraded() -> Value {
    let mut sections = debian();
    for (name, _, after) in PACKAGES {
        sections["packages"][format!("dpkg/{name}:amd64")] = json!(after);
    }
    sections["os"]["kernel"] = json!("6.1.0-31-amd64");
    sections["os"]["reboot_required"] = json!("true");
    sections
}

/// Sends a snapshot that is taken at `at`; `failed` sections could not be read.
pub async fn send(agent: &Client, at: DateTime<Utc>, sections: &Value, failed: &[&str]) {
    let failed: Vec<Value> = failed
        .iter()
        .map(|section| json!({ "section": section, "error": "dpkg-query: the database is locked" }))
        .collect();
    let hash = snapshot::hash(&serde_json::from_value(sections.clone()).unwrap());
    let report = json!({
        "report_id": Uuid::new_v4(), "agent_version": "0.1.0", "sent_at": at,
        "interval_seconds": 60, "snapshot_interval_seconds": 3600,
        "series": [{ "metric": "cpu_usage_percent" }], "points": [], "snapshot_hash": hash,
        "snapshot": { "taken_at": at, "sections": sections, "failed_sections": failed },
    });
    let report: types::Report = serde_json::from_value(report).unwrap();
    agent.submit_report().body(report).send().await.unwrap();
}

/// Sends a report of a machine that has the host's identity and is another.
pub async fn send_as_copy(agent: &Client, at: DateTime<Utc>, hostname: &str) {
    let facts = |machine: &str| {
        json!({
            "hostname": hostname, "machine_id": machine, "boot_id": format!("boot-of-{machine}"),
            "os": "Debian GNU/Linux 12 (bookworm)", "os_family": "linux", "kernel": "6.1.0-28-amd64",
            "architecture": "x86_64", "addresses": ["10.0.9.41"], "cpu_count": 4, "memory_bytes": 17_179_869_184_u64,
        })
    };
    for machine in [
        "5d41402abc4b2a76b9719d911017c592",
        "7d793037a0760186574b0282f2f435e7",
    ] {
        let report = json!({
            "report_id": Uuid::new_v4(), "agent_version": "0.1.0", "sent_at": at, "interval_seconds": 60,
            "snapshot_interval_seconds": 3600, "series": [{ "metric": "cpu_usage_percent" }], "points": [],
            "host": facts(machine),
        });
        let report: types::Report = serde_json::from_value(report).unwrap();
        // The second one is not let in, and told so.
        drop(agent.submit_report().body(report).send().await);
    }
}

/// A day of the fleet that [`crate::demo::enroll`] made, in its order. The clock goes on by [`DAY_MINUTES`].
pub async fn live_through_a_day(backend: &Backend, hosts: &[(Uuid, Client)]) {
    let [web_1, web_2, db_1, db_2, cache, build, mail, backup] = hosts else {
        panic!("the fleet has eight hosts");
    };
    let end = backend.now() + TimeDelta::minutes(DAY_MINUTES);
    let go = |minutes_ago: i64| {
        let to = end - TimeDelta::minutes(minutes_ago);
        backend.clock.advance((to - backend.now()).num_seconds());
    };
    let rocky = json!({
        "packages": { "rpm/openssl:x86_64": "1:3.0.7-27.el9", "rpm/kernel:x86_64": "5.14.0-427.el9", "rpm/bash:x86_64": "5.1.8-9.el9" },
        "os": { "id": "rocky", "version": "9.4", "kernel": "5.14.0-427.el9", "timezone": "Europe/Zurich" },
        "environment": { "PATH": "/usr/bin:/usr/sbin" },
    });
    let database = with(
        debian(),
        &json!({
            "packages": { "dpkg/postgresql-15:amd64": "15.6-0+deb12u1", "dpkg/nginx:amd64": null, "dpkg/nginx-common:amd64": null },
            "services": { "postgresql.service": "enabled", "nginx.service": null },
            "files": { "/etc/postgresql/15/main/postgresql.conf": "sha256:77aa\nmax_connections = 100\nshared_buffers = 4GB" },
        }),
    );
    for (_, agent) in [web_1, web_2, cache, mail, backup] {
        send(agent, backend.now(), &debian(), &[]).await;
    }
    for (_, agent) in [db_1, db_2] {
        send(agent, backend.now(), &database, &[]).await;
    }
    send(&build.1, backend.now(), &rocky, &[]).await;

    let admin = &backend.client("admin").await;
    rule(
        admin,
        "expected",
        "packages",
        "*",
        &json!({ "labels": { "role": "cache" } }),
        Some((end - TimeDelta::hours(5), end + TimeDelta::hours(1))),
        "Patch window of the caches",
    )
    .await;
    rule(
        admin,
        "ignore",
        "environment",
        "LC_*",
        &json!({}),
        None,
        "Set by whoever logs in",
    )
    .await;
    go(5 * 60);
    for (_, agent) in [web_1, web_2, cache] {
        send(agent, backend.now(), &upgraded(), &[]).await;
    }
    go(4 * 60);
    let admin = backend.client("admin").await;
    let approved = json!({
        "selector": { "labels": { "role": "web" } }, "reason": "Security update, ticket 4711",
        "items": upgraded()["packages"].as_object().unwrap().keys().filter(|key| !key.contains("nginx")).map(|key| json!({ "section": "packages", "key": key })).collect::<Vec<_>>(),
    });
    let approved: types::ApproveDrift = serde_json::from_value(approved).unwrap();
    admin.approve_drift().body(approved).send().await.unwrap();

    go(47);
    let tuned = with(
        database.clone(),
        &json!({ "files": { "/etc/postgresql/15/main/postgresql.conf": "sha256:81bc\nmax_connections = 400\nshared_buffers = 4GB" } }),
    );
    send(&db_1.1, backend.now(), &tuned, &[]).await;
    let secret = with(
        upgraded(),
        &json!({ "environment": { "DB_PASSWORD": "hmac:9e107d9d372b", "LC_ALL": "de_CH.UTF-8" } }),
    );
    send(&web_1.1, backend.now(), &secret, &[]).await;
    go(31);
    let opened = with(
        secret,
        &json!({
            "files": { "/etc/ssh/sshd_config": "sha256:c0ffee\nPort 22\nPermitRootLogin yes\nPasswordAuthentication no" },
            "services": { "telnet.socket": "enabled" },
            "packages": { "dpkg/inetutils-telnetd:amd64": "2:2.4-2+deb12u1" },
        }),
    );
    send(&web_1.1, backend.now(), &opened, &[]).await;
    go(30);
    let opened = with(
        opened,
        &json!({ "packages": { "dpkg/curl:amd64": "7.88.1-10+deb12u5" } }),
    );
    send(&web_1.1, backend.now(), &opened, &[]).await;
    go(12);
    let rebooted = with(
        opened,
        &json!({ "os": { "reboot_required": "false" }, "packages": { "dpkg/wget:amd64": null } }),
    );
    send(&web_1.1, backend.now(), &rebooted, &[]).await;
    go(1);
    for (_, agent) in [web_2, cache] {
        send(agent, backend.now(), &upgraded(), &[]).await;
    }
    send(&db_1.1, backend.now(), &tuned, &[]).await;
    send(&db_2.1, backend.now(), &database, &[]).await;
    send(&build.1, backend.now(), &rocky, &[]).await;
    let without_packages = json!({ "os": debian()["os"], "services": debian()["services"], "environment": debian()["environment"], "files": debian()["files"] });
    send(&mail.1, backend.now(), &without_packages, &["packages"]).await;
    send_as_copy(&cache.1, backend.now(), "cache-1").await;
    go(0);
}

/// Makes a rule.
pub async fn rule(
    admin: &Client,
    kind: &str,
    section: &str,
    key: &str,
    selector: &Value,
    window: Option<(DateTime<Utc>, DateTime<Utc>)>,
    reason: &str,
) {
    let mut body = json!({ "kind": kind, "section": section, "key": key, "selector": selector, "reason": reason });
    if let Some((from, to)) = window {
        body["from"] = json!(from);
        body["to"] = json!(to);
    }
    let body: types::CreateDriftRule = serde_json::from_value(body).unwrap();
    admin.create_drift_rule().body(body).send().await.unwrap();
}
