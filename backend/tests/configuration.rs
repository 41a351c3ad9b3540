//! Configurations through the API: snapshots become changes, sections fail and return, and what is bad is refused.

#[path = "support/configuration.rs"]
mod configuration;
mod support;

use chrono::{DateTime, TimeDelta, Utc};
use configuration::{
    OPENSSL_UP, debian, get, lines, post, send, send_failing, snapshot_report, try_get, upgraded,
    with,
};
use infra_watch_client::types;
use serde_json::{Value, json};
use support::{Backend, START};

#[tokio::test]
async fn a_snapshot_becomes_a_change_and_drift_until_it_is_undone() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);

    // Nothing is known: that is not the same as no drift.
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "unknown");
    assert_eq!(try_get(&backend, &path("snapshots/latest")).await.0, 404);
    assert_eq!(try_get(&backend, &path("snapshots/baseline")).await.0, 404);

    // The first one is silent and is the baseline.
    let stored = types::SnapshotOutcome::Stored;
    assert_eq!(send(&backend, &host, &debian()).await, stored);
    let unchanged = types::SnapshotOutcome::Unchanged;
    assert_eq!(send(&backend, &host, &debian()).await, unchanged);
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));
    let baseline = get(&backend, &path("snapshots/baseline")).await;
    assert_eq!(baseline["sections"], debian());
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "at_baseline");

    // What is never compared changes nothing, but is kept.
    let moved = with(debian(), &json!({ "os": { "pending_upgrades": "4" } }));
    assert_eq!(send(&backend, &host, &moved).await, stored);
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));

    let upgraded = with(
        upgraded(),
        &json!({ "os": { "kernel": "6.1.0-31-amd64", "reboot_required": "true" } }),
    );
    let upgraded_at = backend.now();
    send(&backend, &host, &upgraded).await;
    let changes = get(&backend, &path("changes")).await;
    let set = &changes["items"][0];
    assert_eq!(
        lines(&set["items"]),
        [
            "changed os/kernel 6.1.0-28-amd64 6.1.0-31-amd64 - drift",
            "changed os/reboot_required false true - drift",
            OPENSSL_UP,
        ]
    );
    assert_eq!(
        set["summary"],
        "openssl 3.0.13-1~deb12u1 → 3.0.14-1~deb12u2 upgraded, kernel 6.1.0-28-amd64 → 6.1.0-31-amd64, reboot required"
    );
    let snapshots = get(&backend, &path("snapshots")).await;
    assert_eq!(set["to_snapshot_id"], snapshots["items"][0]["snapshot_id"]);
    assert_eq!(
        set["from_snapshot_id"],
        snapshots["items"][1]["snapshot_id"]
    );

    let drift = get(&backend, &path("drift")).await;
    assert_eq!(lines(&drift["items"]), lines(&set["items"]));
    let since: DateTime<Utc> = drift["items"][0]["since"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(since, upgraded_at);
    let states = get(&backend, "/drift/hosts?state=drifted").await;
    assert_eq!(states["items"][0]["drifted"], 3);

    // The state at any time is still there.
    let at = (upgraded_at - TimeDelta::seconds(1)).timestamp();
    let before = get(&backend, &path(&format!("snapshots/latest?at={at}"))).await;
    assert_eq!(before["sections"], moved);
    let listed = get(&backend, &path(&format!("snapshots?at={at}"))).await;
    assert_eq!(listed["items"][0]["snapshot_id"], before["snapshot_id"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let first = get(&backend, &path("snapshots?limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(
        &backend,
        &path(&format!("snapshots?limit=1&cursor={cursor}")),
    )
    .await;
    assert_eq!(second["items"][0], snapshots["items"][1]);

    // Back at the baseline.
    send(&backend, &host, &debian()).await;
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(changes["items"].as_array().unwrap().len(), 2);
    assert_eq!(changes["items"][0]["items"][2]["direction"], "downgrade");
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "at_baseline");

    // All of it survives a restart; nothing is lost of what an agent did while nobody listened.
    let metrics = reqwest::Client::new()
        .get(backend.url("/metrics"))
        .bearer_auth(backend.token("viewer").await);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("infra_watch_snapshots_stored_total 4"),
        "{metrics}"
    );
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    send(&backend, &host, &upgraded()).await;
    let paths = [
        format!("/hosts/{}/snapshots/latest", host.host_id),
        format!("/hosts/{}/snapshots/baseline", host.host_id),
        format!("/hosts/{}/changes", host.host_id),
        format!("/hosts/{}/drift", host.host_id),
        format!("/hosts/{}/baselines", host.host_id),
        "/inventory?key=openssl".to_owned(),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(get(&backend, path).await);
    }
    backend.stop().await;
    let backend = Backend::start_in(directory.path()).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(get(&backend, path).await, before, "{path}");
    }
}

#[tokio::test]
async fn a_section_that_cannot_be_read_stays_and_grows_old() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);
    send(&backend, &host, &debian()).await;
    let failing = with(debian(), &json!({ "packages": null }));
    let stored = types::SnapshotOutcome::Stored;
    assert_eq!(
        send_failing(&backend, &host, &failing, &["packages"]).await,
        stored
    );
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
    let latest = get(&backend, &path("snapshots/latest")).await;
    assert_eq!(latest["sections"], debian());
    let stale = &latest["freshness"][2];
    assert_eq!(
        (&stale["section"], &stale["is_stale"]),
        (&json!("packages"), &json!(true))
    );
    assert_eq!(stale["error"], "the database is locked");
    let failed = json!([{ "section": "packages", "error": "the database is locked" }]);
    assert_eq!(latest["failed_sections"], failed);
    let read_at: DateTime<Utc> = stale["as_of"].as_str().unwrap().parse().unwrap();
    assert_eq!(read_at.timestamp(), START);

    // While it is fresh enough, all is well; then the host needs a look, and drift cannot be told.
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["health"], "green");
    for _ in 0..3 {
        backend.clock.advance(3600);
        send_failing(&backend, &host, &failing, &["packages"]).await;
    }
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["stale_sections"], json!(["packages"]));
    assert_eq!(hosts["items"][0]["health"], "yellow");
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "unknown");
    assert_eq!(states["items"][0]["is_stale"], true);

    // It is read again, and what changed meanwhile is reported.
    send(&backend, &host, &upgraded()).await;
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(lines(&changes["items"][0]["items"]), [OPENSSL_UP]);
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["health"], "green");
}

#[tokio::test]
async fn a_failure_that_goes_away_is_noticed_though_the_hash_is_the_same() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = format!("/hosts/{}/snapshots/latest", host.host_id);
    let (stored, unchanged) = (
        types::SnapshotOutcome::Stored,
        types::SnapshotOutcome::Unchanged,
    );
    let failing = ["services"];
    assert_eq!(
        send_failing(&backend, &host, &debian(), &failing).await,
        stored
    );
    assert_eq!(
        send_failing(&backend, &host, &debian(), &failing).await,
        unchanged
    );
    let latest = get(&backend, &path).await;
    assert_eq!(latest["failed_sections"][0]["section"], "services");
    // From time to time the whole is asked for, since the hash cannot tell.
    let by_hash = || async {
        let mut body = snapshot_report(backend.now(), &debian(), &[]);
        body.as_object_mut().unwrap().remove("snapshot");
        let body: types::Report = serde_json::from_value(body).unwrap();
        host.agent
            .submit_report()
            .body(body)
            .send()
            .await
            .unwrap()
            .snapshot
    };
    assert_eq!(by_hash().await, unchanged);
    backend.clock.advance(1800);
    assert_eq!(by_hash().await, types::SnapshotOutcome::Wanted);
    assert_eq!(send(&backend, &host, &debian()).await, stored);
    let latest = get(&backend, &path).await;
    assert_eq!(latest["failed_sections"], json!([]));
    backend.clock.advance(1800);
    assert_eq!(by_hash().await, unchanged);
}

#[tokio::test]
async fn a_new_section_is_taken_as_it_is_found() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);
    send(&backend, &host, &debian()).await;
    let text = "sha256:aa mode:0644 owner:root:root\nPort 22\n\tRoot no\n";
    let more = with(debian(), &json!({ "files": {} }));
    let more = with(more, &json!({ "files": { "/etc/ssh/sshd_config": text } }));
    send(&backend, &host, &more).await;
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
    let history = get(&backend, &path("baselines")).await;
    assert_eq!(history["items"][0]["reason"], "newly collected: files");
    assert_eq!(history["items"][0]["by"], "infra-watch");

    // From then on it is compared, as lines too.
    let other = text.replace("Root no", "Root yes").replace("aa", "bb");
    let other = with(
        more.clone(),
        &json!({ "files": { "/etc/ssh/sshd_config": other } }),
    );
    send(&backend, &host, &other).await;
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(
        changes["items"][0]["summary"],
        "file /etc/ssh/sshd_config changed"
    );
    let (left, right) = (
        &changes["items"][0]["from_snapshot_id"],
        &changes["items"][0]["to_snapshot_id"],
    );
    let id = host.host_id;
    let diff = format!(
        "/diff?left={id}:{}&right={id}:{}",
        left.as_str().unwrap(),
        right.as_str().unwrap()
    );
    let diff = get(&backend, &diff).await;
    let unified = diff["unified"].as_str().unwrap();
    assert!(
        unified.contains("-    \tRoot no\n+    \tRoot yes\n"),
        "{unified}"
    );
    assert_eq!(diff["items"].as_array().unwrap().len(), 1);

    // No longer collected: silent as well.
    send(&backend, &host, &debian()).await;
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(changes["items"].as_array().unwrap().len(), 1);
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
}

#[tokio::test]
async fn bad_snapshots_are_refused_with_a_reason_and_change_nothing() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    let raw = |text: String| {
        let request = reqwest::Client::new()
            .post(backend.url("/api/v1/agent/reports"))
            .bearer_auth(&host.token)
            .header("content-type", "application/json")
            .body(text);
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap())
        }
    };
    let many: serde_json::Map<String, Value> = (0..20_001)
        .map(|number| (format!("dpkg/p{number}:all"), json!("1")))
        .collect();
    let long = |letter: &str, length: usize| letter.repeat(length);
    for (sections, field) in [
        (json!({ "packages": many }), "snapshot.sections.packages"),
        (
            json!({ "packages": { "a\u{7}b": "1" } }),
            "snapshot.sections.packages",
        ),
        (
            json!({ "packages": { "a": "1\u{7}" } }),
            "snapshot.sections.packages.a",
        ),
        (
            json!({ "packages": { "a": long("x", 16_385) } }),
            "snapshot.sections.packages.a",
        ),
        (
            json!({ "packages": { long("k", 1_025): "1" } }),
            "snapshot.sections.packages",
        ),
        (
            json!({ "packages": { "a": 1 } }),
            "snapshot.sections.packages.a",
        ),
        (json!({ "pack\nages": {} }), "snapshot.sections"),
    ] {
        let mut body = snapshot_report(backend.now(), &json!({}), &[]);
        body.as_object_mut().unwrap().remove("snapshot_hash");
        body["snapshot"]["sections"] = sections;
        let (status, problem) = raw(body.to_string()).await;
        assert_eq!(status, 422, "{field}: {problem}");
        let found = problem["errors"][0]["field"].as_str().unwrap();
        assert!(found.starts_with(field), "{found} is not {field}");
        assert!(!problem.to_string().contains("xxxx"), "a value is echoed");
    }
    let text = snapshot_report(backend.now(), &json!({ "os": { "id": "1" } }), &[]).to_string();
    let twice = text.replace(r#"{"id":"1"}"#, r#"{"id":"1","id":"2"}"#);
    assert_ne!(twice, text);
    let (status, problem) = raw(twice).await;
    assert_eq!(status, 422, "{problem}");
    let other = text.replace(r#"{"id":"1"}"#, r#"{"id":"2"}"#);
    let (status, problem) = raw(other).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("snapshot_hash"))
    );

    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"], debian());
    // Markup and other scripts are names like any others.
    let odd = json!({ "packages": { "dpkg/<img src=x onerror=alert(1)>:all": "<b>1</b>", "ключ": "值" } });
    assert_eq!(
        send(&backend, &host, &odd).await,
        types::SnapshotOutcome::Stored
    );
    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"], odd);
}

#[tokio::test]
async fn the_largest_snapshot_is_kept_and_compared() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let many = |version: u32| {
        let packages: serde_json::Map<String, Value> = (0..20_000)
            .map(|number| {
                (
                    format!("dpkg/package-{number}:amd64"),
                    json!(format!("{version}.{}-1", number % 97)),
                )
            })
            .collect();
        json!({ "packages": packages })
    };
    assert_eq!(
        send(&backend, &host, &many(1)).await,
        types::SnapshotOutcome::Stored
    );
    assert_eq!(
        send(&backend, &host, &many(2)).await,
        types::SnapshotOutcome::Stored
    );
    let changes = get(&backend, &format!("/hosts/{}/changes", host.host_id)).await;
    assert_eq!(changes["items"][0]["summary"], "20000 packages upgraded");
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["drifted"], 20_000);
    let (_, approval) = post(&backend, "/drift/approve", json!({ "reason": "all" })).await;
    assert_eq!(approval["items"], 20_000);
}

#[tokio::test]
async fn a_snapshot_from_the_past_does_not_become_the_present() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    send(&backend, &host, &upgraded()).await;
    let old = snapshot_report(backend.now() - TimeDelta::seconds(600), &debian(), &[]);
    let old: types::Report = serde_json::from_value(old).unwrap();
    let outcome = host.agent.submit_report().body(old).send().await.unwrap();
    assert_eq!(outcome.snapshot, types::SnapshotOutcome::Unchanged);
    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"], upgraded());
}

#[tokio::test]
async fn secrets_that_an_agent_should_not_have_sent_are_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let host = backend.enroll("web-1").await;
    let canary = "kanarienvogel-8273645";
    let leaky = with(
        debian(),
        &json!({ "environment": { "API_TOKEN": canary, "APP": format!("ghp_{canary}") } }),
    );
    send(&backend, &host, &leaky).await;
    // The hash is of what was sent: the agent need not send it again.
    assert_eq!(
        send(&backend, &host, &leaky).await,
        types::SnapshotOutcome::Unchanged
    );
    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"]["environment"]["API_TOKEN"], "removed");
    assert_eq!(latest["sections"]["environment"]["PATH"], "/usr/bin");
    for path in [
        "/inventory?section=environment",
        "/drift",
        "/changes",
        "/audit",
        "/hosts",
    ] {
        let answer = get(&backend, path).await.to_string();
        assert!(!answer.contains(canary), "{path}");
    }
    let metrics = reqwest::Client::new()
        .get(backend.url("/metrics"))
        .bearer_auth(backend.token("viewer").await);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("infra_watch_environment_values_removed_total 2"));
    backend.stop().await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let found = content
            .windows(canary.len())
            .any(|window| window == canary.as_bytes());
        assert!(!found, "{}", path.display());
    }
}
