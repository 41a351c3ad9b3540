//! Housekeeping, one function for each job: plans are in `domain/tier.rs`, and the store does what they say.

use chrono::{DateTime, TimeDelta};

use super::{FlowError, configuration, silence};
use crate::app::App;
use crate::domain::alert::silence::Silence;
use crate::domain::credential::ApiToken;
use crate::domain::session::Session;
use crate::domain::tier::Tier;
use crate::store::{alert as alerts, audit};

/// Records that one transaction removes.
const SWEEP_RECORDS: usize = 2_000;
/// A file of which so much is free is compacted by the clock; by hand, whatever is free.
const COMPACT_FREE_PERCENT: u64 = 50;

/// Seals slots; with `hurry`, all that have ended. Returns how many rows were written.
///
/// # Errors
/// The store's, as for every job here.
pub async fn seal(app: &App, hurry: bool) -> Result<usize, FlowError> {
    let now = app.clock.now().timestamp();
    Ok(app.store.series.seal(now, hurry).await?)
}

/// Repacks days; with `hurry`, also those that go on. Returns how many rows were written.
///
/// # Errors
/// See [`seal`].
pub async fn repack(app: &App, hurry: bool) -> Result<usize, FlowError> {
    let now = app.clock.now().timestamp();
    Ok(app.store.series.repack(now, hurry).await?)
}

/// Rolls repacked days up. Returns how many there were, a host each.
///
/// # Errors
/// See [`seal`].
pub async fn roll_up(app: &App) -> Result<usize, FlowError> {
    Ok(app.store.series.roll_up().await?)
}

/// Removes what is old: slots and days of each tier, after what of them was not rolled up yet, audit entries,
/// snapshots with their changes, and alerts. Returns how many slots, days, entries, snapshots and alerts went.
///
/// # Errors
/// See [`seal`].
pub async fn retain(app: &App) -> Result<usize, FlowError> {
    let now = app.clock.now();
    let series = &app.store.series;
    series.roll_up().await?;
    let units = series
        .retain(now.timestamp(), &app.retention.series)
        .await?;
    let oldest = now
        .checked_sub_signed(app.retention.audit)
        .unwrap_or(DateTime::UNIX_EPOCH);
    let entries = audit::remove_before(app.store.kv.as_ref(), oldest).await?;
    let oldest = now
        .checked_sub_signed(app.retention.snapshots)
        .unwrap_or(DateTime::UNIX_EPOCH);
    let snapshots = configuration::retain(app, oldest).await?;
    // Alerts are kept for as long as anything that they are about.
    let oldest = now
        .checked_sub_signed(TimeDelta::seconds(app.retention.series.seconds(Tier::Hour)))
        .unwrap_or(DateTime::UNIX_EPOCH);
    let alerts = alerts::remove_before(app.store.kv.as_ref(), oldest).await?;
    Ok(units + entries + snapshots + alerts)
}

/// Gives free space inside the files back to the disk. Returns 1 if that was done.
///
/// # Errors
/// See [`seal`].
pub async fn compact(app: &App, hurry: bool) -> Result<usize, FlowError> {
    let least_free_percent = if hurry { 0 } else { COMPACT_FREE_PERCENT };
    let done = app.store.kv.compact(least_free_percent).await?;
    Ok(usize::from(done))
}

/// Removes sessions, API tokens and silences that have ended, and what deleted hosts left. Returns how many records went.
///
/// # Errors
/// See [`seal`].
pub async fn sweep(app: &App) -> Result<usize, FlowError> {
    let now = app.clock.now();
    app.store.purge_deleted_hosts().await?;
    app.store
        .state
        .change(|change| {
            let state = change.state;
            let sessions = state.sessions.all();
            let tokens = state.api_tokens.all();
            let ended_sessions = sessions
                .iter()
                .filter(|session| session.is_over(now))
                .take(SWEEP_RECORDS);
            let ended_tokens = tokens
                .iter()
                .filter(|token| token.expires_at <= now)
                .take(SWEEP_RECORDS);
            let mut removed = 0;
            for session in ended_sessions {
                change.delete::<Session>(session.session_id);
                removed += 1;
            }
            for token in ended_tokens {
                change.delete::<ApiToken>(token.token_id);
                removed += 1;
            }
            for silence_id in silence::outdated(state, now) {
                change.delete::<Silence>(silence_id);
                removed += 1;
            }
            Ok(removed)
        })
        .await
}
