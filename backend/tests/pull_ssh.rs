//! The real backend pulls real hosts over SSH: an admin adds one step by step in each mode, and what is wrong with some
//! delays nobody else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/process.rs"]
mod process;
#[path = "support/quick_agent.rs"]
mod quick_agent;
#[path = "support/sshd.rs"]
mod sshd;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use infra_watch::transport::SshKey;
use process::{Process, Site, agent_binary, backend_binary, free_address, until};
use quick_agent::quick_agent;
use reqwest::Method;
use serde_json::{Value, json};
use sshd::{Sshd, user};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Hosts with which all is well.
const GOOD_HOSTS: usize = 20;
/// Seconds between two collections of each.
const INTERVAL: i64 = 5;
/// Collections of each that are waited for, at least.
const ROUNDS: usize = 5;
/// Token of the agent's endpoint.
const TOKEN: &str = "a-token-of-the-endpoint";

/// The API of a backend, as an admin uses it.
struct Api<'a> {
    site: &'a Site,
    token: String,
}

impl<'a> Api<'a> {
    async fn new(site: &'a Site) -> Self {
        let token = site.token(process::ADMIN).await;
        Self { site, token }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = self.site.url(&format!("/api/v1{path}"));
        let mut request = reqwest::Client::new()
            .request(method, url)
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn add(&self, name: &str, interval_seconds: i64, collection: Value) -> String {
        let body =
            json!({ "name": name, "interval_seconds": interval_seconds, "collection": collection });
        let (status, host) = self.call(Method::POST, "/hosts", Some(body)).await;
        assert_eq!(status, 201, "{host}");
        host["host_id"].as_str().unwrap().to_owned()
    }

    async fn patch(&self, host_id: &str, collection: Value) -> Value {
        let body = json!({ "collection": collection });
        let (status, host) = self
            .call(Method::PATCH, &format!("/hosts/{host_id}"), Some(body))
            .await;
        assert_eq!(status, 200, "{host}");
        host["collection"].clone()
    }

    async fn collection(&self, host_id: &str) -> Value {
        self.get(&format!("/hosts/{host_id}")).await["collection"].clone()
    }

    /// Collects now: the step that failed and why, or that all are passed.
    async fn trace(&self, host_id: &str) -> (String, String) {
        let path = format!("/hosts/{host_id}/collect/trace");
        let (status, trace) = self.call(Method::POST, &path, Some(json!({}))).await;
        assert_eq!(status, 200, "{trace}");
        let steps = trace["steps"].as_array().unwrap();
        let text = |step: &Value, field: &str| step[field].as_str().unwrap().to_owned();
        let failed = steps.iter().find(|step| step["outcome"] == "failed");
        assert_eq!(failed.is_none(), trace["is_stored"] == true, "{trace}");
        failed.map_or_else(
            || ("stored".to_owned(), trace.to_string()),
            |step| (text(step, "step"), text(step, "detail")),
        )
    }

    /// Goes through what an admin goes through with a new host, or a new way to it, until its report is stored.
    async fn settle(&self, host_id: &str, sshd: &Sshd, bastion: Option<&Sshd>) {
        // Without a known host key nobody logs in, neither at the bastion nor at the host.
        for _ in 0..2 {
            let (step, detail) = self.trace(host_id).await;
            if step == "host_key" {
                assert!(detail.contains("not confirmed"), "{detail}");
                let offered = self.collection(host_id).await;
                let of = if offered["is_offered_by_jump"] == true {
                    bastion.unwrap()
                } else {
                    sshd
                };
                assert_eq!(
                    offered["offered_host_key"],
                    json!(of.fingerprint("ed25519"))
                );
                let body = json!({ "fingerprint": offered["offered_host_key"] });
                let path = format!("/hosts/{host_id}/host-key");
                assert_eq!(self.call(Method::POST, &path, Some(body)).await.0, 200);
            } else if step == "authenticate" {
                assert!(
                    detail.contains("refuses the key ssh-ed25519 SHA256:"),
                    "{detail}"
                );
                self.authorize(host_id, sshd, bastion).await;
            }
        }
        self.authorize(host_id, sshd, bastion).await;
        let (mut step, mut detail) = self.trace(host_id).await;
        if step == "host_key" {
            let offered = self.collection(host_id).await;
            let body = json!({ "fingerprint": offered["offered_host_key"] });
            let path = format!("/hosts/{host_id}/host-key");
            assert_eq!(self.call(Method::POST, &path, Some(body)).await.0, 200);
            (step, detail) = self.trace(host_id).await;
        }
        assert_eq!(step, "stored", "{detail}\n{}", sshd.log());
    }

    /// Pastes the lines that the host's page shows, and nothing else.
    async fn authorize(&self, host_id: &str, sshd: &Sshd, bastion: Option<&Sshd>) {
        let collection = self.collection(host_id).await;
        let paste = |sshd: &Sshd, line: &Value| {
            fs::write(
                sshd.path("authorized_keys"),
                format!("{}\n", line.as_str().unwrap()),
            )
            .unwrap();
        };
        paste(sshd, &collection["authorized_keys"]);
        if let Some(bastion) = bastion {
            paste(bastion, &collection["jump"]["authorized_keys"]);
        }
    }
}

/// An agent to be sent, small enough for an unoptimised build of ours.
fn binaries(directory: &Path) -> PathBuf {
    let binaries = directory.join("binaries");
    fs::create_dir(&binaries).unwrap();
    let path = binaries.join(format!("infra-watch-agent-{}", std::env::consts::ARCH));
    fs::write(path, format!("#!/bin/sh\n{}", quick_agent())).unwrap();
    binaries
}

#[tokio::test]
async fn an_admin_adds_a_host_in_each_mode() {
    let site = Site::new();
    let binaries = binaries(site.directory.path());
    let flags = [
        "--allow-private-egress",
        "--log",
        "warn",
        "--agent-binaries",
        binaries.to_str().unwrap(),
    ];
    let _backend = site.start(&flags).await;
    let api = Api::new(&site).await;
    let (sshd, bastion) = (
        Sshd::start(&["ed25519"]).await,
        Sshd::start(&["ed25519"]).await,
    );
    let state_dir = sshd.path("state");
    let ssh = json!({
        "kind": "ssh", "address": "127.0.0.1", "port": sshd.port, "user": user(), "mode": "command",
        "agent_path": agent_binary(), "state_dir": state_dir,
    });
    let host_id = api.add("web-1", 3600, ssh).await;
    api.settle(&host_id, &sshd, None).await;
    let host = api.get(&format!("/hosts/{host_id}")).await;
    assert_eq!(
        (&host["status"], &host["health"]),
        (&json!("up"), &json!("green")),
        "{host}"
    );
    assert!(
        host["snapshot_at"].is_string() && host["memory_usage_percent"].is_number(),
        "{host}"
    );
    let snapshot = api.get(&format!("/hosts/{host_id}/snapshots/latest")).await;
    assert!(
        snapshot["sections"]["os"]["kernel"].is_string(),
        "{snapshot}"
    );
    let install_id = fs::read_to_string(state_dir.join("install-id")).unwrap();
    // What the key may do is one report, whatever it asks for.
    let log = sshd.log();
    assert!(log.contains("Accepted publickey"), "{log}");

    // An agent that runs there, asked through the connection.
    let (endpoint, token_file) = (free_address(), site.directory.path().join("token"));
    fs::write(&token_file, TOKEN).unwrap();
    let _agent = Process::spawn(
        Command::new(agent_binary())
            .env_clear()
            .args([
                "serve",
                "--interval",
                "1s",
                "--listen",
                &endpoint.to_string(),
            ])
            .arg("--token-file")
            .arg(&token_file)
            .arg("--state-dir")
            .arg(&state_dir)
            .stderr(Stdio::null()),
    );
    until("the endpoint listens", 30, || async {
        tokio::net::TcpStream::connect(endpoint).await.ok()
    })
    .await;
    let tunnel = json!({ "kind": "ssh", "mode": "tunnel", "endpoint": endpoint.to_string(), "token": TOKEN });
    api.patch(&host_id, tunnel).await;
    api.settle(&host_id, &sshd, None).await;

    // It was the same host all along.
    let known = fs::read_to_string(state_dir.join("install-id")).unwrap();
    assert_eq!(known, install_id);

    // To another host the agent is brought, through a bastion.
    let other = sshd.path("other-state");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("id"), Uuid::new_v4().to_string()).unwrap();
    let upload = json!({
        "kind": "ssh", "address": "127.0.0.1", "port": sshd.port, "user": user(), "mode": "upload",
        "state_dir": other, "jump": { "address": "127.0.0.1", "port": bastion.port, "user": user() },
    });
    let host_id = api.add("web-2", 3600, upload).await;
    api.settle(&host_id, &sshd, Some(&bastion)).await;
    let cache = sshd.path("home").join(".cache/infra-watch");
    let cached: Vec<_> = fs::read_dir(cache).unwrap().collect();
    assert_eq!(cached.len(), 1, "{cached:?}");
    assert!(bastion.logins() > 0);
    assert_eq!(api.get(&format!("/hosts/{host_id}")).await["status"], "up");
}

/// Listens, and says what an SSH server says first, a byte at a time, for ever.
async fn drip() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
                while stream.write_all(b"S").await.is_ok() {
                    ticks.tick().await;
                }
            });
        }
    });
    (port, serving)
}

#[tokio::test]
async fn what_is_wrong_with_some_delays_nobody_else() {
    let site = Site::new();
    let mut backend = site
        .start(&["--allow-private-egress", "--log", "warn"])
        .await;
    let api = Api::new(&site).await;
    let (sshd, other) = (Sshd::start(&["ed25519"]).await, Sshd::start(&["rsa"]).await);
    let good_agent = sshd.script("good-agent", &quick_agent());
    let known = sshd.fingerprint("ed25519");
    let ssh = |more: Value| {
        let mut collection = json!({
            "kind": "ssh", "address": "127.0.0.1", "port": sshd.port, "user": user(), "host_key": known,
            "agent_path": good_agent,
        });
        for (key, value) in more.as_object().unwrap() {
            collection[key] = value.clone();
        }
        collection
    };
    let script = |name: &str, body: &str| json!({ "agent_path": sshd.script(name, body) });
    let (dripping, _serving) = drip().await;
    let closed = free_address().port();
    let zeros = format!("SHA256:{}", "a".repeat(43));
    let bad = [
        (
            "a banner that drips",
            json!({ "port": dripping }),
            "host_key",
            "30 s",
        ),
        (
            "100 MB of output",
            script("flood", "yes | head -c 100000000"),
            "agent",
            "more than 8 MiB",
        ),
        (
            "a command that never ends",
            script("never", "exec sleep 1000"),
            "agent",
            "30 s",
        ),
        (
            "a closed port",
            json!({ "port": closed }),
            "connect",
            "refused",
        ),
        (
            "an invalid report",
            script("wrong", "echo '{\"report_id\": 7}'"),
            "report",
            "report_id",
        ),
        (
            "an agent that fails",
            script("fails", "echo no disk >&2; exit 3"),
            "agent",
            "status 3: no disk",
        ),
        (
            "a changed host key",
            json!({ "host_key": zeros }),
            "host_key",
            &known,
        ),
        (
            "a key of another algorithm",
            json!({ "port": other.port }),
            "host_key",
            &known,
        ),
        (
            "a refused user key",
            json!({ "private_key": SshKey::generate().unwrap() }),
            "authenticate",
            "refuses the key",
        ),
    ];
    // The first host tells which key is to be let in.
    let mut good = Vec::new();
    for number in 0..GOOD_HOSTS {
        let state = sshd.path(&format!("state-{number}"));
        fs::create_dir(&state).unwrap();
        fs::write(state.join("id"), Uuid::new_v4().to_string()).unwrap();
        let collection = ssh(json!({ "state_dir": state }));
        good.push((format!("good-{number}"), collection));
    }
    let key = {
        let host_id = api
            .add("key", 3600, ssh(json!({ "collected_by": "collector" })))
            .await;
        let line = api.collection(&host_id).await["authorized_keys"].clone();
        line.as_str()
            .unwrap()
            .split_once("ssh-ed25519")
            .unwrap()
            .1
            .to_owned()
    };
    for sshd in [&sshd, &other] {
        sshd.authorize(&format!("restrict ssh-ed25519{key}"));
    }
    let mut bad_ids = Vec::new();
    for (name, collection, ..) in &bad {
        bad_ids.push(api.add(name, INTERVAL, ssh(collection.clone())).await);
    }
    let mut good_ids = Vec::new();
    for (name, collection) in good {
        good_ids.push(api.add(&name, INTERVAL, collection).await);
    }
    // Each has its own words, while the good ones go on.
    for ((name, _, step, expect), host_id) in bad.iter().zip(&bad_ids) {
        let state = until(name, 90, || async {
            let state = api.collection(host_id).await;
            state.get("last_error").is_some().then_some(state)
        })
        .await;
        let said = state["last_error"].as_str().unwrap();
        assert!(said.contains(expect), "{name}: {said}");
        assert_eq!(state["last_error_step"], *step, "{name}: {said}");
        assert!(!said.contains("BEGIN OPENSSH"), "{name}: {said}");
    }
    let samples = async |host_id: &str| {
        let path =
            format!("/hosts/{host_id}/samples?metric=cpu_usage_percent&from=0&to=9999999999");
        let samples = api.get(&path).await;
        serde_json::from_value::<Vec<i64>>(samples["timestamps"].clone()).unwrap()
    };
    for host_id in &good_ids {
        until("a good host was collected", 90, || async {
            (samples(host_id).await.len() >= ROUNDS).then_some(())
        })
        .await;
        let state = api.collection(host_id).await;
        assert_eq!(
            (&state["failures"], state.get("last_error")),
            (&json!(0), None)
        );
        let times = samples(host_id).await;
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest < Some(3 * INTERVAL), "{host_id}: {times:?}");
    }
    // Nobody logged in where the key was not the known one, and both are said.
    assert_eq!(other.logins(), 0, "{}", other.log());
    let changed = api.collection(&bad_ids[7]).await;
    assert_eq!(changed["changed_host_key"], json!(other.fingerprint("rsa")));
    assert_eq!(changed["host_key"], json!(known));
    let alerts = until("changed host keys are alerts", 60, || async {
        let alerts = api.get("/alerts?state=firing").await["items"].clone();
        let alerts = alerts.as_array().unwrap().clone();
        let names: Vec<_> = alerts
            .iter()
            .filter(|alert| alert["rule_name"] == "Host key changed")
            .map(|alert| alert["host_name"].clone())
            .collect();
        (names.len() == 2).then_some(names)
    })
    .await;
    assert!(
        alerts.contains(&json!("a changed host key"))
            && alerts.contains(&json!("a key of another algorithm"))
    );
    assert!(!backend.has_ended());
}

#[tokio::test]
async fn a_collector_collects_with_a_key_of_its_own() {
    let site = Site::new();
    let _backend = site
        .start(&["--allow-private-egress", "--log", "warn"])
        .await;
    let api = Api::new(&site).await;
    let sshd = Sshd::start(&["ed25519"]).await;
    let state = sshd.path("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("id"), Uuid::new_v4().to_string()).unwrap();
    let host_id = api
        .add(
            "web-1",
            3600,
            json!({
                "kind": "ssh", "address": "127.0.0.1", "port": sshd.port, "user": user(),
                "host_key": sshd.fingerprint("ed25519"), "collected_by": "collector",
                "agent_path": sshd.script("agent", &quick_agent()), "state_dir": state,
            }),
        )
        .await;
    let body = json!({ "name": "site b", "selector": {} });
    let (_, token) = api
        .call(Method::POST, "/collector-tokens", Some(body))
        .await;
    let private = |name: &str, text: &str| {
        let path = site.directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let key = SshKey::generate().unwrap();
    let key_file = private("key", &key);
    let public_key = infra_watch::transport::check_private_key(&key).unwrap();
    let collect = async |token: &str| {
        let mut command = Command::new(backend_binary());
        command
            .env_clear()
            .args([
                "collect",
                "--once",
                "--allow-private-egress",
                "--server",
                &site.url(""),
            ])
            .arg("--token-file")
            .arg(private("token", token))
            .arg("--ssh-key-file")
            .arg(&key_file);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    // A host that refuses the key is told to the backend, and is no failure of the collector.
    let (code, said, log) = collect(token["token"].as_str().unwrap()).await;
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "hosts collected: 0, not collected: 1\n"),
        "{log}"
    );
    let state = api.collection(&host_id).await;
    assert_eq!(
        (&state["last_error_step"], &state["last_collector"]),
        (&json!("authenticate"), &json!("site b"))
    );
    // With the collector's key in place, and nothing else.
    sshd.authorize(&format!("restrict {public_key}"));
    api.patch(&host_id, json!({ "kind": "ssh" })).await;
    let (code, said, log) = collect(token["token"].as_str().unwrap()).await;
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "hosts collected: 1, not collected: 0\n"),
        "{log}"
    );
    assert_eq!(api.get(&format!("/hosts/{host_id}")).await["status"], "up");
    // Nothing is due: nothing is done.
    let (code, said, _) = collect(token["token"].as_str().unwrap()).await;
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "hosts collected: 0, not collected: 0\n")
    );
    let (code, _, log) = collect(&site.token(process::ADMIN).await).await;
    assert_eq!(code, Some(1));
    assert!(log.contains("refuses the token"), "{log}");
}
