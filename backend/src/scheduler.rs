//! The cron table: when → which flow. A run that is still under way is not begun again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::app::App;
use crate::flows::{FlowError, maintain};

/// Starts the jobs; they end when the application stops.
///
/// # Errors
/// When the table itself is wrong.
pub async fn start(app: Arc<App>) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    app.jobs_alive_at
        .store(app.clock.now().timestamp(), Ordering::Relaxed);
    // Every ten seconds: a sign of life for `/readyz`.
    let alive = |app: Arc<App>| async move {
        app.jobs_alive_at
            .store(app.clock.now().timestamp(), Ordering::Relaxed);
        Ok(0)
    };
    scheduler
        .add(job("*/10 * * * * *", "alive", Arc::clone(&app), alive)?)
        .await?;
    // Every ten minutes, at second 17: sessions and tokens that have ended are removed.
    scheduler
        .add(job("17 */10 * * * *", "sweep", app, |app| async move {
            maintain::sweep(&app).await
        })?)
        .await?;
    scheduler.start().await?;
    Ok(scheduler)
}

fn job<F, R>(
    cron: &str,
    name: &'static str,
    app: Arc<App>,
    run: F,
) -> Result<Job, JobSchedulerError>
where
    F: Fn(Arc<App>) -> R + Send + Sync + Clone + 'static,
    R: Future<Output = Result<usize, FlowError>> + Send,
{
    let alone = Arc::new(Mutex::new(()));
    Job::new_async(cron, move |_, _| {
        let (app, alone, run) = (Arc::clone(&app), Arc::clone(&alone), run.clone());
        Box::pin(async move {
            let Ok(_alone) = alone.try_lock() else {
                tracing::warn!(job = name, "the run before is still under way");
                return;
            };
            if app.stopping.is_cancelled() {
                return;
            }
            match run(app).await {
                Ok(done) => tracing::debug!(job = name, done, "job done"),
                Err(error) => tracing::error!(
                    job = name,
                    error = &error as &dyn std::error::Error,
                    "job failed"
                ),
            }
        })
    })
}
