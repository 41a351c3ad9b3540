//! Reports in and samples out, through the generated client.

mod support;

use infra_watch_client::types;
use support::{Backend, START, facts, report, report_of, status};

#[tokio::test]
async fn a_report_is_kept_once_and_read_back() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let mut first = report(&[
        (START - 60, Some(1.5)),
        (START - 30, None),
        (START, Some(2.25)),
    ]);
    first.host = serde_json::from_value(facts("web-1")).unwrap();
    let outcome = host
        .agent
        .submit_report()
        .body(first.clone())
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!((outcome.accepted, outcome.duplicates), (2, 0));
    assert_eq!(outcome.snapshot, types::SnapshotOutcome::None);
    let again = host
        .agent
        .submit_report()
        .body(first)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!((again.accepted, again.duplicates), (0, 2));

    let viewer = backend.client("viewer").await;
    let samples = viewer
        .get_samples()
        .host_id(host.host_id)
        .metric(vec!["cpu_usage_percent".to_owned()]);
    let samples = samples.send().await.unwrap().into_inner();
    assert_eq!(samples.timestamps, [START - 60, START]);
    assert_eq!(samples.series[0].values, [Some(1.5), Some(2.25)]);
    let seen = viewer
        .get_host()
        .host_id(host.host_id)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (seen.status, seen.health),
        (types::HostStatus::Up, types::HostHealth::Green)
    );
    assert_eq!(
        (seen.name.as_str(), seen.cpu_usage_percent),
        ("web-1", Some(2.25))
    );
    backend.clock.advance(76);
    let viewer = backend.client("viewer").await;
    let seen = viewer
        .get_host()
        .host_id(host.host_id)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (seen.status, seen.health),
        (types::HostStatus::Late, types::HostHealth::Yellow)
    );
}

#[tokio::test]
async fn points_outside_the_window_are_named_and_the_rest_kept() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let points = [
        (START, Some(1.0)),
        (START + 301, Some(2.0)),
        (START - 7 * 86_400 - 1, Some(3.0)),
    ];
    let outcome = host
        .agent
        .submit_report()
        .body(report(&points))
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(outcome.accepted, 1);
    assert_eq!(
        outcome
            .rejected
            .iter()
            .map(|point| point.at)
            .collect::<Vec<_>>(),
        [START + 301, START - 7 * 86_400 - 1]
    );
}

#[tokio::test]
async fn trends_have_every_aggregate_and_null_for_empty_buckets() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let points: Vec<(i64, Vec<Option<f64>>)> = [0, 10, 70]
        .iter()
        .map(|at| (START + at, vec![Some(*at as f64), Some(1.0)]))
        .collect();
    let series = [
        ("disk_usage_percent", Some("/")),
        ("disk_usage_percent", Some("/home")),
    ];
    host.agent
        .submit_report()
        .body(report_of(&series, &points))
        .send()
        .await
        .unwrap();
    let viewer = backend.client("viewer").await;
    let trends = viewer
        .get_trends()
        .host_id(host.host_id)
        .metric(vec!["disk_usage_percent".to_owned()])
        .instance("/")
        .from(START.to_string())
        .to((START + 180).to_string())
        .step("60")
        .aggregate(vec![
            types::Aggregate::Avg,
            types::Aggregate::Count,
            types::Aggregate::P95,
        ])
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(trends.step, Some(60));
    assert_eq!(trends.timestamps, [START, START + 60, START + 120]);
    let values: Vec<_> = trends
        .series
        .iter()
        .map(|column| column.values.clone())
        .collect();
    assert_eq!(values[0], [Some(5.0), Some(70.0), None]);
    assert_eq!(values[1], [Some(2.0), Some(1.0), None]);
    assert_eq!(values[2], [Some(9.5), Some(70.0), None]);
}

#[tokio::test]
async fn a_report_of_another_install_is_refused() {
    let backend = Backend::start().await;
    let (one, two) = (backend.enroll("one").await, backend.enroll("two").await);
    let mut body = report(&[(START, Some(1.0))]);
    let mut wrong = facts("one");
    wrong["install_id"] = serde_json::json!(two.install_id);
    body.host = serde_json::from_value(wrong).unwrap();
    assert_eq!(
        status(
            one.agent
                .submit_report()
                .body(body)
                .send()
                .await
                .unwrap_err()
        ),
        409
    );
}
