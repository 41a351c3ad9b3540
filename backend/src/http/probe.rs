//! Probes, the document, and figures for Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;

use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{Request, Response, handler};
use poem_openapi::auth::{Bearer, BearerAuthorization as _};

use super::problem::ApiError;
use crate::app::App;
use crate::domain::metric;
use crate::domain::report::SeriesKey;
use crate::flows::query::off_thread;
use crate::flows::system;
use crate::store::kv::Table;
use crate::telemetry::set;

/// The process is up.
#[handler]
pub fn livez() -> &'static str {
    "ok"
}

/// The store answers, the jobs run, and the backend is not stopping.
#[handler]
pub async fn readyz(app: Data<&Arc<App>>) -> Response {
    let is_ready = !app.stopping.is_cancelled()
        && app.jobs_run()
        && app
            .store
            .kv
            .get_many(Table::Meta, vec![b"format".to_vec()])
            .await
            .is_ok();
    let (status, word) = if is_ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unready")
    };
    Response::builder()
        .status(status)
        .content_type("text/plain; charset=utf-8")
        .body(word)
}

/// The backend's own figures and every host's latest gauges, in Prometheus' text form. Least role: viewer.
#[handler]
pub async fn metrics(request: &Request, app: Data<&Arc<App>>) -> Result<Response, ApiError> {
    let bearer = Bearer::from_request(request).map_err(|_| ApiError::unauthorized())?;
    app.tokens
        .user(&app.store, &bearer.token, app.clock.now())
        .ok_or_else(ApiError::unauthorized)?;
    let of = Arc::clone(&app);
    let page = off_thread(&app, move || {
        set_gauges(&of);
        let mut page = of.metrics.render();
        page.extend_from_slice(host_gauges(&of).as_bytes());
        Ok::<_, ApiError>(page)
    })
    .await?;
    Ok(Response::builder()
        .header(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )
        .body(page))
}

/// Sets the figures that are looked up rather than counted.
fn set_gauges(app: &App) {
    let figures = &app.metrics;
    let look = system::look(app);
    // Counts and sizes stay far below 2^53, where f64 is exact.
    for tier in look.tiers {
        set(
            &figures.store_bytes,
            &[tier.tier.as_str()],
            tier.bytes as f64,
        );
        set(
            &figures.store_points,
            &[tier.tier.as_str()],
            tier.points as f64,
        );
    }
    set(&figures.store_points, &["unsealed"], look.head.cells as f64);
    if let Some(disk) = look.disk {
        set(&figures.store_bytes, &["files"], disk.used_bytes as f64);
        set(&figures.disk_bytes, &["free"], disk.free_bytes as f64);
        set(&figures.disk_bytes, &["total"], disk.total_bytes as f64);
    }
    let alerts = look.alerts;
    set(&figures.alerts, &["firing"], alerts.firing as f64);
    set(&figures.alerts, &["pending"], alerts.figures.pending as f64);
    let now = app.clock.now();
    let evaluation = |figure, value| set(&figures.alert_evaluation, &[figure], value);
    evaluation("watches", alerts.figures.watches as f64);
    evaluation("watch_bytes", alerts.figures.watch_bytes as f64);
    evaluation("seconds", alerts.figures.seconds);
    if alerts.figures.at > 0 {
        let lag_seconds = now.timestamp() - alerts.figures.at;
        evaluation("lag_seconds", lag_seconds as f64);
    }
    let age = alerts
        .oldest_waiting_at
        .map_or(0.0, |at| (now - at).as_seconds_f64());
    set(&figures.notifications, &["waiting"], alerts.waiting as f64);
    set(&figures.notifications, &["age_seconds"], age);
    set(&figures.watched, &["hosts"], look.hosts as f64);
    set(&figures.watched, &["series"], look.head.series as f64);
    for (job, state) in look.jobs {
        let name = job.name();
        if let Some(run) = state.last_run {
            let started_at = run.started_at.timestamp() as f64;
            set(&figures.job_last_run, &[name], started_at);
            set(
                &figures.job_last_seconds,
                &[name],
                run.duration.as_secs_f64(),
            );
        }
    }
}

/// The latest value of every series of every host that is not silent, grouped by metric as the format wants it.
fn host_gauges(app: &App) -> String {
    let mut gauges: Vec<(Arc<SeriesKey>, String, String, f64)> = Vec::new();
    let now = app.clock.now().timestamp();
    for host in app.store.state.hosts.all() {
        let fresh_seconds = i64::from(host.interval_seconds) * 4 + 60;
        app.store.series.with_head(host.number, |head| {
            for (number, key) in (0..).zip(head.keys()) {
                if let Some((_, value)) = head
                    .latest(number)
                    .filter(|(at, _)| now - at <= fresh_seconds)
                {
                    gauges.push((
                        Arc::clone(key),
                        host.host_id.to_string(),
                        host.name().to_owned(),
                        value,
                    ));
                }
            }
        });
    }
    gauges.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let mut page = String::new();
    for same_metric in gauges.chunk_by(|a, b| a.0.metric == b.0.metric) {
        let Some(name) = same_metric.first().map(|(key, ..)| &key.metric) else {
            continue;
        };
        let help = metric::find(name).map_or("A custom gauge.", |metric| metric.description);
        // Writing into a String cannot fail.
        let _ = writeln!(
            page,
            "# HELP infra_watch_host_{name} {help}\n# TYPE infra_watch_host_{name} gauge"
        );
        for (key, host_id, host, value) in same_metric {
            let instance = key.instance.as_deref().unwrap_or_default();
            let _ = writeln!(
                page,
                "infra_watch_host_{name}{{host_id=\"{host_id}\",host=\"{}\",instance=\"{}\"}} {value}",
                escape(host),
                escape(instance)
            );
        }
    }
    page
}

fn escape(label: &str) -> String {
    label
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n")
}
