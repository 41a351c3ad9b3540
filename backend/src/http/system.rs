//! The backend itself: what it keeps, how its jobs run, and running one now.

use std::sync::Arc;

use chrono::DateTime;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::Tags;
use super::body::Reply;
use super::guard::Admin;
use super::problem::ApiError;
use crate::app::App;
use crate::flows::job::{self, JobState};
use crate::flows::system::{self, AlertsLook};
use crate::wire::scalar::{Nullable, Number};
use crate::wire::system::{AlertFigures, Job, JobResult, StoredTier, System};

/// The backend itself.
pub struct SystemApi;

#[OpenApi(tag = "Tags::Administration")]
impl SystemApi {
    /// What is kept, how much room is left, and how the jobs run.
    ///
    /// Least role: admin.
    #[oai(path = "/system", method = "get", operation_id = "get_system")]
    async fn get_system(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
    ) -> Result<Reply<System>, ApiError> {
        Ok(Reply(shape(&app)))
    }

    /// Run a job now and answer when it is done.
    ///
    /// Least role: admin. It does all that it may, also what it would leave for later: `seal` takes every slot that has
    /// ended, `repack` also the day that goes on, `compact` whatever is free, `deliver` what
    /// waits for others or for the next attempt, `backup` one more backup where there is a directory for them.
    #[oai(
        path = "/system/jobs/:name/run",
        method = "post",
        operation_id = "run_job"
    )]
    async fn run_job(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        /// `seal`, `repack`, `rollup`, `retention`, `compact`, `sweep`, `evaluate`, `deliver`,
        /// `collect` or `backup`.
        name: Path<String>,
    ) -> Result<Reply<Job>, ApiError> {
        let job = job::run_now(&app, &caller.0, &name.0).await?;
        Ok(Reply(shape_job(job, app.jobs.state(job))))
    }
}

fn shape(app: &App) -> System {
    let look = system::look(app);
    let tiers = look.tiers.iter().map(|stats| StoredTier {
        tier: stats.tier.into(),
        points: stats.points,
        bytes: stats.bytes,
        from: stats
            .from
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .into(),
        retention_seconds: app.retention.series.seconds(stats.tier),
    });
    let [raw, ..] = look.tiers;
    let unsealed_points = look.head.cells as u64;
    System {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: app.listening_since,
        hosts: look.hosts as u64,
        series: look.head.series as u64,
        points: raw.points + unsealed_points,
        unsealed_points,
        tiers: tiers.collect(),
        store_bytes: look.disk.map(|disk| disk.used_bytes).into(),
        disk_free_bytes: look.disk.map(|disk| disk.free_bytes).into(),
        disk_total_bytes: look.disk.map(|disk| disk.total_bytes).into(),
        days_until_full: look.days_until_full.map(Number).into(),
        alerts: shape_alerts(app, &look.alerts),
        jobs: look
            .jobs
            .into_iter()
            .map(|(job, state)| shape_job(job, state))
            .collect(),
    }
}

fn shape_alerts(app: &App, alerts: &AlertsLook) -> AlertFigures {
    let evaluated_at = DateTime::from_timestamp(alerts.figures.at, 0);
    let evaluated_at = evaluated_at.filter(|_| alerts.figures.at > 0);
    AlertFigures {
        firing: alerts.firing as u64,
        pending: alerts.figures.pending as u64,
        watches: alerts.figures.watches as u64,
        watch_bytes: alerts.figures.watch_bytes as u64,
        evaluation_seconds: Number(alerts.figures.seconds),
        evaluated_at: evaluated_at.into(),
        lag_seconds: Nullable(evaluated_at.map(|at| {
            let lag = app.clock.now() - at;
            Number(lag.as_seconds_f64().max(0.0))
        })),
        waiting_notifications: alerts.waiting as u64,
        oldest_waiting_at: alerts.oldest_waiting_at.into(),
        failed_deliveries: app.metrics.failed_deliveries(),
    }
}

fn shape_job(job: job::Job, state: JobState) -> Job {
    let run = state.last_run.as_ref();
    let outcome = run.map(|run| &run.outcome);
    Job {
        name: job.name().to_owned(),
        schedule: job.schedule().to_owned(),
        running: state.is_running,
        last_run_at: run.map(|run| run.started_at).into(),
        last_duration_seconds: Nullable(run.map(|run| Number(run.duration.as_secs_f64()))),
        last_result: Nullable(outcome.map(|outcome| match outcome {
            Ok(_) => JobResult::Succeeded,
            Err(_) => JobResult::Failed,
        })),
        last_items: Nullable(
            outcome
                .and_then(|outcome| outcome.as_ref().ok())
                .map(|items| i64::try_from(*items).unwrap_or(i64::MAX)),
        ),
        last_error: Nullable(outcome.and_then(|outcome| outcome.as_ref().err().cloned())),
        next_run_at: state.next_at.into(),
    }
}
