//! What the backend says of itself: its log, and the figures behind `/metrics`.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error; a second call changes nothing.
pub fn init_log(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
    };
    // A test process may have a log already.
    drop(done);
}

/// Figures about the backend itself, in Prometheus' form.
pub struct Metrics {
    registry: Registry,
    /// Reports, by outcome (`accepted`, `refused`).
    pub reports: IntCounterVec,
    /// Reports that went the short way.
    pub reports_short: IntCounter,
    /// Snapshots that were new.
    pub snapshots_stored: IntCounter,
    /// Values of environments that an agent should not have sent.
    pub environment_values_removed: IntCounter,
    /// Values that were kept.
    pub values_accepted: IntCounter,
    /// Values that were there already.
    pub values_duplicate: IntCounter,
    /// Points that were refused one by one.
    pub points_rejected: IntCounter,
    /// Logins, by outcome (`ok`, `failed`, `limited`).
    pub logins: IntCounterVec,
    /// Requests, by method and status.
    pub http_requests: IntCounterVec,
    /// Seconds from a request's head to its answer's head, by method.
    pub http_seconds: HistogramVec,
    /// Bytes on disk, by tier, and of the files in all (`files`).
    pub store_bytes: GaugeVec,
    /// Values that are kept, by tier, and those not sealed yet (`unsealed`).
    pub store_points: GaugeVec,
    /// Bytes on the disk, by `free` and `total`.
    pub disk_bytes: GaugeVec,
    /// What is watched, by `hosts` and `series`.
    pub watched: GaugeVec,
    /// Alerts, by state (`pending`, `firing`).
    pub alerts: GaugeVec,
    /// What happened to alerts, by transition (`firing`, `resolved`).
    pub alert_transitions: IntCounterVec,
    /// The evaluation of alerts: `watches`, `watch_bytes`, `seconds` of the last one, `lag_seconds` since it.
    pub alert_evaluation: GaugeVec,
    /// Attempts to deliver a message, by kind of channel and outcome (`delivered`, `failed`, `given_up`).
    pub deliveries: IntCounterVec,
    /// Collections, by kind of host and outcome (`collected`, `failed`).
    pub collections: IntCounterVec,
    /// Seconds that a collection took, by kind of host.
    pub collection_seconds: HistogramVec,
    /// Notifications: how many are `waiting`, and the `age_seconds` of the oldest.
    pub notifications: GaugeVec,
    /// When the newest backup in the directory of backups was made, Unix seconds.
    pub last_backup: IntGauge,
    /// Runs of jobs, by job and outcome (`succeeded`, `failed`).
    pub job_runs: IntCounterVec,
    /// When the last run of a job began, Unix seconds.
    pub job_last_run: GaugeVec,
    /// How long the last run of a job took.
    pub job_last_seconds: GaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All figures at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        Self {
            reports: counters(
                &registry,
                "infra_watch_reports_total",
                "Reports by outcome.",
                &["outcome"],
            ),
            reports_short: counter(
                &registry,
                "infra_watch_reports_short_total",
                "Reports that brought points and nothing new about their host.",
            ),
            snapshots_stored: counter(
                &registry,
                "infra_watch_snapshots_stored_total",
                "Snapshots that differed from the one before.",
            ),
            environment_values_removed: counter(
                &registry,
                "infra_watch_environment_values_removed_total",
                "Values of environment variables that an agent sent and that may be secrets: they were not kept.",
            ),
            values_accepted: counter(
                &registry,
                "infra_watch_values_accepted_total",
                "Values that were kept.",
            ),
            values_duplicate: counter(
                &registry,
                "infra_watch_values_duplicate_total",
                "Values that were there already.",
            ),
            points_rejected: counter(
                &registry,
                "infra_watch_points_rejected_total",
                "Points that were refused one by one.",
            ),
            logins: counters(
                &registry,
                "infra_watch_logins_total",
                "Logins by outcome.",
                &["outcome"],
            ),
            http_requests: counters(
                &registry,
                "infra_watch_http_requests_total",
                "Requests by method and status.",
                &["method", "status"],
            ),
            http_seconds: seconds(
                &registry,
                "infra_watch_http_request_seconds",
                "Seconds from a request's head to its answer's.",
                "method",
            ),
            store_bytes: gauges(
                &registry,
                "infra_watch_store_bytes",
                "Bytes on disk by tier; files in all.",
                &["tier"],
            ),
            store_points: gauges(
                &registry,
                "infra_watch_store_points",
                "Values that are kept, by tier; unsealed ones are in log and memory.",
                &["tier"],
            ),
            disk_bytes: gauges(
                &registry,
                "infra_watch_disk_bytes",
                "Bytes on the disk under the store, free and total.",
                &["state"],
            ),
            watched: gauges(
                &registry,
                "infra_watch_watched",
                "Hosts and series.",
                &["kind"],
            ),
            alerts: gauges(
                &registry,
                "infra_watch_alerts",
                "Alerts by state.",
                &["state"],
            ),
            alert_transitions: counters(
                &registry,
                "infra_watch_alert_transitions_total",
                "Alerts that began to fire, and that were over.",
                &["transition"],
            ),
            alert_evaluation: gauges(
                &registry,
                "infra_watch_alert_evaluation",
                "Watches with their bytes of memory, seconds that the last evaluation took, and seconds since.",
                &["figure"],
            ),
            deliveries: counters(
                &registry,
                "infra_watch_deliveries_total",
                "Attempts to deliver a message, by kind of channel and outcome.",
                &["kind", "outcome"],
            ),
            collections: counters(
                &registry,
                "infra_watch_collections_total",
                "Collections by kind of host and outcome.",
                &["kind", "outcome"],
            ),
            collection_seconds: seconds(
                &registry,
                "infra_watch_collection_duration_seconds",
                "Seconds that a collection took.",
                "kind",
            ),
            notifications: gauges(
                &registry,
                "infra_watch_notifications",
                "Notifications that wait to be delivered, and the age of the oldest in seconds.",
                &["figure"],
            ),
            last_backup: gauge(
                &registry,
                "infra_watch_last_backup_timestamp_seconds",
                "When the newest backup in --backup-dir was made; 0 without one.",
            ),
            job_runs: counters(
                &registry,
                "infra_watch_job_runs_total",
                "Runs of jobs since the start, by outcome.",
                &["job", "outcome"],
            ),
            job_last_run: gauges(
                &registry,
                "infra_watch_job_last_run_timestamp_seconds",
                "When the last run of a job began.",
                &["job"],
            ),
            job_last_seconds: gauges(
                &registry,
                "infra_watch_job_last_run_seconds",
                "How long the last run of a job took.",
                &["job"],
            ),
            registry,
        }
    }

    /// Attempts to deliver a message that failed.
    pub fn failed_deliveries(&self) -> u64 {
        let failed = ["webhook", "email"].map(|kind| {
            let of = |outcome| self.deliveries.with_label_values(&[kind, outcome]).get();
            of("failed") + of("given_up")
        });
        failed.iter().sum()
    }

    /// The page of figures, in Prometheus' text form.
    pub fn render(&self) -> Vec<u8> {
        let mut page = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            tracing::error!(%error, "rendering metrics");
        }
        page
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    let counter = IntCounter::new(name, help).unwrap_or_else(|error| malformed(&error));
    drop(registry.register(Box::new(counter.clone())));
    counter
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let gauge = IntGauge::new(name, help).unwrap_or_else(|error| malformed(&error));
    drop(registry.register(Box::new(gauge.clone())));
    gauge
}

/// Names, labels and buckets are constants: only a mistake in this file leads here, at every start.
fn malformed(error: &prometheus::Error) -> ! {
    tracing::error!(%error, "a metric is malformed");
    std::process::abort()
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counters =
        IntCounterVec::new(Opts::new(name, help), labels).unwrap_or_else(|error| malformed(&error));
    drop(registry.register(Box::new(counters.clone())));
    counters
}

/// Sets one of several gauges.
pub fn set(gauges: &GaugeVec, labels: &[&str], value: f64) {
    gauges.with_label_values(labels).set(value);
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    let gauges =
        GaugeVec::new(Opts::new(name, help), labels).unwrap_or_else(|error| malformed(&error));
    drop(registry.register(Box::new(gauges.clone())));
    gauges
}

fn seconds(registry: &Registry, name: &str, help: &str, label: &str) -> HistogramVec {
    let options =
        HistogramOpts::new(name, help).buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]);
    let histogram = HistogramVec::new(options, &[label]).unwrap_or_else(|error| malformed(&error));
    drop(registry.register(Box::new(histogram.clone())));
    histogram
}
