//! Housekeeping by the clock or by hand: which jobs there are, what each does, and what became of its last run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::{Caller, FlowError, backup, collect, deliver, evaluate, maintain, note};
use crate::app::App;

/// A job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Slots that have ended go from the log into rows.
    Seal,
    /// Days that have ended become one row a host.
    Repack,
    /// Repacked days become buckets of five minutes and of an hour.
    Rollup,
    /// What is older than it is to be kept goes.
    Retention,
    /// Space that is free inside the files goes back to the disk.
    Compact,
    /// Ended sessions, expired tokens and what deleted hosts left go.
    Sweep,
    /// Alerts begin, go on or are over.
    Evaluate,
    /// People are told of alerts.
    Deliver,
    /// Hosts that are due are asked for their reports.
    Collect,
    /// A backup is made where one is due.
    Backup,
}

impl Job {
    /// Every job.
    pub const ALL: [Self; 10] = [
        Self::Seal,
        Self::Repack,
        Self::Rollup,
        Self::Retention,
        Self::Compact,
        Self::Sweep,
        Self::Evaluate,
        Self::Deliver,
        Self::Collect,
        Self::Backup,
    ];

    /// Its name in paths, logs and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Repack => "repack",
            Self::Rollup => "rollup",
            Self::Retention => "retention",
            Self::Compact => "compact",
            Self::Sweep => "sweep",
            Self::Evaluate => "evaluate",
            Self::Deliver => "deliver",
            Self::Collect => "collect",
            Self::Backup => "backup",
        }
    }

    /// When it runs: second, minute, hour, day, month, weekday, in UTC. What is late for a day that was repacked is
    /// brought in within the hour; the bulk of the work falls on the first run after midnight. Backups look every five minutes
    /// whether one is due, so that a night without power costs none.
    pub fn schedule(self) -> &'static str {
        match self {
            Self::Seal => "20 * * * * *",
            Self::Repack => "0 15 * * * *",
            Self::Rollup => "0 25 * * * *",
            Self::Retention => "0 40 0 * * *",
            Self::Compact => "0 50 2 * * *",
            Self::Sweep => "17 */10 * * * *",
            Self::Evaluate => "*/10 * * * * *",
            Self::Deliver => "3/5 * * * * *",
            Self::Collect => "* * * * * *",
            Self::Backup => "45 */5 * * * *",
        }
    }

    /// The job of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
    /// How many things it dealt with, or in words why it failed.
    pub outcome: Result<usize, String>,
}

/// A job as it stands.
#[derive(Clone, Debug, Default)]
pub struct JobState {
    /// Its last run that ended.
    pub last_run: Option<Run>,
    /// Whether it runs now.
    pub is_running: bool,
    /// When it runs next.
    pub next_at: Option<DateTime<Utc>>,
}

/// Every job's state, and the lock that keeps its runs apart.
#[derive(Default)]
pub struct JobBoard {
    places: [Place; Job::ALL.len()],
}

#[derive(Default)]
struct Place {
    alone: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<JobState>,
}

impl JobBoard {
    fn place(&self, job: Job) -> &Place {
        let [
            seal,
            repack,
            rollup,
            retention,
            compact,
            sweep,
            evaluate,
            deliver,
            collect,
            backup,
        ] = &self.places;
        match job {
            Job::Seal => seal,
            Job::Repack => repack,
            Job::Rollup => rollup,
            Job::Retention => retention,
            Job::Compact => compact,
            Job::Sweep => sweep,
            Job::Evaluate => evaluate,
            Job::Deliver => deliver,
            Job::Collect => collect,
            Job::Backup => backup,
        }
    }

    /// How a job stands.
    pub fn state(&self, job: Job) -> JobState {
        self.place(job).state.lock().clone()
    }

    /// Notes when a job runs next.
    pub fn set_next(&self, job: Job, next_at: Option<DateTime<Utc>>) {
        self.place(job).state.lock().next_at = next_at;
    }
}

/// Runs a job by the clock; `None` when the run before is still under way, and this one is left out.
pub async fn run_scheduled(app: &Arc<App>, job: Job) -> Option<Result<usize, FlowError>> {
    let alone = Arc::clone(&app.jobs.place(job).alone);
    let _alone = alone.try_lock().ok()?;
    Some(run(app, job, false).await)
}

/// Runs a job now, after one that is under way, and answers when it is done. It then does all that it may, also what
/// it would leave for later.
///
/// # Errors
/// The store's, and [`FlowError::NotFound`] for a name that no job has.
pub async fn run_now(app: &Arc<App>, caller: &Caller, name: &str) -> Result<Job, FlowError> {
    let job = Job::named(name).ok_or(FlowError::NotFound("job"))?;
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            note(change, now, caller.actor(), "job.run", None, job.name());
            Ok::<_, FlowError>(())
        })
        .await?;
    let alone = Arc::clone(&app.jobs.place(job).alone);
    {
        let _alone = alone.lock().await;
        run(app, job, true).await?;
    }
    if job == Job::Collect {
        // What was begun is waited for, and holds up nothing meanwhile.
        collect::settle_running(app).await;
    }
    Ok(job)
}

async fn run(app: &Arc<App>, job: Job, hurry: bool) -> Result<usize, FlowError> {
    let place = app.jobs.place(job);
    place.state.lock().is_running = true;
    let (started_at, started) = (app.clock.now(), Instant::now());
    let outcome = match job {
        Job::Seal => maintain::seal(app, hurry).await,
        Job::Repack => maintain::repack(app, hurry).await,
        Job::Rollup => maintain::roll_up(app).await,
        Job::Retention => maintain::retain(app).await,
        Job::Compact => maintain::compact(app, hurry).await,
        Job::Sweep => maintain::sweep(app).await,
        Job::Evaluate => evaluate::evaluate(app).await,
        Job::Deliver => deliver::deliver(app, hurry).await,
        Job::Collect => Ok(collect::start_due(app)),
        Job::Backup => backup::keep(app, hurry).await,
    };
    let duration = started.elapsed();
    let mut state = place.state.lock();
    state.is_running = false;
    let result = if outcome.is_ok() {
        "succeeded"
    } else {
        "failed"
    };
    let runs = &app.metrics.job_runs;
    runs.with_label_values(&[job.name(), result]).inc();
    match &outcome {
        Ok(done) => {
            tracing::debug!(job = job.name(), done, ?duration, "job done");
        }
        Err(error) => {
            tracing::error!(
                job = job.name(),
                error = error as &dyn std::error::Error,
                "job failed"
            );
        }
    }
    state.last_run = Some(Run {
        started_at,
        duration,
        outcome: match &outcome {
            Ok(done) => Ok(*done),
            Err(error) => Err(describe(error)),
        },
    });
    outcome
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
