//! What holds for every answer and every connection: problems, headers, bounds, slow clients, and the end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/disk.rs"]
mod disk;
mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use disk::{Disk, Mood};
use infra_watch::store::redb::RedbKv;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use support::{Backend, START, report};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn problem(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status);
    for field in ["type", "title", "detail"] {
        assert!(
            problem[field].as_str().is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
    }
    problem
}

async fn send(backend: &Backend, method: Method, path: &str) -> Response {
    Client::new()
        .request(method, backend.url(path))
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn everything_that_goes_wrong_is_a_problem() {
    let backend = Backend::start().await;
    let token = backend.token("admin").await;
    problem(send(&backend, Method::GET, "/api/v1/nothing").await, 404).await;
    problem(send(&backend, Method::GET, "/api/nothing").await, 404).await;
    problem(send(&backend, Method::GET, "/assets/nothing.js").await, 404).await;
    let response = send(&backend, Method::PUT, "/api/v1/users").await;
    assert_eq!(response.headers()["allow"], "GET, POST, HEAD");
    problem(response, 405).await;
    let response = send(
        &backend,
        Method::DELETE,
        "/api/v1/hosts/00000000-0000-7000-8000-000000000000/samples",
    )
    .await;
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    problem(response, 405).await;
    problem(send(&backend, Method::POST, "/livez").await, 405).await;
    problem(
        send(
            &backend,
            Method::GET,
            &format!("/api/v1/hosts?q={}", "a".repeat(5000)),
        )
        .await,
        414,
    )
    .await;
    let get = |path: &str| {
        Client::new()
            .get(backend.url(path))
            .bearer_auth(&token)
            .send()
    };
    problem(get("/api/v1/users/not-a-uuid").await.unwrap(), 404).await;
    let answer = problem(get("/api/v1/hosts?limit=0").await.unwrap(), 422).await;
    assert_eq!(answer["errors"][0]["field"], "limit");
    assert_eq!(
        answer["errors"][0]["message"],
        "must be a whole number from 1 to 1000"
    );
    problem(get("/api/v1/hosts?status=fine").await.unwrap(), 422).await;
    let long_head = Client::new()
        .get(backend.url("/livez"))
        .header("x-long", "a".repeat(20_000))
        .send()
        .await
        .unwrap();
    problem(long_head, 431).await;
}

#[tokio::test]
async fn bodies_are_strict_and_the_field_is_named() {
    let backend = Backend::start().await;
    let token = backend.token("admin").await;
    let post = |body: String| {
        let request = Client::new()
            .post(backend.url("/api/v1/users"))
            .bearer_auth(&token);
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let good = json!({ "username": "ann", "password": "correct horse", "role": "viewer" });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string()
    };
    let cases = [
        (
            with("username", json!(5)),
            422,
            "username",
            "must be a string",
        ),
        (
            with("username", json!(true)),
            422,
            "username",
            "must be a string",
        ),
        (
            with("username", json!("a b")),
            422,
            "username",
            "must match",
        ),
        (
            with("password", json!("a\u{0}bcdefgh")),
            422,
            "password",
            "control characters",
        ),
        (
            with("password", json!("short")),
            422,
            "password",
            "8 to 128",
        ),
        (with("role", json!("root")), 422, "role", "viewer"),
        (with("colour", json!("red")), 422, "colour", "not a field"),
        (
            r#"{"username":"a","username":"b","password":"correct horse","role":"viewer"}"#
                .to_owned(),
            422,
            "username",
            "twice",
        ),
        (
            r#"{"username":"ann"}"#.to_owned(),
            422,
            "password",
            "required",
        ),
        ("[]".to_owned(), 422, "", ""),
        (
            r#"["bob","correct horse","admin",false]"#.to_owned(),
            422,
            "",
            "",
        ),
        ("null".to_owned(), 422, "", ""),
        ("{".to_owned(), 400, "", ""),
        (String::new(), 400, "", ""),
        ("{} {}".to_owned(), 422, "", ""),
        (format!("{good} x"), 400, "", ""),
        ("\u{feff}{}".to_owned(), 400, "", ""),
    ];
    for (body, status, field, message) in cases {
        let answer = problem(post(body.clone()).await.unwrap(), status).await;
        if !field.is_empty() {
            assert_eq!(answer["errors"][0]["field"], field, "{body}: {answer}");
            assert!(
                answer["errors"][0]["message"]
                    .as_str()
                    .unwrap()
                    .contains(message),
                "{body}: {answer}"
            );
        }
        let text = answer.to_string();
        assert!(
            !text.contains("serde") && !text.contains("line 0"),
            "{text}"
        );
    }
    let response = Client::new()
        .post(backend.url("/api/v1/users"))
        .bearer_auth(&token)
        .body(good.to_string());
    problem(response.send().await.unwrap(), 415).await;
    assert_eq!(post(good.to_string()).await.unwrap().status(), 201);
}

#[tokio::test]
async fn reports_name_the_value_that_is_wrong() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let good =
        serde_json::to_value(report(&[(START, Some(1.0)), (START - 30, Some(2.0))])).unwrap();
    let post = |body: String| {
        let request = Client::new()
            .post(backend.url("/api/v1/agent/reports"))
            .bearer_auth(&host.token);
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let text = good.to_string();
    let cases = [
        (text.replace("2.0", "\"2.0\""), 422, "points[1].values[0]"),
        (text.replace("[2.0]", "[]"), 422, "points[1].values"),
        (text.replace("[2.0]", "[2.0,3.0]"), 422, "points[1].values"),
        (text.replace("2.0", "1e999"), 400, ""),
        (text.replace("2.0", "NaN"), 400, ""),
        (text.replace("2.0", "Infinity"), 400, ""),
        (
            text.replace(
                "{\"metric\":\"cpu_usage_percent\"}",
                "[\"cpu_usage_percent\"]",
            ),
            422,
            "series[0]",
        ),
        (
            text.replace("cpu_usage_percent", "CPU"),
            422,
            "series[0].metric",
        ),
        (
            text.replace("\"interval_seconds\":30", "\"interval_seconds\":0"),
            422,
            "interval_seconds",
        ),
        (
            text.replace(&format!("\"at\":{START}"), "\"at\":1.5"),
            422,
            "points[0].at",
        ),
        (
            text.replace("\"0.1.0\"", "\"0.1\\u00000\""),
            422,
            "agent_version",
        ),
    ];
    for (body, status, field) in cases {
        let answer = problem(post(body.clone()).await.unwrap(), status).await;
        if !field.is_empty() {
            assert_eq!(answer["errors"][0]["field"], field, "{body}");
        }
    }
    let mut newer = good.clone();
    newer["from_the_future"] = json!({ "deep": [1, 2, { "x": null }] });
    assert_eq!(
        post(newer.to_string()).await.unwrap().status(),
        202,
        "a newer agent may say more"
    );
    let mut twice = good.clone();
    twice["series"] = json!([{ "metric": "load1" }, { "metric": "load1" }]);
    twice["points"] = json!([]);
    assert_eq!(
        problem(post(twice.to_string()).await.unwrap(), 422).await["errors"][0]["field"],
        "series"
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn encoded_bodies_are_taken_and_bombs_are_not() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let post = |encoding: &'static str, body: Vec<u8>| {
        let request = Client::new()
            .post(backend.url("/api/v1/agent/reports"))
            .bearer_auth(&host.token);
        let request = request
            .header("content-type", "application/json")
            .header("content-encoding", encoding);
        async move { request.body(body).send().await.unwrap() }
    };
    let body = |at: i64| serde_json::to_vec(&report(&[(START + at, Some(1.0))])).unwrap();
    assert_eq!(post("gzip", gzip(&body(0))).await.status(), 202);
    assert_eq!(
        post("zstd", zstd::encode_all(body(1).as_slice(), 3).unwrap())
            .await
            .status(),
        202
    );
    assert_eq!(post("identity", body(2)).await.status(), 202);
    problem(post("br", body(3)).await, 415).await;
    problem(post("gzip", body(3)).await, 400).await;
    problem(post("zstd", body(3)).await, 400).await;
    problem(post("gzip", gzip(&vec![b' '; 50_000_000])).await, 413).await;
    problem(
        post(
            "zstd",
            zstd::encode_all(vec![b' '; 50_000_000].as_slice(), 3).unwrap(),
        )
        .await,
        413,
    )
    .await;
    problem(post("identity", vec![b' '; 1024 * 1024 + 1]).await, 413).await;
    // Without a length, by chunks, the bound is the same.
    let chunks =
        futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024])));
    let request = Client::new()
        .post(backend.url("/api/v1/agent/reports"))
        .bearer_auth(&host.token);
    let request = request
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(chunks));
    problem(request.send().await.unwrap(), 413).await;
    // A proxy sends all before it reads, and an answer that comes before is lost on it.
    let mut stream = TcpStream::connect(backend.address).await.unwrap();
    let head = format!(
        "POST /api/v1/agent/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
        content-type: application/json\r\ncontent-length: 3000000\r\n\r\n",
        host.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; 3_000_000]).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    // Nothing is decoded for whom has no token.
    let bomb = gzip(&vec![b' '; 50_000_000]);
    let request = Client::new()
        .post(backend.url("/api/v1/agent/reports"))
        .header("content-encoding", "gzip");
    problem(
        request
            .header("content-type", "application/json")
            .body(bomb)
            .send()
            .await
            .unwrap(),
        401,
    )
    .await;
}

#[tokio::test]
async fn answers_carry_security_headers_and_are_compressed_when_asked() {
    let backend = Backend::start().await;
    let response = send(&backend, Method::GET, "/openapi.json").await;
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"),
        "{policy}"
    );
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let etag = response.headers()["etag"].clone();
    assert_eq!(
        response.text().await.unwrap(),
        infra_watch::http::document()
    );
    let again = Client::new()
        .get(backend.url("/openapi.json"))
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
    for coding in ["gzip", "zstd", "br"] {
        let plain = Client::builder().no_gzip().build().unwrap();
        let response = plain
            .get(backend.url("/openapi.json"))
            .header("accept-encoding", coding)
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["content-encoding"], coding);
        let compressed = response.bytes().await.unwrap().len();
        assert!(compressed < infra_watch::http::document().len() / 4);
    }
    let token = backend.token("viewer").await;
    let response = Client::new()
        .get(backend.url("/api/v1/auth/me"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn probes_documents_and_swagger_answer_anyone() {
    let backend = Backend::start().await;
    assert_eq!(
        send(&backend, Method::GET, "/livez")
            .await
            .text()
            .await
            .unwrap(),
        "ok"
    );
    assert_eq!(
        send(&backend, Method::GET, "/readyz")
            .await
            .text()
            .await
            .unwrap(),
        "ready"
    );
    assert_eq!(send(&backend, Method::HEAD, "/livez").await.status(), 200);
    let swagger = send(&backend, Method::GET, "/docs").await;
    assert_eq!(swagger.url().path(), "/docs/");
    assert!(swagger.text().await.unwrap().contains("swagger-ui"));
    let script = send(&backend, Method::GET, "/docs/swagger-initializer.js")
        .await
        .text()
        .await
        .unwrap();
    assert!(script.contains("/openapi.json"), "{script}");
    problem(send(&backend, Method::GET, "/docs/nothing.js").await, 404).await;
}

#[tokio::test]
async fn columns_come_as_csv_when_asked() {
    let backend = Backend::start().await;
    let host = backend.enroll("=cmd()").await;
    let points = [
        (START - 60, Some(1.5)),
        (START, None),
        (START + 1, Some(2.0)),
    ];
    host.agent
        .submit_report()
        .body(report(&points))
        .send()
        .await
        .unwrap();
    let token = backend.token("viewer").await;
    let get = |path: String| {
        let request = Client::new()
            .get(backend.url(&path))
            .bearer_auth(&token)
            .header("accept", "text/csv");
        async move { request.send().await.unwrap() }
    };
    let range = format!(
        "metric=cpu_usage_percent&from={}&to={}",
        START - 60,
        START + 2
    );
    let samples = get(format!("/api/v1/hosts/{}/samples?{range}", host.host_id)).await;
    assert_eq!(samples.headers()["content-type"], "text/csv; charset=utf-8");
    let text = samples.text().await.unwrap();
    assert_eq!(
        text,
        format!(
            "timestamp,cpu_usage_percent\n{},1.5\n{},2\n",
            START - 60,
            START + 1
        )
    );
    let fleet = get(format!("/api/v1/trends?{range}&step=60&aggregate=max"))
        .await
        .text()
        .await
        .unwrap();
    assert!(
        fleet.starts_with(&format!(
            "timestamp,'=cmd() {} cpu_usage_percent max\n",
            host.host_id
        )),
        "no formula: {fleet}"
    );
}

#[tokio::test]
async fn queries_have_bounds_and_say_so() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let points: Vec<(i64, Option<f64>)> = (0..10_001)
        .map(|second| (START - second, Some(1.0)))
        .collect();
    host.agent
        .submit_report()
        .body(report(&points))
        .send()
        .await
        .unwrap();
    let token = backend.token("viewer").await;
    let get = |query: String| {
        let path = format!("/api/v1/hosts/{}/{query}", host.host_id);
        let request = Client::new().get(backend.url(&path)).bearer_auth(&token);
        async move { request.send().await.unwrap() }
    };
    let all = format!(
        "metric=cpu_usage_percent&from={}&to={}",
        START - 20_000,
        START + 1
    );
    let answer = problem(get(format!("samples?{all}")).await, 422).await;
    assert!(
        answer["detail"].as_str().unwrap().contains("10000 samples"),
        "{answer}"
    );
    problem(get(format!("trends?{all}&step=1")).await, 422).await;
    problem(get(format!("trends?{all}&step=0")).await, 422).await;
    problem(
        get("samples?from=5&to=4&metric=load1".to_owned()).await,
        422,
    )
    .await;
    problem(get("samples".to_owned()).await, 422).await;
    let auto: Value = get(format!("trends?{all}&step=auto&aggregate=count"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(auto["step"], 30);
    let counted: f64 = auto["series"][0]["values"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .sum();
    assert_eq!(counted, 10_001.0);
}

#[tokio::test]
async fn fleet_trends_group_and_top_lists_are_in_order() {
    let backend = Backend::start().await;
    let admin = backend.client("admin").await;
    for (name, zone, value) in [("a", "x", 10.0), ("b", "x", 30.0), ("c", "y", 20.0)] {
        let host = backend.enroll(name).await;
        let labels: infra_watch_client::types::UpdateHost =
            serde_json::from_value(json!({ "labels": { "zone": zone } })).unwrap();
        admin
            .update_host()
            .host_id(host.host_id)
            .body(labels)
            .send()
            .await
            .unwrap();
        host.agent
            .submit_report()
            .body(report(&[(START, Some(value))]))
            .send()
            .await
            .unwrap();
    }
    let token = backend.token("viewer").await;
    let get = |path: String| {
        let request = Client::new().get(backend.url(&path)).bearer_auth(&token);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let range = format!("metric=cpu_usage_percent&from={START}&to={}", START + 60);
    let columns = |answer: &Value| -> Vec<(String, f64)> {
        let series = answer["series"].as_array().unwrap().iter();
        series
            .map(|column| {
                (
                    column["group"].as_str().unwrap().to_owned(),
                    column["values"][0].as_f64().unwrap(),
                )
            })
            .collect()
    };
    let pair = |name: &str, value| (name.to_owned(), value);
    let by_zone = get(format!(
        "/api/v1/trends?{range}&step=60&group_by=label:zone"
    ))
    .await;
    assert_eq!(columns(&by_zone), [pair("x", 20.0), pair("y", 20.0)]);
    let all = get(format!(
        "/api/v1/trends?{range}&step=60&group_by=all&aggregate=sum"
    ))
    .await;
    assert_eq!(columns(&all), [pair("all", 60.0)]);
    let hosts = get(format!("/api/v1/trends?{range}&step=60&label=zone%3Dx")).await;
    assert_eq!(columns(&hosts), [pair("a", 10.0), pair("b", 30.0)]);
    let top = get(format!("/api/v1/top?{range}&limit=2")).await;
    let names: Vec<&str> = top["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["b", "c"]);
    let page = Client::new()
        .get(backend.url("/metrics"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("# TYPE infra_watch_host_cpu_usage_percent gauge"),
        "{page}"
    );
    assert!(page.contains("host=\"b\",instance=\"\"} 30"), "{page}");
}

#[tokio::test]
async fn a_broken_or_full_disk_is_503_reads_go_on_and_it_recovers_by_itself() {
    let (state, series) = (Disk::default(), Disk::default());
    let kv = RedbKv::with_openers(state.opener(), series.opener()).unwrap();
    let backend = Backend::start_over(Arc::new(kv)).await;
    let host = backend.enroll("web-1").await;
    let post = |at: i64| {
        let request = Client::new()
            .post(backend.url("/api/v1/agent/reports"))
            .bearer_auth(&host.token);
        let request = request.json(&report(&[(at, Some(1.0))]));
        async move { request.send().await.unwrap() }
    };
    assert_eq!(post(START).await.status(), 202);
    series.set(Mood::Broken);
    problem(post(START + 1).await, 503).await;
    series.set(Mood::Works);
    assert_eq!(post(START - 1).await.status(), 202);
    series.set(Mood::Full);
    let refused = post(START + 1).await;
    assert_eq!(refused.headers()["retry-after"], "2");
    assert_eq!(
        problem(refused, 503).await["type"],
        "urn:infra-watch:storage-full"
    );
    let viewer = backend.client("viewer").await;
    let samples = viewer
        .get_samples()
        .host_id(host.host_id)
        .metric(vec!["cpu_usage_percent".to_owned()]);
    assert_eq!(
        samples.send().await.unwrap().into_inner().timestamps,
        [START - 1, START],
        "reads go on, and nothing unkept shows"
    );
    series.set(Mood::Works);
    let outcome: Value = post(START + 1).await.json().await.unwrap();
    assert_eq!(outcome["accepted"], 1, "what was refused was not kept");
}

#[tokio::test]
async fn strangers_are_bounded_and_slow_heads_are_cut() {
    let backend = Backend::start().await;
    let started = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(backend.address).await.unwrap();
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n")
            .await
            .unwrap();
        silent.push(stream);
    }
    // One more is closed at once, without an answer.
    let mut buffer = Vec::new();
    let mut over = TcpStream::connect(backend.address).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(5), over.read_to_end(&mut buffer))
        .await
        .unwrap();
    assert!(read.is_err() || buffer.is_empty());
    // The silent ones are closed when their heads do not arrive.
    for mut stream in silent {
        let mut answer = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "still open after {:?}", started.elapsed());
    }
    assert_eq!(send(&backend, Method::GET, "/livez").await.status(), 200);
}

#[tokio::test]
async fn a_dripping_body_is_cut_with_408() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let mut stream = TcpStream::connect(backend.address).await.unwrap();
    let head = format!(
        "POST /api/v1/agent/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{",
        host.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(25), stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
}

#[tokio::test]
async fn the_end_waits_for_no_one_longer_than_it_must() {
    let backend = Backend::start().await;
    let address = backend.address;
    // A connection that is open and idle does not hold the end up.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let started = Instant::now();
    backend.stop().await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(TcpStream::connect(address).await.is_err());
}
