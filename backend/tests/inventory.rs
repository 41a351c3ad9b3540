//! Questions over a fleet: who has what, who differs from the others, which change reached whom.

#[path = "support/configuration.rs"]
mod configuration;
mod support;

use chrono::{DateTime, TimeDelta, Utc};
use configuration::{OPENSSL_UP, call, debian, get, lines, send, try_get, upgraded};
use serde_json::{Value, json};
use support::{Backend, Host, START};
use uuid::Uuid;

/// Ten hosts that are alike, but for the version of one package on three of them, and an odd one.
async fn fleet(backend: &Backend) -> Vec<Host> {
    let mut hosts = Vec::new();
    for number in 0..10 {
        let host = backend.enroll(&format!("web-{number}")).await;
        let mut sections = debian();
        sections["environment"]["DB_PASSWORD"] = json!(format!("hmac:{number:032x}"));
        if number < 3 {
            sections["packages"]["dpkg/openssl:amd64"] = json!("3.0.9-1");
        }
        if number == 9 {
            sections["packages"]["dpkg/nmap:amd64"] = json!("7.93");
        }
        send(backend, &host, &sections).await;
        hosts.push(host);
    }
    hosts
}

#[tokio::test]
async fn the_fleet_is_searched_by_version() {
    let backend = Backend::start().await;
    let hosts = fleet(&backend).await;
    let names = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["host_name"].as_str().unwrap().to_owned())
            .collect()
    };
    // As a text 3.0.9 is after 3.0.13.
    let found = get(
        &backend,
        "/inventory?section=packages&key=openssl&version_below=3.0.13",
    )
    .await;
    assert_eq!(names(&found), ["web-0", "web-1", "web-2"]);
    assert_eq!(
        found["items"][0],
        json!({
            "host_id": hosts[0].host_id, "host_name": "web-0", "section": "packages",
            "key": "dpkg/openssl:amd64", "version": "3.0.9-1",
        })
    );
    let check = |query: &'static str, expect: usize| {
        let backend = &backend;
        async move {
            let found = get(backend, &format!("/inventory?{query}")).await;
            assert_eq!(found["items"].as_array().unwrap().len(), expect, "{query}");
        }
    };
    check("key=dpkg/openssl:amd64&version_from=3.0.10", 7).await;
    check(
        "key=openssl&version_from=3.0.9&version_below=3.0.13-1~deb12u1",
        3,
    )
    .await;
    check("key=openssl&value=3.0.9*", 3).await;
    check("key=nmap", 1).await;
    check("key=*", 21).await;
    check("key=open*", 10).await;
    check("key=absent", 0).await;
    check("section=nothing", 0).await;
    check("section=os&key=kernel&value=6.1.0-28-amd64", 10).await;
    check("section=environment&key=DB_PASSWORD&value=hmac", 10).await;
    check("label=role=web", 0).await;
    let (status, _) = try_get(&backend, "/inventory?section=os&version_below=1").await;
    assert_eq!(status, 422);

    // Pages that cut hosts in the middle give each item once, wherever they begin and end.
    for section in ["packages", "os"] {
        let whole = get(&backend, &format!("/inventory?section={section}")).await;
        for limit in 1..8 {
            let base = format!("/inventory?section={section}&limit={limit}");
            let (mut all, mut query) = (Vec::new(), base.clone());
            loop {
                let page = get(&backend, &query).await;
                all.extend(page["items"].as_array().unwrap().clone());
                let Some(cursor) = page["next_cursor"].as_str() else {
                    break;
                };
                query = format!("{base}&cursor={cursor}");
            }
            assert_eq!(json!(all), whole["items"], "{section} by {limit}");
        }
    }

    // A host that goes takes its items along.
    let path = format!("/hosts/{}", hosts[9].host_id);
    assert_eq!(
        call(&backend, reqwest::Method::DELETE, &path, None).await.0,
        204
    );
    check("key=nmap", 0).await;
}

#[tokio::test]
async fn a_group_is_compared_with_most_of_it_or_with_one() {
    let backend = Backend::start().await;
    let hosts = fleet(&backend).await;
    let silent = backend.enroll("silent").await;
    let compared = get(&backend, "/groups/compare").await;
    let members = compared["items"].as_array().unwrap();
    assert_eq!(members.len(), 11);
    let counts: Vec<(&str, &Value)> = members
        .iter()
        .map(|member| {
            (
                member["host_name"].as_str().unwrap(),
                &member["difference_count"],
            )
        })
        .collect();
    assert_eq!(counts[0], ("web-0", &json!(1)));
    assert_eq!(counts[3], ("web-9", &json!(1)));
    let nothing = counts.iter().find(|(name, _)| *name == "silent").unwrap();
    assert_eq!(nothing.1, &Value::Null);
    assert_eq!(
        lines(&members[0]["items"]),
        ["changed packages/dpkg/openssl:amd64 3.0.13-1~deb12u1 3.0.9-1 downgrade drift"]
    );
    assert_eq!(
        lines(&members[3]["items"]),
        ["added packages/dpkg/nmap:amd64 - 7.93 - drift"]
    );

    let golden = get(
        &backend,
        &format!("/groups/compare?golden={}", hosts[9].host_id),
    )
    .await;
    let members = golden["items"].as_array().unwrap();
    assert_eq!(members[0]["difference_count"], 2);
    assert_eq!(members[0]["compared_with"], "golden");
    let none = format!("/groups/compare?golden={}", silent.host_id);
    assert_eq!(try_get(&backend, &none).await.0, 404);

    // Two hosts: their keyed hashes say nothing about each other.
    let (left, right) = (hosts[0].host_id, hosts[9].host_id);
    let diff = get(
        &backend,
        &format!("/diff?left={left}:latest&right={right}:baseline"),
    )
    .await;
    assert_eq!(diff["items"].as_array().unwrap().len(), 2);
    let unified = diff["unified"].as_str().unwrap();
    assert!(unified.contains("+dpkg/nmap:amd64 = 7.93"), "{unified}");
    assert!(unified.starts_with("--- web-0 2027-01-15T"), "{unified}");
    for (query, status) in [
        (format!("left={left}:latest&right={right}:never"), 422),
        (format!("left={left}:latest&right={right}"), 422),
        (
            format!("left={left}:latest&right={}:latest", Uuid::now_v7()),
            404,
        ),
        (
            format!("left={left}:latest&right={right}:{}", Uuid::now_v7()),
            404,
        ),
        (
            format!("left={left}:latest&right={right}:2020-01-01T00:00:00Z"),
            404,
        ),
        (
            format!("left={left}:latest&right={right}:{}", START + 3600),
            200,
        ),
    ] {
        assert_eq!(
            try_get(&backend, &format!("/diff?{query}")).await.0,
            status,
            "{query}"
        );
    }
}

#[tokio::test]
async fn the_same_change_on_many_hosts_is_one_line() {
    let backend = Backend::start().await;
    let hosts = fleet(&backend).await;
    let first_at = backend.now();
    for host in &hosts[3..8] {
        send(&backend, host, &upgraded()).await;
    }
    let groups = get(&backend, "/changes?group_by=item&key=openssl").await;
    let groups = groups["items"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    let group = &groups[0];
    assert_eq!(group["host_count"], 5);
    assert_eq!(lines(&json!([group["change"]])), [OPENSSL_UP]);
    let first: DateTime<Utc> = group["first_at"].as_str().unwrap().parse().unwrap();
    let last: DateTime<Utc> = group["last_at"].as_str().unwrap().parse().unwrap();
    assert_eq!((first, last - first), (first_at, TimeDelta::seconds(240)));
    assert_eq!(group["hosts"][0]["host_name"], "web-3");
    // Keyed hashes of different hosts are one change too.
    let all = get(&backend, "/changes?group_by=item&limit=1").await;
    let cursor = all["next_cursor"].as_str().unwrap();
    let rest = get(&backend, &format!("/changes?group_by=item&cursor={cursor}")).await;
    assert_eq!(
        all["items"].as_array().unwrap().len() + rest["items"].as_array().unwrap().len(),
        2
    );

    let sets = get(&backend, "/changes?limit=3").await;
    assert_eq!(sets["items"][0]["host_name"], "web-7");
    let cursor = sets["next_cursor"].as_str().unwrap();
    let rest = get(&backend, &format!("/changes?limit=3&cursor={cursor}")).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest["next_cursor"], Value::Null);
    let from = first_at.timestamp() + 60;
    let some = get(&backend, &format!("/changes?from={from}&to={}", from + 120)).await;
    assert_eq!(some["items"].as_array().unwrap().len(), 2);
    assert_eq!(try_get(&backend, "/changes?from=10&to=5").await.0, 422);
    assert_eq!(try_get(&backend, "/changes?cursor=!").await.0, 422);
    let set_id = sets["items"][0]["change_set_id"].as_str().unwrap();
    let one = get(
        &backend,
        &format!("/hosts/{}/changes/{set_id}", hosts[7].host_id),
    )
    .await;
    assert_eq!(one["change_set"], sets["items"][0]);
    assert_eq!(one["effects"][0]["metric"], "cpu_usage_percent");
    assert_eq!(one["effects"][0]["before_mean"], 1.0);
    let other = format!("/hosts/{}/changes/{set_id}", hosts[6].host_id);
    assert_eq!(try_get(&backend, &other).await.0, 404);
}
