//! The cron table: when → which flow. A run that is still under way is not begun again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_cron_scheduler::{Job as CronJob, JobScheduler, JobSchedulerError};

use crate::app::App;
use crate::flows::job::{self, Job};

/// When the table shows a sign of life.
const ALIVE: &str = "*/10 * * * * *";

/// Starts the jobs; they end when the application stops.
///
/// # Errors
/// When the table itself is wrong.
pub async fn start(app: Arc<App>) -> Result<JobScheduler, JobSchedulerError> {
    let mut scheduler = JobScheduler::new().await?;
    let show_alive = |app: &App| {
        app.jobs_alive_at
            .store(app.clock.now().timestamp(), Ordering::Relaxed);
    };
    show_alive(&app);
    let alive = Arc::clone(&app);
    scheduler
        .add(CronJob::new(ALIVE, move |_, _| show_alive(&alive))?)
        .await?;
    let mut ids = Vec::new();
    for job in Job::ALL {
        ids.push((job, scheduler.add(cron(job, Arc::clone(&app))?).await?));
    }
    scheduler.start().await?;
    for (job, id) in ids {
        app.jobs
            .set_next(job, scheduler.next_tick_for_job(id).await?);
    }
    Ok(scheduler)
}

fn cron(job: Job, app: Arc<App>) -> Result<CronJob, JobSchedulerError> {
    CronJob::new_async(job.schedule(), move |id, mut scheduler| {
        let app = Arc::clone(&app);
        Box::pin(async move {
            if app.stopping.is_cancelled() {
                return;
            }
            if job::run_scheduled(&app, job).await.is_none() {
                tracing::warn!(job = job.name(), "the run before is still under way");
            }
            if let Ok(next_at) = scheduler.next_tick_for_job(id).await {
                app.jobs.set_next(job, next_at);
            }
        })
    })
}
