//! How the backend itself is doing: what is kept, how much room is left, and how its jobs run.

use chrono::{DateTime, Utc};

use super::evaluate::Figures;
use super::job::{Job, JobState};
use crate::app::App;
use crate::domain::tier::{Tier, days_until_full};
use crate::store::kv::DiskSpace;
use crate::store::series::{HeadStats, TierStats};

/// The backend at one moment.
#[derive(Clone, Debug)]
pub struct System {
    /// Hosts.
    pub hosts: usize,
    /// What is in memory.
    pub head: HeadStats,
    /// What is on disk, finest tier first.
    pub tiers: [TierStats; 3],
    /// Space on the disk, where the engine knows it.
    pub disk: Option<DiskSpace>,
    /// When the disk is full at the present pace; none when it will not be, or too little is known.
    pub days_until_full: Option<f64>,
    /// How alerts are evaluated and told.
    pub alerts: AlertsLook,
    /// Every job.
    pub jobs: Vec<(Job, JobState)>,
}

/// How alerts are evaluated and told.
#[derive(Clone, Copy, Debug)]
pub struct AlertsLook {
    /// Alerts that fire.
    pub firing: usize,
    /// How the evaluation does.
    pub figures: Figures,
    /// Notices that wait to be delivered.
    pub waiting: usize,
    /// When the oldest of them came up.
    pub oldest_waiting_at: Option<DateTime<Utc>>,
}

/// Looks at alerts and what waits to be told of them.
pub fn look_at_alerts(app: &App) -> AlertsLook {
    let state = &app.store.state;
    let (notices, messages) = (state.notices.all(), state.messages.all());
    let waiting = notices
        .iter()
        .map(AsRef::as_ref)
        .chain(messages.iter().flat_map(|message| &message.notices));
    let times: Vec<_> = waiting.map(|notice| notice.created_at).collect();
    AlertsLook {
        firing: state.active_alerts.len(),
        figures: app.alerts.figures(),
        waiting: times.len(),
        oldest_waiting_at: times.into_iter().min(),
    }
}

/// Looks at everything; quick, since it is all counted as it happens.
pub fn look(app: &App) -> System {
    let series = &app.store.series;
    let tiers = series.tier_stats();
    let disk = app.store.kv.disk();
    let days = series.bytes_of_last_day();
    let stays: u64 = Tier::ALL
        .iter()
        .zip(days)
        .map(|(tier, bytes)| bytes * app.retention.series.days(*tier))
        .sum();
    let stored: u64 = tiers.iter().map(|tier| tier.bytes).sum();
    System {
        hosts: app.store.state.hosts.len(),
        head: series.head_stats(),
        tiers,
        disk,
        days_until_full: disk.and_then(|disk| {
            let grows_by = stays.saturating_sub(stored);
            days_until_full(disk.free_bytes, days.iter().sum(), grows_by)
        }),
        alerts: look_at_alerts(app),
        jobs: Job::ALL
            .into_iter()
            .map(|job| (job, app.jobs.state(job)))
            .collect(),
    }
}
