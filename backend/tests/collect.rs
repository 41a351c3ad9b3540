//! Hosts that are pulled: added, collected when they are due or by hand, changed, and taken for whom they are.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/agents.rs"]
mod agents;
#[path = "support/configuration.rs"]
mod configuration;
#[path = "support/process.rs"]
mod process;
mod support;

use std::sync::Arc;
use std::time::Duration;

use agents::{Agent, Agents, TOKEN};
use configuration::{call, get, post, try_get};
use infra_watch::clock::Clock;
use infra_watch::domain::collection::Target;
use infra_watch::flows::collect;
use infra_watch::flows::job::{Job, run_scheduled};
use infra_watch::store::kv::KvError;
use process::until;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Backend, START, report};
use uuid::Uuid;

/// Made-up agents by the backend's clock, which have measured every 10 s for an hour.
async fn agents(backend: &Backend, count: usize) -> Agents {
    let clock = Arc::clone(&backend.clock) as Arc<dyn Clock>;
    Agents::start(count, 10, START - 3600, clock).await
}

/// Adds a host that is pulled from a made-up agent.
async fn add(backend: &Backend, name: &str, agent: &Agent) -> Uuid {
    let body = json!({
        "name": name, "labels": { "site": "b" }, "interval_seconds": 30,
        "collection": { "kind": "http", "url": agent.url(), "token": TOKEN },
    });
    let (status, host) = post(backend, "/hosts", body).await;
    assert_eq!(status, 201, "{host}");
    host["host_id"].as_str().unwrap().parse().unwrap()
}

/// Runs the job as the clock would, and waits for what it began.
async fn collect_due(backend: &Backend) {
    run_scheduled(&backend.app, Job::Collect)
        .await
        .unwrap()
        .unwrap();
    collect::settle_running(&backend.app).await;
}

/// When an agent was asked, in seconds since 1970.
fn seconds(agent: &Agent) -> Vec<i64> {
    agent
        .asked_at()
        .iter()
        .map(chrono::DateTime::timestamp)
        .collect()
}

async fn host(backend: &Backend, host_id: Uuid) -> Value {
    get(backend, &format!("/hosts/{host_id}")).await
}

async fn collection(backend: &Backend, host_id: Uuid) -> Value {
    host(backend, host_id).await["collection"].clone()
}

async fn patch(backend: &Backend, host_id: Uuid, body: Value) -> (u16, Value) {
    call(
        backend,
        Method::PATCH,
        &format!("/hosts/{host_id}"),
        Some(body),
    )
    .await
}

async fn collect_now(backend: &Backend, host_id: Uuid) -> (u16, Value) {
    post(backend, &format!("/hosts/{host_id}/collect"), json!({})).await
}

/// The moments that are stored of a host, with what was measured.
async fn stored(backend: &Backend, host_id: Uuid) -> Vec<(i64, f64)> {
    let path = format!("/hosts/{host_id}/samples?metric=cpu_usage_percent&from=0&to=9999999999");
    let samples = get(backend, &path).await;
    let Some(series) = samples["series"].get(0) else {
        return Vec::new();
    };
    let times = samples["timestamps"].as_array().unwrap();
    times
        .iter()
        .zip(series["values"].as_array().unwrap())
        .map(|(at, value)| (at.as_i64().unwrap(), value.as_f64().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_host_is_added_and_collected_when_it_is_due() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 1).await;
    let agent = &agents.all[0];
    let host_id = add(&backend, "web-1", agent).await;
    let added = host(&backend, host_id).await;
    assert_eq!(
        (&added["status"], &added["health"]),
        (&json!("pending"), &json!("grey"))
    );
    assert_eq!(
        (&added["name"], &added["labels"]),
        (&json!("web-1"), &json!({ "site": "b" }))
    );
    assert!(agent.asked_at().is_empty(), "adding dials nobody");

    // Due at once, and from then on at its own moments.
    collect_due(&backend).await;
    collect_due(&backend).await;
    assert_eq!(seconds(agent), [START]);
    let up = host(&backend, host_id).await;
    assert_eq!(
        (&up["status"], &up["health"]),
        (&json!("up"), &json!("green"))
    );
    assert_eq!(up["os"], "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(
        up["hostname"],
        json!(format!("host-{}", agent.address.port()))
    );
    let state = &up["collection"];
    assert_eq!(
        (&state["kind"], &state["is_pushed"]),
        (&json!("http"), &json!(false))
    );
    assert_eq!(
        (&state["failures"], state.get("last_error")),
        (&json!(0), None)
    );
    assert_eq!(state["last_attempt_at"], state["last_success_at"]);
    let text = up.to_string();
    assert!(
        !text.contains(TOKEN) && text.contains(&agent.url()),
        "{text}"
    );

    for _ in 0..300 {
        backend.clock.advance(1);
        run_scheduled(&backend.app, Job::Collect)
            .await
            .unwrap()
            .unwrap();
        collect::settle_running(&backend.app).await;
    }
    let asked = seconds(agent);
    assert_eq!(asked.len(), 11, "{asked:?}");
    assert!(
        asked[1..].windows(2).all(|pair| pair[1] - pair[0] == 30),
        "{asked:?}"
    );
    // All that was measured since the first time, once.
    let newest = *asked.last().unwrap();
    let expect: Vec<_> = agent
        .moments(START - 9, newest)
        .into_iter()
        .map(|at| (at, agent.value(at)))
        .collect();
    assert_eq!(stored(&backend, host_id).await, expect);
    assert_eq!(host(&backend, host_id).await["interval_seconds"], 30);
}

#[tokio::test]
async fn people_see_as_much_as_their_role_allows() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 1).await;
    let host_id = add(&backend, "web-1", &agents.all[0]).await;
    let body = json!({
        "name": "web-2", "collection": { "kind": "ssh", "address": "192.0.2.7", "user": "watch" },
    });
    let (_, ssh) = post(&backend, "/hosts", body).await;
    let see = async |role: &str, host_id: &str| {
        let client = reqwest::Client::new();
        let url = backend.url(&format!("/api/v1/hosts/{host_id}"));
        let request = client.get(url).bearer_auth(backend.token(role).await);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["collection"].clone()
    };
    let (http, ssh) = (
        host_id.to_string(),
        ssh["host_id"].as_str().unwrap().to_owned(),
    );
    assert_eq!(
        see("viewer", &http).await,
        json!({ "kind": "http", "is_pushed": false })
    );
    assert!(see("operator", &http).await["url"].is_string());
    let operator = see("operator", &ssh).await;
    assert_eq!(
        (&operator["address"], operator.get("authorized_keys")),
        (&json!("192.0.2.7"), None)
    );
    let line = see("admin", &ssh).await["authorized_keys"].clone();
    let line = line.as_str().unwrap();
    assert!(
        line.starts_with("restrict,command=\"infra-watch-agent report\" ssh-ed25519 AAAA"),
        "{line}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    let backend = Backend::start().await;
    let token = backend.token("admin").await;
    let check = async |collection: Value, field: &str| {
        let body = json!({ "name": "web-1", "collection": collection });
        let request = reqwest::Client::new().post(backend.url("/api/v1/hosts"));
        let answer = request
            .bearer_auth(&token)
            .json(&body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let problem: Value = answer.json().await.unwrap();
        let said = problem["errors"][0]["field"].as_str().unwrap_or_default();
        assert_eq!(
            (status, said),
            (if field.is_empty() { 201 } else { 422 }, field),
            "{body}: {problem}"
        );
    };
    let fingerprint = format!("SHA256:{}", "a".repeat(43));
    let http = |more: Value| {
        merged(
            json!({ "kind": "http", "url": "http://10.0.0.5:7421/report", "token": "t" }),
            &more,
        )
    };
    let ssh = |more: Value| {
        merged(
            json!({ "kind": "ssh", "address": "10.0.0.5", "user": "watch" }),
            &more,
        )
    };
    check(http(json!({})), "").await;
    check(
        http(json!({ "certificate_fingerprint": "AB:".repeat(31) + "AB" })),
        "",
    )
    .await;
    check(
        http(json!({ "certificate_fingerprint": "AB:CD" })),
        "collection.certificate_fingerprint",
    )
    .await;
    check(
        http(json!({ "url": "ftp://10.0.0.5/report" })),
        "collection.url",
    )
    .await;
    check(
        http(json!({ "url": "http://a:b@10.0.0.5/report" })),
        "collection.url",
    )
    .await;
    check(http(json!({ "url": null })), "collection.url").await;
    check(http(json!({ "token": "" })), "collection.token").await;
    check(http(json!({ "token": "two\nwords" })), "collection.token").await;
    check(http(json!({ "user": "watch" })), "collection.user").await;
    check(json!({ "kind": "push" }), "collection.kind").await;
    check(json!({ "kind": "telnet" }), "collection.kind").await;
    check(ssh(json!({ "port": 2222, "host_key": fingerprint, "mode": "upload", "state_dir": "/var/lib/x" })), "").await;
    check(ssh(json!({ "address": "::1" })), "").await;
    check(ssh(json!({ "address": "a b" })), "collection.address").await;
    check(
        ssh(json!({ "address": "-oProxyCommand=x" })),
        "collection.address",
    )
    .await;
    check(ssh(json!({ "port": 0 })), "collection.port").await;
    check(ssh(json!({ "user": "a;b" })), "collection.user").await;
    check(ssh(json!({ "host_key": "MD5:aa" })), "collection.host_key").await;
    check(
        ssh(json!({ "agent_path": "/bin/sh -c x" })),
        "collection.agent_path",
    )
    .await;
    check(ssh(json!({ "agent_path": "-x" })), "collection.agent_path").await;
    check(
        ssh(json!({ "state_dir": "/var/lib/$(x)" })),
        "collection.state_dir",
    )
    .await;
    check(ssh(json!({ "token": "t" })), "collection.token").await;
    check(ssh(json!({ "mode": "tunnel" })), "collection.token").await;
    check(ssh(json!({ "mode": "tunnel", "token": "t" })), "").await;
    check(
        ssh(json!({ "mode": "tunnel", "token": "t", "endpoint": "10.0.0.9:80" })),
        "collection.endpoint",
    )
    .await;
    check(
        ssh(json!({ "mode": "tunnel", "token": "t", "endpoint": "[::1]:7421" })),
        "",
    )
    .await;
    check(
        ssh(json!({ "private_key": "no key" })),
        "collection.private_key",
    )
    .await;
    check(
        ssh(json!({ "jump": { "address": "bastion", "user": "hop" } })),
        "",
    )
    .await;
    check(
        ssh(json!({ "jump": { "address": "bastion" } })),
        "collection.jump.user",
    )
    .await;
    check(ssh(json!({ "url": "http://x/report" })), "collection.url").await;
}

fn merged(mut object: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

#[tokio::test]
async fn a_host_is_collected_by_hand() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 1).await;
    let agent = &agents.all[0];
    let host_id = add(&backend, "web-1", agent).await;
    let (status, outcome) = collect_now(&backend, host_id).await;
    assert_eq!(status, 200);
    let expect = json!({ "accepted": 2, "duplicates": 0, "rejected": [], "snapshot": "none" });
    assert_eq!(outcome, expect);

    // Who comes while it runs joins it.
    agent.close();
    let path = format!("/hosts/{host_id}/collect");
    let asked = async |times: usize| {
        until("it was asked for", 30, || async {
            let audit = get(&backend, "/audit").await;
            let items = audit["items"].as_array().unwrap();
            let asked = items.iter().filter(|item| item["action"] == "host.collect");
            (asked.count() == times).then_some(())
        })
        .await;
        // What is noted is begun in the same breath: a further call comes after it.
        get(&backend, "/hosts").await;
    };
    let (first, second, ()) = tokio::join!(
        post(&backend, &path, json!({})),
        async {
            asked(2).await;
            post(&backend, &path, json!({})).await
        },
        async {
            asked(3).await;
            agent.open();
        }
    );
    assert_eq!((first.0, second.0, agent.asked_at().len()), (200, 200, 2));

    let (status, trace) = post(&backend, &format!("{path}/trace"), json!({})).await;
    assert_eq!((status, &trace["is_stored"]), (200, &json!(true)));
    let steps = trace["steps"].as_array().unwrap();
    let said: Vec<_> = steps
        .iter()
        .map(|step| {
            (
                step["step"].as_str().unwrap(),
                step["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    let passed = [
        "resolve",
        "connect",
        "host_key",
        "authenticate",
        "agent",
        "report",
    ];
    assert_eq!(said, passed.map(|step| (step, "passed")));

    // A host that pushes alone, and one that is not there.
    let pushing = backend.enroll("web-2").await;
    assert_eq!(collect_now(&backend, pushing.host_id).await.0, 409);
    assert_eq!(collect_now(&backend, Uuid::now_v7()).await.0, 404);
}

#[tokio::test]
async fn what_fails_says_why_and_waits_longer_each_time() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 1).await;
    let agent = &agents.all[0];
    let body = json!({
        "name": "web-1", "interval_seconds": 10,
        "collection": { "kind": "http", "url": agent.url(), "token": "another" },
    });
    let (_, made) = post(&backend, "/hosts", body).await;
    let host_id: Uuid = made["host_id"].as_str().unwrap().parse().unwrap();
    let (status, problem) = collect_now(&backend, host_id).await;
    assert_eq!(status, 502);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("refuses the token"),
        "{problem}"
    );
    let state = collection(&backend, host_id).await;
    assert_eq!(
        (&state["failures"], &state["last_error_step"]),
        (&json!(1), &json!("authenticate"))
    );
    assert_eq!(state["last_error"], problem["detail"]);
    let (_, trace) = post(
        &backend,
        &format!("/hosts/{host_id}/collect/trace"),
        json!({}),
    )
    .await;
    let outcomes: Vec<_> = trace["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["passed", "passed", "passed", "failed", "skipped", "skipped"]
    );

    // A refused token waits long; the interval would be ten seconds.
    let next_at = |state: &Value| {
        chrono::DateTime::parse_from_rfc3339(state["next_at"].as_str().unwrap())
            .unwrap()
            .timestamp()
            - backend.now().timestamp()
    };
    let waits = next_at(&collection(&backend, host_id).await);
    assert!((900..=1200).contains(&waits), "{waits}");
    backend.clock.advance(waits - 1);
    collect_due(&backend).await;
    assert_eq!(collection(&backend, host_id).await["failures"], 2);
    backend.clock.advance(2);
    collect_due(&backend).await;
    assert_eq!(collection(&backend, host_id).await["failures"], 3);

    // The right one, and it is due at once.
    let right = json!({ "collection": { "kind": "http", "token": TOKEN } });
    assert_eq!(patch(&backend, host_id, right).await.0, 200);
    collect_due(&backend).await;
    let state = collection(&backend, host_id).await;
    assert_eq!(
        (&state["failures"], state.get("last_error")),
        (&json!(0), None)
    );
}

#[tokio::test]
async fn those_that_are_stuck_delay_nobody_else() {
    let backend = Backend::start_impatient(Duration::from_secs(5)).await;
    let agents = agents(&backend, 100).await;
    let (mut stuck, mut good) = (Vec::new(), Vec::new());
    for (number, agent) in agents.all.iter().enumerate() {
        let host_id = add(&backend, &format!("web-{number}"), agent).await;
        if number < 60 {
            // More than there are places.
            agent.close();
            stuck.push(host_id);
        } else {
            good.push(host_id);
        }
    }
    let progress = |host_id: &Uuid| backend.app.collections.progress(*host_id);
    run_scheduled(&backend.app, Job::Collect)
        .await
        .unwrap()
        .unwrap();
    collect::settle_running(&backend.app).await;
    assert!(stuck.iter().all(|host_id| progress(host_id).failures == 1));
    assert!(
        good.iter()
            .all(|host_id| progress(host_id).failure.is_none())
    );
    // Now they are known: they have half of the places, and the others go on beside them.
    backend.clock.advance(60);
    let before = backend.now();
    run_scheduled(&backend.app, Job::Collect)
        .await
        .unwrap()
        .unwrap();
    until("all good ones are collected", 60, || async {
        let collected = |host_id: &Uuid| progress(host_id).last_success_at == Some(before);
        good.iter().all(collected).then_some(())
    })
    .await;
    let waiting = stuck
        .iter()
        .filter(|host_id| progress(host_id).failures == 1);
    assert!(waiting.count() > 25, "the good ones came first");
    agents.all.iter().for_each(|agent| agent.open());
    collect::settle_running(&backend.app).await;
}

#[tokio::test]
async fn what_an_old_way_brings_says_nothing_of_the_new_one() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 2).await;
    let (old, new) = (&agents.all[0], &agents.all[1]);
    let host_id = add(&backend, "web-1", old).await;
    old.close();
    let path = format!("/hosts/{host_id}/collect");
    let (answer, ()) = tokio::join!(post(&backend, &path, json!({})), async {
        until("it is asked", 30, || async {
            let (running, _) = backend.app.collections.running();
            (running.len() == 1).then_some(())
        })
        .await;
        // The host moves while its old place is asked.
        let moved = json!({ "collection": { "kind": "http", "url": new.url(), "token": TOKEN } });
        assert_eq!(patch(&backend, host_id, moved).await.0, 200);
        old.open();
    });
    assert_eq!(answer.0, 502);
    assert_eq!(
        answer.1["detail"],
        "the host's collection was changed meanwhile"
    );
    assert!(stored(&backend, host_id).await.is_empty());
    let state = collection(&backend, host_id).await;
    assert_eq!(
        (&state["failures"], state.get("last_error")),
        (&json!(0), None)
    );
    // The new place is due, and its agent is the host's.
    collect_due(&backend).await;
    assert_eq!(host(&backend, host_id).await["status"], "up");
    let kept = backend.app.store.state.hosts.get(host_id).unwrap();
    assert_eq!(kept.install_id, Some(new.install_id));
}

#[tokio::test]
async fn a_report_counts_for_the_host_it_is_of() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 2).await;
    let (first, second) = (&agents.all[0], &agents.all[1]);
    let host_id = add(&backend, "web-1", first).await;
    assert_eq!(collect_now(&backend, host_id).await.0, 200);
    // A second host with the same agent.
    let double = add(&backend, "web-1 again", first).await;
    let (status, problem) = collect_now(&backend, double).await;
    assert_eq!(status, 502);
    assert_eq!(
        problem["detail"],
        "the agent there is that of the host web-1: collect that host instead"
    );
    assert!(stored(&backend, double).await.is_empty());
    // Another machine answers at the host's address, and the host was heard a moment ago.
    let url = second.url();
    let change = backend.app.store.state.change(|change| {
        let mut host = (*change.state.hosts.get(host_id).unwrap()).clone();
        if let Target::Http(http) = &mut host.collection.as_mut().unwrap().target {
            http.url = url;
        }
        change.put(host);
        Ok::<_, KvError>(())
    });
    change.await.unwrap();
    let (status, problem) = collect_now(&backend, host_id).await;
    assert_eq!(status, 502);
    let said = problem["detail"].as_str().unwrap();
    assert!(
        said.starts_with("another machine reports with this identity"),
        "{problem}"
    );
    let kept = backend.app.store.state.hosts.get(host_id).unwrap();
    assert_eq!(kept.install_id, Some(first.install_id));
    // An admin says which of them it is.
    let aside = host(&backend, host_id).await["set_aside"][0].clone();
    let aside = aside["set_aside_id"].as_str().unwrap();
    let accept = format!("/hosts/{host_id}/set-aside/{aside}/accept");
    assert_eq!(post(&backend, &accept, json!({})).await.0, 204);
    assert_eq!(collect_now(&backend, host_id).await.0, 200);
    let kept = backend.app.store.state.hosts.get(host_id).unwrap();
    assert_eq!(kept.install_id, Some(second.install_id));
}

#[tokio::test]
async fn pushed_and_pulled_is_stored_once() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 1).await;
    let agent = &agents.all[0];
    let pushing = backend.enroll("web-1").await;
    // The same agent pushes and serves.
    backend
        .app
        .store
        .state
        .change(|change| {
            let mut host = (*change.state.hosts.get(pushing.host_id).unwrap()).clone();
            host.facts.machine_id = agent.install_id.to_string();
            host.install_id = Some(agent.install_id);
            change.put(host);
            Ok::<_, KvError>(())
        })
        .await
        .unwrap();
    let added = json!({ "collection": { "kind": "http", "url": agent.url(), "token": TOKEN }, "interval_seconds": 60 });
    let (status, shown) = patch(&backend, pushing.host_id, added).await;
    assert_eq!(
        (status, &shown["collection"]["is_pushed"]),
        (200, &json!(true)),
        "{shown}"
    );
    let push = async |at: i64| {
        let mut body = report(&[(at, Some(agent.value(at)))]);
        body.interval_seconds = 10.try_into().unwrap();
        pushing
            .agent
            .submit_report()
            .body(body)
            .send()
            .await
            .unwrap();
    };
    push(START).await;
    assert_eq!(
        collect_now(&backend, pushing.host_id).await.1["accepted"],
        0
    );
    backend.clock.advance(20);
    push(START + 20).await;
    // What was pushed in between is newer, and what is older comes no more: nothing twice, and the newest counts.
    let outcome = collect_now(&backend, pushing.host_id).await.1;
    assert_eq!(
        (&outcome["accepted"], &outcome["duplicates"]),
        (&json!(0), &json!(0))
    );
    backend.clock.advance(30);
    assert_eq!(
        collect_now(&backend, pushing.host_id).await.1["accepted"],
        6
    );
    push(START + 50).await;
    let times: Vec<i64> = stored(&backend, pushing.host_id)
        .await
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(
        times,
        [START, START + 20, START + 30, START + 40, START + 50]
    );
    // How often it reports is what its pushes say.
    assert_eq!(
        host(&backend, pushing.host_id).await["interval_seconds"],
        10
    );

    // Without pulling it goes on; a host that nobody pushes has nothing else.
    let ended = json!({ "collection": { "kind": "push" } });
    let (status, shown) = patch(&backend, pushing.host_id, ended.clone()).await;
    assert_eq!(
        (status, &shown["collection"]["kind"]),
        (200, &json!("push"))
    );
    assert_eq!(collect_now(&backend, pushing.host_id).await.0, 409);
    let pulled = add(&backend, "web-2", agent).await;
    assert_eq!(patch(&backend, pulled, ended).await.0, 409);
    assert_eq!(collection(&backend, pulled).await["kind"], "http");
}

#[tokio::test]
async fn secrets_are_for_the_machine_they_were_given_for() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 2).await;
    let host_id = add(&backend, "web-1", &agents.all[0]).await;
    let moved = |more: Value| json!({ "collection": merged(json!({ "kind": "http", "url": agents.all[1].url() }), &more) });
    let (status, problem) = patch(&backend, host_id, moved(json!({}))).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("collection.token"))
    );
    assert_eq!(
        patch(&backend, host_id, moved(json!({ "token": TOKEN })))
            .await
            .0,
        200
    );
    let interval = json!({ "interval_seconds": 90 });
    assert_eq!(
        patch(&backend, host_id, interval).await.1["interval_seconds"],
        90
    );

    let fingerprint = format!("SHA256:{}", "a".repeat(43));
    let body = json!({ "name": "web-2", "collection": {
        "kind": "ssh", "address": "192.0.2.7", "user": "watch", "host_key": fingerprint,
        "mode": "tunnel", "token": "t", "jump": { "address": "192.0.2.1", "user": "hop", "host_key": fingerprint } } });
    let (status, made) = post(&backend, "/hosts", body).await;
    assert_eq!(status, 201, "{made}");
    let ssh: Uuid = made["host_id"].as_str().unwrap().parse().unwrap();
    let set = async |more: Value| {
        let (status, shown) = patch(
            &backend,
            ssh,
            json!({ "collection": merged(json!({ "kind": "ssh" }), &more) }),
        )
        .await;
        (status, shown["collection"].clone())
    };
    let (_, shown) = set(json!({ "user": "other" })).await;
    assert_eq!(
        (&shown["host_key"], &shown["jump"]["host_key"]),
        (&json!(fingerprint), &json!(fingerprint))
    );
    assert_eq!(set(json!({ "address": "192.0.2.8" })).await.0, 422);
    let (_, shown) = set(json!({ "address": "192.0.2.8", "token": "t", "jump": { "address": "192.0.2.2", "user": "hop" } })).await;
    assert_eq!(
        (shown.get("host_key"), shown["jump"].get("host_key")),
        (None, None),
        "{shown}"
    );
    let (_, shown) = set(json!({ "jump": { "address": "" }, "mode": "command" })).await;
    assert_eq!(
        (shown.get("jump"), &shown["mode"]),
        (None, &json!("command")),
        "{shown}"
    );
    // Nothing waits to be confirmed before anybody was there.
    let confirm = format!("/hosts/{ssh}/host-key");
    assert_eq!(
        post(&backend, &confirm, json!({ "fingerprint": fingerprint }))
            .await
            .0,
        409
    );
    assert_eq!(
        post(
            &backend,
            &format!("/hosts/{host_id}/host-key"),
            json!({ "fingerprint": fingerprint })
        )
        .await
        .0,
        409
    );
}

#[tokio::test]
async fn a_host_that_is_removed_is_asked_no_more() {
    let backend = Backend::start().await;
    let agents = agents(&backend, 1).await;
    let agent = &agents.all[0];
    let host_id = add(&backend, "web-1", agent).await;
    agent.close();
    run_scheduled(&backend.app, Job::Collect)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        call(&backend, Method::DELETE, &format!("/hosts/{host_id}"), None)
            .await
            .0,
        204
    );
    agent.open();
    collect::settle_running(&backend.app).await;
    let asked = agent.asked_at();
    backend.clock.advance(60);
    collect_due(&backend).await;
    assert_eq!(agent.asked_at(), asked);
    assert_eq!(try_get(&backend, &format!("/hosts/{host_id}")).await.0, 404);
    assert!(
        get(&backend, "/hosts").await["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}
