//! Silences: made and removed.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Caller, FlowError, note};
use crate::app::App;
use crate::domain::alert::silence::Silence;
use crate::domain::id;
use crate::domain::selector::Selector;
use crate::store::state::State;

/// Most silences that there may be, those that are over not counted.
const MAX_SILENCES: usize = 1_000;
/// A silence that is over is shown for so long.
const KEPT: TimeDelta = TimeDelta::days(30);

/// A silence to be made.
#[derive(Clone, Debug)]
pub struct NewSilence {
    /// Alerts of which hosts.
    pub selector: Selector,
    /// Alerts of this rule alone.
    pub rule_id: Option<Uuid>,
    /// From when on; from now without it.
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// Why.
    pub comment: String,
}

/// Makes a silence.
///
/// # Errors
/// [`FlowError::Invalid`] for a time that never is and an unknown rule, and [`FlowError::Conflict`] when there are too
/// many.
pub async fn create(app: &App, caller: &Caller, new: NewSilence) -> Result<Silence, FlowError> {
    let now = app.clock.now();
    let silence = Silence {
        silence_id: id::new(now),
        selector: new.selector,
        rule_id: new.rule_id,
        from: new.from.unwrap_or(now),
        to: new.to,
        comment: new.comment,
        created_by: caller.actor().name,
        created_at: now,
    };
    if silence.to <= silence.from {
        return Err(FlowError::invalid("to", "must be after from"));
    }
    if silence.to <= now {
        return Err(FlowError::invalid("to", "is over"));
    }
    app.store
        .state
        .change(|change| {
            let state = change.state;
            if let Some(rule_id) = silence.rule_id
                && state.alert_rules.get(rule_id).is_none()
            {
                return Err(FlowError::invalid("rule_id", "is no rule"));
            }
            let others = state.silences.all();
            if others.iter().filter(|other| other.to > now).count() >= MAX_SILENCES {
                return Err(FlowError::Conflict(
                    "there are 1000 silences; delete one first",
                ));
            }
            let actor = caller.actor();
            let id = Some(silence.silence_id);
            note(change, now, actor, "silence.create", id, &silence.comment);
            change.put(silence.clone());
            Ok(silence)
        })
        .await
}

/// Removes a silence; what it kept back and still fires is told with the next evaluation.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn delete(app: &App, caller: &Caller, silence_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let silence = change.state.silences.get(silence_id);
            let silence = silence.ok_or(FlowError::NotFound("silence"))?;
            let actor = caller.actor();
            let id = Some(silence_id);
            note(change, now, actor, "silence.delete", id, &silence.comment);
            change.delete::<Silence>(silence_id);
            Ok(())
        })
        .await
}

/// Silences that were over long ago.
pub fn outdated(state: &State, now: DateTime<Utc>) -> Vec<Uuid> {
    let silences = state.silences.all();
    let outdated = silences.iter().filter(|silence| silence.to + KEPT < now);
    outdated.map(|silence| silence.silence_id).collect()
}
