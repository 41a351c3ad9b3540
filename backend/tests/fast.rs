//! The short way of ordinary reports against the long one: the same answer to the same body, and the same is stored.
//!
//! A body that names its encoding, even `identity`, goes the long way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "support/random.rs"]
mod random;

use random::Random;
use reqwest::{Client, Response, header};
use serde_json::{Value, json};
use support::{Backend, Host, START};

struct Pair {
    backend: Backend,
    client: Client,
    short: Host,
    long: Host,
}

async fn read(response: Response) -> (u16, Option<String>, Value) {
    let status = response.status().as_u16();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
    let bytes = response.bytes().await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}"));
    (status, kind, body)
}

impl Pair {
    async fn start() -> Self {
        let backend = Backend::start().await;
        Self {
            short: backend.enroll("web-1").await,
            long: backend.enroll("web-1").await,
            client: Client::new(),
            backend,
        }
    }

    fn short_ways(&self) -> u64 {
        self.backend.app.metrics.reports_short.get()
    }

    /// Sends a body both ways and returns the status that both gave.
    async fn check(&self, body: &[u8]) -> u16 {
        let url = self.backend.url("/api/v1/agent/reports");
        let send = |host: &Host, is_long: bool| {
            let request = self
                .client
                .post(&url)
                .bearer_auth(&host.token)
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_vec());
            if is_long {
                request.header(header::CONTENT_ENCODING, "identity").send()
            } else {
                request.send()
            }
        };
        let short = read(send(&self.short, false).await.unwrap()).await;
        let long = read(send(&self.long, true).await.unwrap()).await;
        assert!(
            short == long,
            "{}\n short: {short:?}\n long:  {long:?}",
            String::from_utf8_lossy(body)
        );
        short.0
    }

    /// What is stored of both is the same.
    async fn compare(&self) {
        let viewer = self.backend.client("viewer").await;
        let mut stored = Vec::new();
        for host in [&self.short, &self.long] {
            let series = viewer.list_series().host_id(host.host_id).limit(1000);
            let series = series.send().await.unwrap().into_inner();
            let mut names: Vec<String> = series
                .items
                .iter()
                .map(|item| item.metric.clone())
                .collect();
            names.sort();
            names.dedup();
            let mut of_host = vec![serde_json::to_value(&series.items).unwrap()];
            for name in names {
                let samples = viewer
                    .get_samples()
                    .host_id(host.host_id)
                    .metric(vec![name]);
                let samples = samples.from("0").to("9999999999").send().await.unwrap();
                let samples = samples.into_inner();
                let columns = samples
                    .series
                    .iter()
                    .map(|series| json!([series.metric, series.instance, series.values]));
                of_host.push(json!([samples.timestamps, columns.collect::<Vec<_>>()]));
            }
            stored.push(of_host);
        }
        assert_eq!(stored[0], stored[1]);
        assert!(stored[0].len() > 1, "nothing was stored");
    }
}

fn ordinary(at: i64) -> Value {
    json!({
        "report_id": "0193570c-0d1f-7000-8000-000000000001", "agent_version": "0.1.0",
        "sent_at": "2027-01-15T08:00:00Z", "interval_seconds": 30, "snapshot_interval_seconds": 3600,
        "series": [
            { "metric": "cpu_usage_percent" },
            { "metric": "disk_usage_percent", "instance": "/" },
            { "metric": "own_gauge", "instance": null },
        ],
        "points": [{ "at": at, "values": [12.5, 63.1, null] }, { "at": at + 30, "values": [11, -0.0, 1e3] }],
    })
}

fn with(at: i64, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut body = ordinary(at);
    change(&mut body);
    body.to_string().into_bytes()
}

#[tokio::test]
async fn ordinary_reports_go_the_short_way_and_come_out_the_same() {
    let pair = Pair::start().await;
    // The first says the interval, which is news; from then on nothing is new.
    assert_eq!(pair.check(&with(START - 9000, |_| {})).await, 202);
    let before = pair.short_ways();
    for row in 0..5 {
        assert_eq!(
            pair.check(&with(START - 6000 + row * 600, |_| {})).await,
            202
        );
    }
    // Again, in part again, in one second, too old, ahead, without points.
    assert_eq!(pair.check(&with(START - 6000, |_| {})).await, 202);
    assert_eq!(pair.check(&with(START - 5970, |_| {})).await, 202);
    assert_eq!(
        pair.check(&with(START, |body| body["points"][1]["at"] = START.into()))
            .await,
        202
    );
    assert_eq!(pair.check(&with(START - 8 * 86_400, |_| {})).await, 202);
    assert_eq!(pair.check(&with(START + 290, |_| {})).await, 202);
    assert_eq!(
        pair.check(&with(START, |body| body["points"] = json!([])))
            .await,
        202
    );
    // Other series, in another order, spelled otherwise, unknown fields, white space.
    let other = |body: &mut Value| body["series"].as_array_mut().unwrap().reverse();
    assert_eq!(pair.check(&with(START - 3000, other)).await, 202);
    let own = |body: &mut Value| body["series"][0]["metric"] = "another_gauge".into();
    assert_eq!(pair.check(&with(START - 2400, own)).await, 202);
    let newer = |body: &mut Value| body["from_the_future"] = json!({ "a": [1, null, "x"] });
    assert_eq!(pair.check(&with(START - 1800, newer)).await, 202);
    let spaced = serde_json::to_vec_pretty(&ordinary(START - 1200)).unwrap();
    assert_eq!(pair.check(&spaced).await, 202);
    assert_eq!(pair.short_ways() - before, 15, "each of them");
    // What is news goes the long way: another version, another interval.
    let version = |body: &mut Value| body["agent_version"] = "0.2.0".into();
    assert_eq!(pair.check(&with(START - 600, version)).await, 202);
    assert_eq!(pair.short_ways() - before, 15);
    pair.compare().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_the_same_way() {
    let pair = Pair::start().await;
    assert_eq!(pair.check(&with(START - 9000, |_| {})).await, 202);
    type Change = fn(&mut Value);
    let changes: &[(Change, u16)] = &[
        (|body| body["points"][0]["values"] = json!([1, 2]), 422),
        (|body| body["points"][0]["values"] = json!([1, 2, "3"]), 422),
        (
            |body| body["points"][0]["values"] = json!([1, 2, true]),
            422,
        ),
        (|body| body["points"][0]["values"] = Value::Null, 422),
        (|body| body["points"][0]["at"] = json!(1.5), 422),
        (|body| body["points"][0]["at"] = json!("1"), 422),
        (|body| body["points"][0] = json!([START, [1, 2, 3]]), 422),
        (
            |body| drop(body["points"][0].as_object_mut().unwrap().remove("at")),
            422,
        ),
        (|body| body["points"] = json!({}), 422),
        (
            |body| body["series"][0] = json!(["cpu_usage_percent", null]),
            422,
        ),
        (|body| body["series"][0]["metric"] = json!("Upper"), 422),
        (|body| body["series"][0]["instance"] = json!("a\u{1}b"), 422),
        (|body| body["series"][1] = body["series"][0].clone(), 422),
        (|body| body["series"] = Value::Null, 422),
        (|body| body["report_id"] = json!("no uuid"), 422),
        (|body| body["sent_at"] = json!("yesterday"), 422),
        (|body| body["interval_seconds"] = json!(0), 422),
        (|body| body["interval_seconds"] = json!(30.0), 422),
        (|body| body["interval_seconds"] = json!(-30), 422),
        (|body| body["snapshot_hash"] = json!("abc"), 422),
        (|body| body["snapshot"] = json!(5), 422),
        (|body| body["host"] = json!([]), 422),
        (
            |body| drop(body.as_object_mut().unwrap().remove("agent_version")),
            422,
        ),
    ];
    for (change, expect) in changes {
        let body = with(START - 900, change);
        assert_eq!(
            pair.check(&body).await,
            *expect,
            "{}",
            String::from_utf8_lossy(&body)
        );
    }
    let text = String::from_utf8(with(START - 900, |_| {})).unwrap();
    for (body, expect) in [
        (
            text.replacen("\"points\"", "\"points\":[],\"points\"", 1),
            422,
        ),
        (text.replacen("\"at\"", "\"at\":1,\"at\"", 1), 422),
        (text.replacen("12.5", "1e999", 1), 400),
        (text.replacen("12.5", "NaN", 1), 400),
        (format!("{text} x"), 400),
        (format!("[{text}]"), 422),
        (text[..text.len() - 1].to_owned(), 400),
        (String::new(), 400),
        ("null".to_owned(), 422),
        (
            text.replacen("agent_version", "agent\\u005fversion", 1),
            202,
        ),
    ] {
        assert_eq!(pair.check(body.as_bytes()).await, expect, "{body}");
    }
    pair.compare().await;
}

/// Bodies that were changed at random: by bytes, and by parts of their tree.
#[tokio::test]
async fn a_thousand_mutants_come_out_the_same() {
    let pair = Pair::start().await;
    assert_eq!(pair.check(&with(START - 9000, |_| {})).await, 202);
    let mut random = Random(7);
    let spare = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(""),
        json!("x"),
        json!([]),
        json!({}),
        json!([1, 2, 3]),
        json!(true),
        json!(30),
        json!("0193570c-0d1f-7000-8000-000000000001"),
        json!("cpu"),
    ];
    let mut taken = 0;
    for round in 0..1000 {
        let mut body = ordinary(START - 8000 + round * 7);
        let body = if random.below(2) == 0 {
            for _ in 0..=random.below(2) {
                mutate(&mut body, &mut random, &spare);
            }
            body.to_string().into_bytes()
        } else {
            let mut bytes = body.to_string().into_bytes();
            for _ in 0..=random.below(2) {
                let at = usize::try_from(random.below(bytes.len() as i64)).unwrap();
                let other = usize::try_from(random.below(bytes.len() as i64)).unwrap();
                match random.below(4) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes[at] = b"0123456789\",:[]{}nulle.-+ "[other % 26],
                    2 => bytes.insert(at, bytes[other]),
                    _ => bytes.swap(at, other),
                }
            }
            bytes
        };
        taken += u32::from(pair.check(&body).await == 202);
    }
    assert!(taken > 50, "{taken} were taken");
    assert!(
        pair.short_ways() > 30,
        "{} went the short way",
        pair.short_ways()
    );
    pair.compare().await;
}

/// Replaces, removes or doubles some part of a tree.
fn mutate(value: &mut Value, random: &mut Random, spare: &[Value]) {
    let size = match &*value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    if size == 0 || random.below(4) == 0 {
        let pick = usize::try_from(random.below(spare.len() as i64)).unwrap();
        *value = spare[pick].clone();
        return;
    }
    let at = usize::try_from(random.below(size as i64)).unwrap();
    let remove = random.below(5) == 0;
    match value {
        Value::Array(items) if remove => drop(items.remove(at)),
        Value::Array(items) if random.below(5) == 0 => items.push(items[at].clone()),
        Value::Array(items) => mutate(&mut items[at], random, spare),
        Value::Object(fields) => {
            let name = fields.keys().nth(at).unwrap().clone();
            if remove {
                fields.remove(&name);
            } else {
                mutate(&mut fields[&name], random, spare);
            }
        }
        _ => {}
    }
}
