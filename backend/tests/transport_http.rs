//! Polls over HTTP: what a good endpoint gives, and what is said of each bad one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/endpoint.rs"]
mod endpoint;

use std::io::Write as _;
use std::time::Duration;

use endpoint::{Answer, Endpoint, TOKEN, answer, head, json_answer, report};
use flate2::Compression;
use flate2::write::GzEncoder;
use infra_watch::domain::collection::{Failure, HttpTarget, Step, Target, Want};
use infra_watch::domain::egress::EgressRules;
use infra_watch::domain::report::Report;
use infra_watch::domain::snapshot::hex;
use infra_watch::transport::{TransportSettings, Transports, Visit, read};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Long enough for what is good, on a machine under load.
const PATIENT: Duration = Duration::from_secs(60);
/// Short enough for what never ends.
const IMPATIENT: Duration = Duration::from_secs(1);

fn transports(patience: Duration) -> Transports {
    transports_with(patience, true)
}

fn transports_with(patience: Duration, allow_private: bool) -> Transports {
    let egress = EgressRules {
        allow: Vec::new(),
        allow_private,
    };
    Transports::new(TransportSettings {
        egress,
        patience: Some(patience),
        ..TransportSettings::default()
    })
    .unwrap()
}

fn target(url: &str) -> HttpTarget {
    HttpTarget {
        url: url.to_owned(),
        token: TOKEN.to_owned(),
        certificate_fingerprint: None,
    }
}

async fn fetch(
    transports: &Transports,
    target: HttpTarget,
    visit: &mut Visit,
) -> Result<Report, Failure> {
    let target = Target::Http(target);
    let bytes = transports
        .fetch(Uuid::nil(), &target, &Want::default(), visit)
        .await?;
    read(&bytes)
}

/// Fetches from an endpoint that answers so, and checks where and how that fails.
async fn check(answer: Answer, step: Step, expect: &str) {
    check_within(PATIENT, answer, step, expect).await;
}

async fn check_within(patience: Duration, answer: Answer, step: Step, expect: &str) {
    let endpoint = Endpoint::start(answer).await;
    let target = target(&endpoint.url());
    let failure = fetch(&transports(patience), target, &mut Visit::new(true)).await;
    is_failure(failure, step, expect);
}

fn is_failure(outcome: Result<Report, Failure>, step: Step, expect: &str) {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.step, step, "{failure:?}");
    assert!(failure.reason.contains(expect), "{failure:?}");
    assert!(!failure.reason.contains(TOKEN), "{failure:?}");
    assert!(!failure.reason.ends_with('.'), "{failure:?}");
}

fn good() -> Answer {
    json_answer(report().to_string().as_bytes())
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn gzip_answer(body: &[u8]) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    answer(200, &headers, body)
}

#[tokio::test]
async fn a_good_endpoint_gives_its_report() {
    let endpoint = Endpoint::start(good()).await;
    let transports = transports(PATIENT);
    let target = Target::Http(target(&endpoint.url()));
    let want = Want {
        since: Some(1_800_000_000),
        known_snapshot: Some("ab".repeat(32)),
    };
    let mut visit = Visit::new(true);
    let bytes = transports
        .fetch(Uuid::nil(), &target, &want, &mut visit)
        .await
        .unwrap();
    assert_eq!(read(&bytes).unwrap().points.len(), 1);

    let request = endpoint.seen().requests.remove(0);
    let known = "ab".repeat(32);
    let line = format!("GET /report?since=1800000000&known_snapshot={known} HTTP/1.1\r\n");
    assert!(request.starts_with(&line), "{request}");
    for header in [
        format!("authorization: Bearer {TOKEN}\r\n"),
        format!("host: {}\r\n", endpoint.address),
        "accept-encoding: gzip\r\n".to_owned(),
    ] {
        assert!(request.contains(&header), "{request}");
    }
    let steps: Vec<Step> = visit.passed.iter().map(|passed| passed.step).collect();
    assert_eq!(steps, Step::ALL[..5]);
    let details: Vec<&str> = visit
        .passed
        .iter()
        .map(|passed| passed.detail.as_str())
        .collect();
    let address = endpoint.address.to_string();
    assert_eq!(details[..3], ["127.0.0.1", &address, "not encrypted"]);
}

#[tokio::test]
async fn a_connection_is_used_again_when_it_may_be() {
    let endpoint = Endpoint::start(good()).await;
    let transports = transports(PATIENT);
    for (may_reuse, connections) in [(true, 1), (true, 1), (false, 2), (false, 3), (true, 3)] {
        let mut visit = Visit::new(may_reuse);
        fetch(&transports, target(&endpoint.url()), &mut visit)
            .await
            .unwrap();
        assert_eq!(endpoint.seen().connections, connections);
    }
}

#[tokio::test]
async fn an_answer_may_be_compressed() {
    let body = gzip(report().to_string().as_bytes());
    let endpoint = Endpoint::start(gzip_answer(&body)).await;
    let target = target(&endpoint.url());
    fetch(&transports(PATIENT), target, &mut Visit::new(true))
        .await
        .unwrap();
    let check = async |body: &[u8], expect| check(gzip_answer(body), Step::Agent, expect).await;
    check(&body[..body.len() - 9], "no whole gzip").await;
    check(b"{}", "no whole gzip").await;
    check(b"", "no whole gzip").await;
    check(&gzip(&vec![b' '; 200_000_000]), "more than 8 MiB came").await;
    let twice = gzip(&gzip(&vec![b' '; 100_000_000]));
    let failure = fetch_from(gzip_answer(&twice)).await;
    is_failure(failure, Step::Report, "no valid report");
}

async fn fetch_from(answer: Answer) -> Result<Report, Failure> {
    let endpoint = Endpoint::start(answer).await;
    let target = target(&endpoint.url());
    fetch(&transports(PATIENT), target, &mut Visit::new(true)).await
}

#[tokio::test]
async fn a_status_is_put_into_words() {
    let check = async |status, step, expect: &str| {
        let said = answer(status, &[("content-type", "application/json")], b"{}");
        check(said, step, expect).await;
    };
    let (token, agent) = (Step::Authenticate, Step::Agent);
    check(401, token, "the endpoint refuses the token: 401").await;
    check(403, token, "the endpoint refuses the token: 403").await;
    check(404, agent, "answered 404: is the URL whole, with /report?").await;
    check(421, agent, "its --allowed-hosts must name it").await;
    check(500, agent, "answered 500").await;
    check(503, agent, "answered 503").await;
    check(204, agent, "answered 204").await;
    let location = [("location", "http://169.254.169.254/")];
    let moved = answer(302, &location, b"");
    self::check(moved, agent, "answered 302: redirects are not followed").await;
}

#[tokio::test]
async fn what_is_no_report_is_refused() {
    let kind = |kind| answer(200, &[("content-type", kind)], b"{}");
    let agent = Step::Agent;
    check(kind("text/html"), agent, "no application/json").await;
    check(answer(200, &[], b"{}"), agent, "no application/json").await;
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "br"),
    ];
    check(
        answer(200, &headers, b"{}"),
        agent,
        "otherwise than with gzip",
    )
    .await;
    check(json_answer(b""), agent, "nothing came").await;
    check(json_answer(b"{"), Step::Report, "no valid report").await;
    check(json_answer(b"{}"), Step::Report, "no valid report").await;
    let mut twisted = report();
    twisted["points"][0]["values"] = serde_json::json!([1, 2]);
    let twisted = json_answer(twisted.to_string().as_bytes());
    check(twisted, Step::Report, "no valid report").await;
    let broken = head(200, &[("content-type", "application/json")], 5) + "{";
    check_within(
        IMPATIENT,
        Answer::Bytes(broken.into()),
        agent,
        "took more than 1 s",
    )
    .await;
    let not_http = Answer::Bytes(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec());
    check(not_http, agent, "gave no answer in HTTP").await;
}

#[tokio::test]
async fn what_never_ends_is_left() {
    let check = async |answer, expect| {
        check_within(IMPATIENT, answer, Step::Agent, expect).await;
    };
    let json = [("content-type", "application/json")];
    let late = "waiting for the answer of the endpoint took more than 1 s";
    check(Answer::ThenDrip(b"HTTP/1.1 200 ".to_vec()), late).await;
    check(Answer::ThenDrip(b"HTTP/1.1 200 OK\r\nx: ".to_vec()), late).await;
    let long = head(200, &json, 1_000_000).into_bytes();
    check(
        Answer::ThenDrip(long),
        "reading the answer of the endpoint took more than 1 s",
    )
    .await;
}

#[tokio::test]
async fn what_is_too_large_is_left() {
    let json = [("content-type", "application/json")];
    let flood = head(200, &json, 100_000_000).into_bytes();
    check(
        Answer::ThenFlood(flood),
        Step::Agent,
        "more than 8 MiB came",
    )
    .await;
    // A head of 100 MB.
    let flood = Answer::ThenFlood(b"HTTP/1.1 200 OK\r\nx: ".to_vec());
    check(flood, Step::Agent, "gave no answer in HTTP").await;
}

#[tokio::test]
async fn a_certificate_is_believed_by_its_fingerprint() {
    let endpoint = Endpoint::start_tls(good()).await;
    let fingerprint = hex(&Sha256::digest(endpoint.certificate_der.as_ref().unwrap()));
    let transports = transports(PATIENT);
    let with = |pin: Option<&str>| HttpTarget {
        certificate_fingerprint: pin.map(str::to_owned),
        ..target(&endpoint.url())
    };
    let mut visit = Visit::new(true);
    let refused = fetch(&transports, with(None), &mut visit).await;
    is_failure(refused, Step::HostKey, "TLS with 127.0.0.1");
    assert!(visit.passed.is_empty());

    for (may_reuse, connections) in [(true, 2), (true, 2), (false, 3)] {
        let mut visit = Visit::new(may_reuse);
        fetch(&transports, with(Some(&fingerprint)), &mut visit)
            .await
            .unwrap();
        assert!(visit.passed[2].detail.contains(&fingerprint));
        assert_eq!(endpoint.seen().connections, connections);
    }

    let other = "0".repeat(64);
    let refused = fetch(&transports, with(Some(&other)), &mut visit).await;
    let failure = refused.clone().unwrap_err();
    assert!(failure.is_changed_host_key());
    let offered = failure.host_key.clone().unwrap();
    assert_eq!(offered.algorithm, "certificate");
    assert_eq!(
        (offered.fingerprint, offered.known),
        (fingerprint.clone(), Some(other.clone()))
    );
    is_failure(refused.clone(), Step::HostKey, &fingerprint);
    is_failure(refused, Step::HostKey, &other);
    // Nobody who showed another certificate heard the token.
    assert_eq!(endpoint.seen().requests.len(), 3);
}

#[tokio::test]
async fn tls_is_spoken_with_those_who_speak_it() {
    let plain = Endpoint::start(good()).await;
    let url = plain.url().replace("http:", "https:");
    let failure = fetch(&transports(PATIENT), target(&url), &mut Visit::new(true)).await;
    is_failure(failure, Step::HostKey, "TLS with 127.0.0.1");
    let encrypted = Endpoint::start_tls(good()).await;
    let url = encrypted.url().replace("https:", "http:");
    let failure = fetch(&transports(PATIENT), target(&url), &mut Visit::new(true)).await;
    is_failure(failure, Step::Agent, "gave no answer in HTTP");
}

#[tokio::test]
async fn only_what_is_permitted_is_dialled() {
    let check = async |allow_private, url: &str, expect: &str| {
        let transports = transports_with(PATIENT, allow_private);
        let failure = fetch(&transports, target(url), &mut Visit::new(true)).await;
        is_failure(failure, Step::Resolve, expect);
    };
    let endpoint = Endpoint::start(good()).await;
    let port = endpoint.address.port();
    let lab = "is loopback: it needs --allow-private-egress";
    check(false, &endpoint.url(), lab).await;
    check(false, &format!("http://localhost:{port}/report"), lab).await;
    check(false, &format!("http://0x7f.1:{port}/report"), lab).await;
    let never = "link-local or a metadata service";
    check(true, "http://169.254.169.254/report", never).await;
    check(true, "http://[fe80::1]/report", never).await;
    check(
        true,
        "http://[::ffff:127.0.0.1]/report",
        "a translated form",
    )
    .await;
    check(
        true,
        "http://nobody.invalid/report",
        "the name nobody.invalid cannot be resolved",
    )
    .await;
    check(true, "nonsense", "the URL must be a URL such as").await;
    assert_eq!(endpoint.seen().connections, 0);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/report");
    let failure = fetch(&transports(PATIENT), target(&url), &mut Visit::new(true)).await;
    let expect = format!("the connection to {address} was refused");
    is_failure(failure, Step::Connect, &expect);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_left() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("https://{address}/report");
    let failure = fetch(&transports(IMPATIENT), target(&url), &mut Visit::new(true)).await;
    let expect = format!("connecting to {address} took more than 0.5 s");
    is_failure(failure, Step::Connect, &expect);
}

#[tokio::test]
async fn who_is_dropped_hangs_up() {
    let mut endpoint = Endpoint::start(Answer::ThenDrip(b"HTTP/1.1 200 OK\r\n".to_vec())).await;
    let transports = transports(PATIENT);
    let target = target(&endpoint.url());
    let mut visit = Visit::new(true);
    tokio::select! {
        outcome = fetch(&transports, target, &mut visit) => panic!("{outcome:?}"),
        _ = endpoint.until(|seen| seen.requests.len() == 1) => {}
    }
    endpoint.until(|seen| seen.ended == 1).await;
}
