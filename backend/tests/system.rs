//! What is kept for how long, what is said of it, and the jobs that see to it, through the client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use chrono::DateTime;
use infra_watch_client::{Client, types};
use support::{Backend, Host, START, report, status};

const DAY: i64 = 86_400;
/// Half hours of a day.
const POINTS: i64 = 48;

async fn run(admin: &Client, job: &str) -> types::Job {
    admin.run_job().name(job).send().await.unwrap().into_inner()
}

/// A backend that was posted to for forty days, and then did its housekeeping. Returns the first moment too.
async fn forty_days() -> (Backend, Host, i64) {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let first = START - START % DAY;
    for day in 0..40 {
        let from = first + day * DAY;
        let points: Vec<(i64, Option<f64>)> = (0..POINTS)
            .map(|row| (from + row * 1800, Some((day * 100 + row) as f64 / 4.0)))
            .collect();
        backend
            .clock
            .advance(from + DAY - backend.now().timestamp());
        let outcome = host
            .agent
            .submit_report()
            .body(report(&points))
            .send()
            .await
            .unwrap();
        assert_eq!(outcome.accepted, POINTS as u64);
    }
    backend.clock.advance(3600);
    (backend, host, first)
}

#[tokio::test]
async fn old_points_become_buckets_and_answers_say_so() {
    let (backend, host, first) = forty_days().await;
    let admin = backend.client("admin").await;
    for job in ["seal", "repack", "rollup", "retention", "compact", "sweep"] {
        let done = run(&admin, job).await;
        assert_eq!(
            done.last_result,
            Some(types::JobResult::Succeeded),
            "{job}: {done:?}"
        );
    }
    let now = backend.now().timestamp();
    let raw_since = (now - 30 * DAY) / DAY * DAY;
    let viewer = backend.client("viewer").await;
    let trends = |step: &str, aggregate: types::Aggregate, from: i64| {
        viewer
            .get_trends()
            .host_id(host.host_id)
            .metric(vec!["cpu_usage_percent".parse().unwrap()])
            .from(from.to_string())
            .to(now.to_string())
            .step(step)
            .aggregate(vec![aggregate])
            .send()
    };
    // The step is at least that of the finest buckets that cover the range.
    let fine = trends("60", types::Aggregate::Count, now - 6 * 3600)
        .await
        .unwrap();
    assert_eq!(fine.step, Some(60));
    let auto = trends("auto", types::Aggregate::Count, first)
        .await
        .unwrap()
        .into_inner();
    let all: f64 = auto.series[0].values.iter().flatten().sum();
    assert_eq!(all, (40 * POINTS) as f64);
    let refused = trends("60", types::Aggregate::Max, first)
        .await
        .unwrap_err();
    assert_eq!(status(refused), 422, "more than 10,000 points of 300 s");
    let coarse = trends(
        "60",
        types::Aggregate::Max,
        first + 20 * DAY - 30 * DAY + 9 * DAY,
    );
    assert_eq!(status(coarse.await.unwrap_err()), 422);
    let hours = trends("3600", types::Aggregate::Max, first)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(hours.timestamps[0], first);
    assert_eq!(hours.series[0].values[..2], [Some(0.25), Some(0.75)]);

    // Percentiles need points; the 95th of hours is kept.
    let refused = trends("auto", types::Aggregate::P50, first)
        .await
        .unwrap_err();
    let infra_watch_client::Error::ErrorResponse(problem) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(problem.status, 422);
    let oldest = DateTime::from_timestamp(raw_since, 0).unwrap();
    let oldest = oldest.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert!(problem.errors[0].message.contains(&oldest), "{problem:?}");
    trends("auto", types::Aggregate::P50, raw_since)
        .await
        .unwrap();
    let p95 = trends("3600", types::Aggregate::P95, first)
        .await
        .unwrap()
        .into_inner();
    let of_hour = p95.series[0].values[0].unwrap();
    assert!((of_hour - 0.2375).abs() < 1e-9, "{of_hour}");

    // Single points go back as far as they are kept.
    let samples = viewer.get_samples().host_id(host.host_id);
    let samples = samples.metric(vec!["cpu_usage_percent".parse().unwrap()]);
    let samples = samples
        .from("0")
        .to(now.to_string())
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(samples.timestamps[0], raw_since);
    assert_eq!(
        samples.timestamps.len() as i64,
        (first + 40 * DAY - raw_since) / 1800
    );
    let top = viewer.get_top().metric("cpu_usage_percent".to_owned());
    let top = top
        .from(first.to_string())
        .to(now.to_string())
        .aggregate(types::Aggregate::Max);
    let top = top.send().await.unwrap().into_inner();
    assert_eq!(top.items[0].value, (39 * 100 + POINTS - 1) as f64 / 4.0);
}

#[tokio::test]
async fn the_system_says_what_it_keeps_and_how_its_jobs_run() {
    let (backend, host, first) = forty_days().await;
    let admin = backend.client("admin").await;
    let before = admin.get_system().send().await.unwrap().into_inner();
    assert_eq!((before.hosts, before.series), (1, 1));
    assert_eq!(before.points, (40 * POINTS) as u64);
    assert_eq!(before.unsealed_points, before.points);
    assert_eq!(before.tiers.len(), 3);
    assert!(
        before
            .tiers
            .iter()
            .all(|tier| tier.points == 0 && tier.from.is_none())
    );
    assert_eq!(before.tiers[0].retention_seconds, 30 * DAY);
    assert!(
        before
            .jobs
            .iter()
            .all(|job| job.last_run_at.is_none() && !job.running)
    );
    assert!(before.store_bytes.unwrap() > 0 && before.disk_free_bytes.unwrap() > 0);
    assert_eq!(before.days_until_full, None);

    let sealed = run(&admin, "seal").await;
    assert_eq!(
        (sealed.name.as_str(), sealed.last_items),
        ("seal", Some(40 * 12))
    );
    assert_eq!(sealed.last_run_at, Some(backend.now()));
    assert_eq!(sealed.last_error, None);
    run(&admin, "repack").await;
    run(&admin, "rollup").await;
    let after = admin.get_system().send().await.unwrap().into_inner();
    assert_eq!((after.points, after.unsealed_points), (before.points, 0));
    for tier in &after.tiers {
        assert!(tier.points > 0 && tier.bytes > 0, "{tier:?}");
        assert_eq!(tier.from.unwrap().timestamp(), first, "{tier:?}");
    }
    assert_eq!(
        status(admin.run_job().name("nonsense").send().await.unwrap_err()),
        404
    );
    let viewer = backend.client("viewer").await;
    assert_eq!(status(viewer.get_system().send().await.unwrap_err()), 403);

    let page = reqwest::Client::new()
        .get(backend.url("/metrics"))
        .bearer_auth(backend.token("viewer").await);
    let page = page.send().await.unwrap().text().await.unwrap();
    for line in [
        "infra_watch_store_points{tier=\"raw\"} 1920",
        "infra_watch_store_points{tier=\"unsealed\"} 0",
        "infra_watch_store_bytes{tier=\"hour\"}",
        "infra_watch_store_bytes{tier=\"files\"}",
        "infra_watch_disk_bytes{state=\"free\"}",
        "infra_watch_watched{kind=\"hosts\"} 1",
        "infra_watch_job_runs_total{job=\"seal\",outcome=\"succeeded\"} 1",
        "infra_watch_job_last_run_timestamp_seconds{job=\"rollup\"}",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let audit = admin
        .list_audit_entries()
        .send()
        .await
        .unwrap()
        .into_inner();
    let runs = audit.items.iter().filter(|entry| entry.action == "job.run");
    assert_eq!(runs.count(), 3);

    // A deleted host takes its measurements along, in every tier.
    admin
        .delete_host()
        .host_id(host.host_id)
        .send()
        .await
        .unwrap();
    let gone = admin.get_system().send().await.unwrap().into_inner();
    assert_eq!((gone.hosts, gone.points), (0, 0));
    assert!(
        gone.tiers.iter().all(|tier| tier.bytes == 0),
        "{:?}",
        gone.tiers
    );
}

#[tokio::test]
async fn audit_entries_go_when_they_are_old() {
    let backend = Backend::start().await;
    let admin = backend.client("admin").await;
    run(&admin, "retention").await;
    let count = async |admin: &Client| {
        let page = admin.list_audit_entries().limit(1000).send().await.unwrap();
        page.into_inner().items.len()
    };
    let before = count(&admin).await;
    assert!(before > 3);
    backend.clock.advance(366 * DAY);
    let admin = backend.client("admin").await;
    run(&admin, "retention").await;
    // What is left: this login and this run.
    assert_eq!(count(&admin).await, 2);
}
