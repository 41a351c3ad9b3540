//! Housekeeping that runs by the clock: what has ended is removed.

use super::FlowError;
use crate::app::App;
use crate::domain::credential::ApiToken;
use crate::domain::session::Session;

/// Records that one transaction removes.
const SWEEP_RECORDS: usize = 2_000;

/// Removes sessions and API tokens that have ended, and what deleted hosts left. Returns how many records went.
///
/// # Errors
/// The store's.
pub async fn sweep(app: &App) -> Result<usize, FlowError> {
    let now = app.clock.now();
    app.store.state.purge_deleted_hosts().await?;
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
            Ok(removed)
        })
        .await
}
