//! The binary as an operator uses it: start, stop, health, users, settings, TLS, and a store it must not touch.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use infra_watch::store::kv::{Batch, Class, Kv, Table};
use infra_watch::store::migration::FORMAT_KEY;
use infra_watch::store::redb::RedbKv;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_infra-watch");
const PASSWORD: &str = "correct horse battery";

/// The binary without any setting of whoever runs the tests.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A backend process, ended with the test.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts `serve` on a port that was free a moment ago and waits until it is ready.
    async fn start(data_dir: &Path, more: &[&str]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let data_dir = data_dir.to_str().unwrap();
        let arguments = [
            &[
                "serve",
                "--listen",
                &address,
                "--data-dir",
                data_dir,
                "--log-format",
                "json",
            ],
            more,
        ]
        .concat();
        let child = command(&arguments)
            .env("INFRA_WATCH_ADMIN_PASSWORD", PASSWORD)
            .spawn()
            .unwrap();
        let mut process = Self { child, address };
        while tokio::net::TcpStream::connect(&process.address)
            .await
            .is_err()
        {
            assert!(process.child.try_wait().unwrap().is_none(), "serve ended");
            tokio::task::yield_now().await;
        }
        process
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::new()
}

async fn login(process: &Process, username: &str, password: &str) -> reqwest::Response {
    let body = json!({ "username": username, "password": password });
    client()
        .post(process.url("/api/v1/auth/login"))
        .json(&body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_signal_to_stop_makes_it_unready_and_ends_it_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path(), &["--drain", "2s"]).await;
    let health = run(&["health", "--server", &process.url("")], "");
    assert!(health.status.success(), "{}", text(&health.stderr));
    // A held connection must not keep it from ending.
    let _held = tokio::net::TcpStream::connect(&process.address)
        .await
        .unwrap();
    let client = client();
    let started = Instant::now();
    process.terminate();
    loop {
        let ready = client.get(process.url("/readyz")).send().await.unwrap();
        if ready.status() == 503 {
            assert_eq!(ready.text().await.unwrap(), "unready");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(1), "still ready");
    }
    let code = process.child.wait().unwrap();
    assert!(code.success());
    assert!(started.elapsed() < Duration::from_secs(30));
    let health = run(&["health", "--server", &process.url("")], "");
    assert!(!health.status.success() && !health.stderr.is_empty());
}

#[tokio::test]
async fn the_first_password_is_printed_once_and_users_are_managed_on_the_stopped_store() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    for is_first in [true, false] {
        let arguments = [
            "serve",
            "--listen",
            &address,
            "--data-dir",
            data_dir.to_str().unwrap(),
            "--drain",
            "0s",
        ];
        let child = command(&arguments).spawn().unwrap();
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            text(&output.stdout).contains("user admin, password "),
            is_first,
            "{}",
            text(&output.stdout)
        );
        assert!(
            !text(&output.stderr).contains("password "),
            "never in the log"
        );
    }
    let mode =
        |path: &Path| std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777;
    assert_eq!(
        (mode(&data_dir), mode(&data_dir.join("jwt_secret"))),
        (0o700, 0o600)
    );

    let user = |arguments: &[&str], input: &str| {
        run(
            &[
                &["user", "--data-dir", data_dir.to_str().unwrap()],
                arguments,
            ]
            .concat(),
            input,
        )
    };
    assert!(
        user(&["add", "ann", "--role", "operator"], "a good password\n")
            .status
            .success()
    );
    let refused = user(&["add", "ann"], "a good password");
    assert!(
        text(&refused.stderr).contains("a user with this name exists"),
        "{}",
        text(&refused.stderr)
    );
    let refused = user(&["add", "bob"], "password123");
    assert!(
        text(&refused.stderr).contains("commonest"),
        "{}",
        text(&refused.stderr)
    );
    let refused = user(&["set-password", "nobody"], "a good password");
    assert!(
        text(&refused.stderr).contains("there is no user nobody"),
        "{}",
        text(&refused.stderr)
    );
    assert!(user(&["set-password", "Ann"], PASSWORD).status.success());
    assert_eq!(
        text(&user(&["list"], "").stdout),
        "admin\tadmin\tenabled\nann\toperator\tenabled\n"
    );
    let process = Process::start(&data_dir, &[]).await;
    assert_eq!(login(&process, "ann", PASSWORD).await.status(), 200);
    // While the backend runs the store is its own.
    let refused = user(&["list"], "");
    assert!(
        text(&refused.stderr).contains("give --server"),
        "{}",
        text(&refused.stderr)
    );
}

#[tokio::test]
async fn users_are_managed_through_the_running_backend() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &[]).await;
    let access: Value = login(&process, "admin", PASSWORD)
        .await
        .json()
        .await
        .unwrap();
    let access = access["access_token"].as_str().unwrap();
    let body = json!({ "name": "command line", "role": "admin" });
    let made = client()
        .post(process.url("/api/v1/api-tokens"))
        .bearer_auth(access)
        .json(&body)
        .send()
        .await
        .unwrap();
    let token: Value = made.json().await.unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, token["token"].as_str().unwrap()).unwrap();
    let server = process.url("");
    let user = |arguments: &[&str], input: &str| {
        let start = [
            "user",
            "--server",
            &server,
            "--token-file",
            file.to_str().unwrap(),
        ];
        run(&[&start, arguments].concat(), input)
    };
    let added = user(&["add", "ann"], "a good password\n");
    assert!(added.status.success(), "{}", text(&added.stderr));
    assert!(user(&["set-password", "ann"], PASSWORD).status.success());
    assert_eq!(
        text(&user(&["list"], "").stdout),
        "admin\tadmin\tenabled\nann\tviewer\tenabled\n"
    );
    assert_eq!(login(&process, "ann", PASSWORD).await.status(), 200);
    let refused = user(&["add", "ann"], "a good password\n");
    assert!(text(&refused.stderr).contains("the backend refuses: a user with this name exists"));
    let no_token = run(&["user", "--server", &server, "list"], "");
    assert!(text(&no_token.stderr).contains("--token-file"));
}

#[tokio::test]
async fn a_newer_store_is_refused_and_left_untouched() {
    let directory = tempfile::tempdir().unwrap();
    {
        let kv = RedbKv::open(directory.path()).unwrap();
        let mut batch = Batch::new(Class::State);
        batch.put(
            Table::Meta,
            FORMAT_KEY.to_vec(),
            Bytes::copy_from_slice(&99_u32.to_be_bytes()),
        );
        kv.write(batch).await.unwrap();
    }
    // The writer threads free the files a moment after the handle is gone.
    for name in ["state.redb", "series.redb"] {
        while redb::ReadOnlyDatabase::open(directory.path().join(name)).is_err() {
            tokio::task::yield_now().await;
        }
    }
    let files = || {
        ["state.redb", "series.redb"]
            .map(|name| std::fs::read(directory.path().join(name)).unwrap())
    };
    let before = files();
    let data_dir = directory.path().to_str().unwrap();
    let output = run(
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir],
        "",
    );
    assert!(!output.status.success());
    let message = text(&output.stderr);
    assert!(
        message.contains("the store has format 99") && message.contains("nothing was changed"),
        "{message}"
    );
    assert!(before == files());
}

#[test]
fn a_damaged_store_is_refused_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("state.redb"), vec![7; 5000]).unwrap();
    let data_dir = directory.path().to_str().unwrap();
    let output = run(
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir],
        "",
    );
    let message = text(&output.stderr);
    assert!(
        !output.status.success() && message.contains(data_dir) && message.contains("damaged"),
        "{message}"
    );
}

#[test]
fn settings_are_explained_and_checked() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let default = run(&["config", "default"], "");
    std::fs::write(file.path(), &default.stdout).unwrap();
    let path = file.path().to_str().unwrap();
    assert!(run(&["config", "check", path], "").status.success());
    std::fs::write(file.path(), "lisen = \"x\"").unwrap();
    let wrong = run(&["config", "check", path], "");
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("no setting lisen"));
    let short = run(
        &[
            "serve",
            "--jwt-secret",
            "short",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            path,
        ],
        "",
    );
    assert!(!short.status.success());
    assert!(text(&run(&["--help"], "").stdout).contains("serve"));
}

fn certificate(directory: &Path, name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    made
}

#[tokio::test]
async fn tls_is_served_and_a_new_certificate_is_taken_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = certificate(directory.path(), "localhost");
    let (cert, key) = (
        directory.path().join("cert.pem"),
        directory.path().join("key.pem"),
    );
    let tls = [
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let process = Process::start(directory.path(), &tls).await;
    let url = format!(
        "https://localhost:{}/livez",
        process.address.rsplit(':').next().unwrap()
    );
    let trusting = |certificate: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        drop(client());
        let root = reqwest::Certificate::from_pem(certificate.cert.pem().as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([root])
            .build()
            .unwrap()
    };
    let answer = trusting(&first).get(&url).send().await.unwrap();
    assert!(
        answer.headers()["strict-transport-security"]
            .to_str()
            .unwrap()
            .starts_with("max-age")
    );
    // A broken file keeps the last good one in use.
    std::fs::write(&cert, "broken").unwrap();
    assert_eq!(
        trusting(&first).get(&url).send().await.unwrap().status(),
        200
    );
    let second = certificate(directory.path(), "localhost");
    assert_eq!(
        trusting(&second).get(&url).send().await.unwrap().status(),
        200
    );
    assert!(trusting(&first).get(&url).send().await.is_err());
}

#[test]
fn two_snapshot_files_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let sections = |openssl: &str, more: &str| {
        format!(r#"{{"packages":{{"dpkg/openssl:amd64":"{openssl}"{more}}}}}"#)
    };
    let old = file("old", &sections("3.0.9", ""));
    let check = |right: &str, expect: &str, status: i32| {
        let right = file("new", right);
        let output = run(&["diff", &old, &right], "");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expect);
        assert_eq!(output.status.code(), Some(status), "{right}");
    };
    check(&sections("3.0.9", ""), "", 0);
    let added = sections("3.0.9", r#","dpkg/vim:amd64":"9""#);
    check(&added, "+ packages/dpkg/vim:amd64 9\n", 1);
    check(
        r#"{"packages":{}}"#,
        "- packages/dpkg/openssl:amd64 3.0.9\n",
        2,
    );
    let upgraded = "~ packages/dpkg/openssl:amd64 3.0.9 → 3.0.14 (upgrade)\n";
    check(&sections("3.0.14", ""), upgraded, 4);
    // A report and what the API gives are understood as well.
    let report = format!(
        r#"{{"report_id":"x","snapshot":{{"sections":{}}}}}"#,
        sections("3.0.14", "")
    );
    check(&report, upgraded, 4);
    let both = sections("3.0.14", r#","dpkg/vim:amd64":"9""#);
    let kept = format!(r#"{{"snapshot_id":"x","sections":{both}}}"#);
    check(
        &kept,
        &format!("{upgraded}+ packages/dpkg/vim:amd64 9\n"),
        5,
    );

    // Hashes of two hosts say nothing about each other; those of one do.
    let hashed = |host: &str, tag: &str| {
        format!(r#"{{"host_id":"{host}","sections":{{"environment":{{"A":"hmac:{tag}"}}}}}}"#)
    };
    let one = file("one", &hashed("1", "aa"));
    for (host, status) in [("1", 4), ("2", 0)] {
        let other = file("other", &hashed(host, "bb"));
        assert_eq!(run(&["diff", &one, &other], "").status.code(), Some(status));
    }
    let unified = run(&["diff", &old, "-", "--format", "unified"], &both);
    let text = String::from_utf8(unified.stdout).unwrap();
    assert!(
        text.contains("-dpkg/openssl:amd64 = 3.0.9\n+dpkg/openssl:amd64 = 3.0.14\n"),
        "{text}"
    );
    let listed = run(&["diff", &old, "-", "--format", "json"], &both);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["direction"], "upgrade");

    // Whatever goes wrong is none of the bits.
    let broken = file("broken", "{");
    let other = file("list", "[1]");
    for right in [broken.as_str(), &other, "/nowhere"] {
        let output = run(&["diff", &old, right], "");
        assert_eq!(output.status.code(), Some(8), "{right}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(run(&["diff", &old], "").status.code(), Some(8));
    assert_eq!(run(&["diff", "--help"], "").status.code(), Some(0));
}
