//! The endpoint of the real binary, as readers of all kinds meet it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may end")]

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use flate2::read::GzDecoder;
use infra_watch_client::types::{Problem, Report};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval};

const TOKEN: &str = "a-token-of-more-than-16-characters";
/// Connections that the endpoint keeps.
const CONNECTIONS: usize = 32;
/// Longest wait for anything, in seconds: it is reached only when a test fails.
const PATIENCE_SECONDS: u64 = 120;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks again and again until there is an answer.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(PATIENCE_SECONDS);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "still not: {what}");
    }
}

/// An agent with an endpoint on a free port, ended with the test.
struct Agent {
    child: Child,
    directory: tempfile::TempDir,
    address: SocketAddr,
    client: Client,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that ended already cannot be killed; waiting frees its entry all the same.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn client() -> reqwest::ClientBuilder {
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().no_gzip().tls_certs_only([])
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infra-watch-agent"));
    command.env_clear();
    command
}

fn write_token(directory: &Path, token: &str) -> PathBuf {
    let path = directory.join("reader-token");
    fs::write(&path, format!("{token}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Agent {
    /// `serve`, which measures every second.
    async fn serve(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start(directory, &["serve"], flags).await
    }

    async fn start(directory: tempfile::TempDir, command: &[&str], flags: &[&str]) -> Self {
        let token_file = write_token(directory.path(), TOKEN);
        let log = directory.path().join("log");
        let mut child = binary()
            .args(command)
            .args(["--listen", "127.0.0.1:0", "--interval", "1s"])
            .args(["--log-format", "json", "--state-dir"])
            .arg(directory.path().join("state"))
            .arg("--token-file")
            .arg(token_file)
            .args(flags)
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = until("the endpoint listens", async || {
            let text = fs::read_to_string(&log).unwrap();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the agent ended:\n{text}");
            address_in(&text)
        })
        .await;
        Self {
            child,
            directory,
            address,
            client: client().build().unwrap(),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// A request without a token.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.ask(Method::GET, path).bearer_auth(TOKEN);
        request.send().await.unwrap()
    }

    async fn report(&self, query: &str) -> Report {
        let answer = self.get(&format!("/report{query}")).await;
        assert_eq!(answer.status(), 200, "{query}");
        answer.json().await.unwrap()
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// How it ends.
    async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the agent ends", async || child.try_wait().unwrap()).await
    }
}

#[tokio::test]
async fn health_is_that_of_the_state_directory() {
    let mut agent = Agent::serve(&[]).await;
    let state_dir = agent.directory.path().join("state");
    let health = || {
        let asked = binary()
            .args(["health", "--state-dir"])
            .arg(&state_dir)
            .output();
        asked.unwrap()
    };
    until("the agent has measured", async || {
        health().status.success().then_some(())
    })
    .await;
    let alive = state_dir.join("alive");
    let measured_at = || fs::metadata(&alive).unwrap().modified().unwrap();
    let before = measured_at();
    until("the next measurement", async || {
        (measured_at() > before).then_some(())
    })
    .await;
    agent.signal(Signal::TERM);
    agent.ended().await;
    let long_ago = measured_at() - Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(&alive)
        .and_then(|file| file.set_modified(long_ago))
        .unwrap();
    let said = health();
    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8(said.stderr).unwrap();
    assert!(text.contains("last measured 36"), "{text}");
}

/// Where the endpoint listens, by what the agent says of it.
fn address_in(log: &str) -> Option<SocketAddr> {
    let mut lines = log.lines();
    lines.find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["address"].as_str()?.parse().ok()
    })
}

fn times(report: &Report) -> Vec<i64> {
    report.points.iter().map(|point| point.at).collect()
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    text(answer.headers(), name)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// A problem with this status, in the form of the backend's.
async fn check_problem(request: RequestBuilder, status: u16, expect: &str) -> HeaderMap {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), status, "{expect}");
    assert_eq!(
        header(&answer, "content-type"),
        Some("application/problem+json")
    );
    check_headers(&answer);
    let headers = answer.headers().clone();
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(
        (problem.status, problem.type_.as_str()),
        (status, "about:blank")
    );
    assert!(problem.detail.contains(expect), "{}", problem.detail);
    assert!(!problem.title.is_empty());
    headers
}

fn check_headers(answer: &Response) {
    assert_eq!(header(answer, "cache-control"), Some("no-store"));
    assert_eq!(header(answer, "x-content-type-options"), Some("nosniff"));
    let cors = |name: &&reqwest::header::HeaderName| name.as_str().starts_with("access-control");
    assert_eq!(answer.headers().keys().find(cors), None);
}

#[tokio::test]
async fn only_who_has_the_token_reads() {
    let agent = Agent::serve(&[]).await;
    let report = || agent.ask(Method::GET, "/report");
    let answer = agent.get("/report").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    check_headers(&answer);

    let wrong = "another-token-of-16-characters";
    for request in [
        report(),
        report().bearer_auth(wrong),
        report().bearer_auth(&TOKEN[1..]),
        report().bearer_auth(format!("{TOKEN}x")),
        report().bearer_auth(""),
        report().basic_auth(TOKEN, Some(TOKEN)),
        agent.ask(Method::GET, &format!("/report?token={TOKEN}")),
        // Before the token nothing else is looked at.
        agent.ask(Method::GET, "/report?since=x"),
    ] {
        let headers = check_problem(request, 401, "a valid bearer token is needed").await;
        assert_eq!(text(&headers, "www-authenticate"), Some("Bearer"));
    }

    // A new token in the file is the token from the next request on.
    write_token(agent.directory.path(), wrong);
    assert_eq!(
        report().bearer_auth(wrong).send().await.unwrap().status(),
        200
    );
    check_problem(report().bearer_auth(TOKEN), 401, "token").await;
    assert!(!agent.log().contains(TOKEN) && !agent.log().contains(wrong));
}

#[tokio::test]
async fn what_cannot_be_asked() {
    let agent = Agent::serve(&["--allowed-hosts", "agent.internal"]).await;
    let get = |path: &str| agent.ask(Method::GET, path).bearer_auth(TOKEN);
    for path in [
        "/", "/reports", "/report/", "/livez/x", "/metrics", "//report",
    ] {
        check_problem(get(path), 404, "/report and /livez").await;
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        for path in ["/report", "/livez"] {
            let request = agent.ask(method.clone(), path).bearer_auth(TOKEN);
            let headers = check_problem(request.body("x"), 405, "read only").await;
            assert_eq!(text(&headers, "allow"), Some("GET, HEAD"));
        }
    }
    let hash = "0".repeat(64);
    for (query, expect) in [
        ("since=yesterday", "whole Unix seconds"),
        ("since=", "whole Unix seconds"),
        ("since=-5", "whole Unix seconds"),
        ("since=1.5", "whole Unix seconds"),
        ("known_snapshot=abc", "64 hexadecimal digits"),
        ("until=5", "since and known_snapshot"),
        ("since=5&since=6", "once"),
        (
            &format!("known_snapshot={hash}&known_snapshot={hash}"),
            "once",
        ),
    ] {
        check_problem(get(&format!("/report?{query}")), 400, expect).await;
    }

    for name in [
        "evil.example",
        "evil.example:7421",
        "localhost.evil.example",
        "10.255.255.1",
    ] {
        for path in ["/report", "/livez", "/nowhere"] {
            check_problem(get(path).header("host", name), 421, "--allowed-hosts").await;
        }
    }
    for name in [
        "agent.internal",
        "AGENT.internal:1",
        "localhost:9",
        "[::1]",
        "127.0.0.1",
    ] {
        let answer = get("/report").header("host", name).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
    }
}

#[tokio::test]
async fn signs_of_life_need_no_token() {
    let agent = Agent::serve(&[]).await;
    let answer = agent.ask(Method::GET, "/livez").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    check_headers(&answer);
    assert_eq!(answer.text().await.unwrap(), "live");

    let check = async |path: &str, expect: u16| {
        let request = agent.ask(Method::HEAD, path).bearer_auth(TOKEN);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), expect, "{path}");
        let length: usize = header(&answer, "content-length").unwrap().parse().unwrap();
        assert!(length > 0 && answer.bytes().await.unwrap().is_empty());
    };
    check("/livez", 200).await;
    check("/report", 200).await;
    check("/report?since=x", 400).await;
}

#[tokio::test]
async fn reading_takes_nothing_away() {
    let agent = Agent::serve(&[]).await;
    // One reader follows.
    let mut read = Vec::new();
    until("five points were measured", async || {
        let since = read.last().copied().unwrap_or_default();
        let report = agent.report(&format!("?since={since}")).await;
        read.extend(times(&report));
        (read.len() >= 5).then_some(())
    })
    .await;
    assert!(read.is_sorted_by(|one, next| one < next), "{read:?}");

    // Another one comes later, and asks twice because an answer was lost.
    for _ in 0..2 {
        let all = times(&agent.report("?since=0").await);
        assert_eq!(all[..read.len()], read);
    }
    let after = times(&agent.report(&format!("?since={}", read[2])).await);
    assert_eq!(after[..2], read[3..5]);
    // Who does not say what it has is given the newest.
    let newest = times(&agent.report("").await);
    assert!(newest.len() == 1 && newest[0] >= read[4]);
    // A moment that cannot have been measured is none.
    assert_eq!(agent.report("?since=9999999999").await.points.len(), 1);

    let report = agent.report("").await;
    assert_eq!(report.interval_seconds.get(), 1);
    let identity = fs::read_to_string(agent.directory.path().join("state/install-id")).unwrap();
    let host = report.host.unwrap();
    assert_eq!(host.install_id.unwrap().to_string(), identity.trim());
    assert!(!host.hostname.is_empty() && report.series.len() > 5);
}

#[tokio::test]
async fn the_snapshot_is_told_once() {
    let agent = Agent::serve(&["--files", "/etc/passwd"]).await;
    let first = until("a snapshot was taken", async || {
        let report = agent.report("").await;
        // Before there is one, nothing is said of it.
        assert_eq!(report.snapshot.is_some(), report.snapshot_hash.is_some());
        report.snapshot_hash.clone().map(|hash| (hash, report))
    })
    .await;
    let (hash, report) = first;
    let snapshot = report.snapshot.unwrap();
    assert!(snapshot.sections["files"].contains_key("/etc/passwd"));

    let known = agent.report(&format!("?known_snapshot={hash}")).await;
    assert_eq!(known.snapshot_hash.as_ref(), Some(&hash));
    assert!(known.snapshot.is_none());
    let other = agent
        .report(&format!("?since=0&known_snapshot={}", "0".repeat(64)))
        .await;
    assert_eq!(other.snapshot_hash.as_ref(), Some(&hash));
    assert_eq!(
        other.snapshot.unwrap().sections.len(),
        snapshot.sections.len()
    );

    // It is long by now, so it is compressed for who takes that.
    let check = async |encoding: &str, expect: Option<&str>| {
        let request = agent.ask(Method::GET, "/report").bearer_auth(TOKEN);
        let answer = request.header("accept-encoding", encoding).send().await;
        let answer = answer.unwrap();
        assert_eq!(header(&answer, "content-encoding"), expect, "{encoding}");
        let body = answer.bytes().await.unwrap();
        let mut json = Vec::new();
        match expect {
            Some(_) => io::copy(&mut GzDecoder::new(&*body), &mut json),
            None => io::copy(&mut &*body, &mut json),
        }
        .unwrap();
        let report: Report = serde_json::from_slice(&json).unwrap();
        assert_eq!(report.snapshot_hash.as_ref(), Some(&hash));
    };
    check("gzip, br", Some("gzip")).await;
    check("br", None).await;
    check("gzip;q=0", None).await;
}

/// What comes on a connection until it is closed; a reset is an end too.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    String::from_utf8(bytes).unwrap()
}

/// Reads on this connection, which stays open for who shows the token. None if it was closed.
async fn reads(stream: &mut TcpStream) -> Option<()> {
    let request = format!(
        "HEAD /report HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

#[tokio::test]
async fn who_drips_is_cut_and_stops_nobody() {
    let agent = Agent::serve(&[]).await;
    let mut silent = TcpStream::connect(agent.address).await.unwrap();
    // This one may take its time with a second request, but not in the middle of it.
    let mut slow = TcpStream::connect(agent.address).await.unwrap();
    reads(&mut slow).await.unwrap();
    let (mut answers, mut drops) = slow.into_split();
    let dripping = tokio::spawn(async move {
        let mut ticks = interval(LOOK);
        for byte in b"GET /report HTTP/1.1\r\nHost: localhost\r\nX: "
            .iter()
            .chain(std::iter::repeat(&b'x'))
        {
            ticks.tick().await;
            if drops.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    let cut = async {
        let mut answer = Vec::new();
        drop(answers.read_to_end(&mut answer).await);
        (answer, read_to_end(&mut silent).await)
    };
    let mut cut = std::pin::pin!(cut);
    let mut ticks = interval(LOOK);
    let said = loop {
        tokio::select! {
            said = &mut cut => break said,
            _ = ticks.tick() => assert_eq!(agent.get("/report").await.status(), 200),
        }
    };
    assert_eq!(said, (Vec::new(), String::new()));
    dripping.abort();
}

#[tokio::test]
async fn connections_are_bounded() {
    let agent = Agent::serve(&[]).await;
    let mut kept = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(agent.address).await.unwrap();
        // Twice: a connection is kept for the next request.
        reads(&mut stream).await.unwrap();
        reads(&mut stream).await.unwrap();
        kept.push(stream);
    }
    let mut one_more = TcpStream::connect(agent.address).await.unwrap();
    assert_eq!(reads(&mut one_more).await, None);
    kept.pop();
    until("a place is free again", async || {
        let mut stream = TcpStream::connect(agent.address).await.ok()?;
        reads(&mut stream).await
    })
    .await;
    for stream in &mut kept {
        reads(stream).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let agent = Agent::serve(&[]).await;
    let mut stream = TcpStream::connect(agent.address).await.unwrap();
    let head = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(64 << 10)
    );
    // It may be cut before all of it is sent.
    drop(stream.write_all(head.as_bytes()).await);
    assert!(!read_to_end(&mut stream).await.contains("200 OK"));
    assert_eq!(agent.get("/report").await.status(), 200);
}

fn certificate(directory: &Path) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

#[tokio::test]
async fn over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let first = certificate(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let agent = Agent::serve(&[
        "--tls-cert",
        &path("cert.pem"),
        "--tls-key",
        &path("key.pem"),
    ])
    .await;
    let read = async |certificate: &Certificate| {
        let client = client().tls_certs_only([certificate.clone()]);
        let url = format!("https://localhost:{}/report", agent.address.port());
        let client = client.resolve("localhost", agent.address).build().unwrap();
        let answer = client.get(url).bearer_auth(TOKEN).send().await.ok()?;
        Some(answer.status().as_u16())
    };
    assert_eq!(read(&first).await, Some(200));
    // Without TLS there is nothing.
    assert!(agent.ask(Method::GET, "/livez").send().await.is_err());
    // A new certificate is taken without a restart. Its two files are not written at once, so it may take a moment.
    let second = certificate(directory.path());
    until("the new certificate is shown", async || {
        (read(&second).await == Some(200)).then_some(())
    })
    .await;
    assert_eq!(read(&first).await, None);
}

#[tokio::test]
async fn told_to_end_it_ends() {
    let mut agent = Agent::serve(&[]).await;
    let mut idle = TcpStream::connect(agent.address).await.unwrap();
    reads(&mut idle).await.unwrap();
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended().await.code(), Some(0), "{}", agent.log());
    assert_eq!(read_to_end(&mut idle).await, "");
}

#[tokio::test]
async fn beside_what_is_pushed() {
    // Nobody is there: what cannot be pushed is read all the same.
    let directory = tempfile::tempdir().unwrap();
    let command = [
        "run",
        "--server",
        "http://127.0.0.1:9",
        "--enrollment-key",
        "a-key-for-tests",
    ];
    let mut agent = Agent::start(directory, &command, &[]).await;
    let read = until("points and a snapshot were seen", async || {
        let report = agent.report("?since=0").await;
        (report.points.len() >= 3 && report.snapshot.is_some()).then_some(report)
    })
    .await;
    assert!(times(&read).is_sorted());
    until("what cannot be sent is kept", async || {
        let spool = fs::read_dir(agent.directory.path().join("state/spool"));
        let is_kept = spool.is_ok_and(|mut spool| spool.next().is_some());
        is_kept.then_some(())
    })
    .await;
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended().await.code(), Some(0), "{}", agent.log());
}

#[test]
fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let token = write_token(directory.path(), TOKEN);
    let token = token.to_str().unwrap();
    let short = directory.path().join("short");
    fs::write(&short, "0123456789abcde").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let check = |arguments: &[&str], expect: &str| {
        let output = binary()
            .args(arguments)
            .arg("--state-dir")
            .arg(directory.path().join("state"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(expect),
            "{arguments:?}: {said}"
        );
    };
    check(&["serve"], "--token-file is missing");
    check(
        &["serve", "--token-file", "/nowhere"],
        "cannot read the token file /nowhere",
    );
    check(
        &["serve", "--token-file", short.to_str().unwrap()],
        "at least 16 visible characters",
    );
    check(
        &["serve", "--token-file", token, "--tls-cert", "/c"],
        "go together",
    );
    check(
        &[
            "serve",
            "--token-file",
            token,
            "--tls-cert",
            token,
            "--tls-key",
            token,
        ],
        "holds no certificate in PEM",
    );
    check(
        &["serve", "--token-file", token, "--listen", &taken],
        &format!("cannot listen on {taken}"),
    );
    check(&["serve", "--listen", "7421"], "--listen");
    check(&["serve", "--server", "http://127.0.0.1:9"], "run sends");
    check(
        &[
            "run",
            "--server",
            "http://127.0.0.1:9",
            "--listen",
            "127.0.0.1:0",
        ],
        "--token-file is missing",
    );
}
