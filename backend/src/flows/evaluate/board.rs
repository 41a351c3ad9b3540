//! What of the evaluation others may see: alerts that are pending, values of now, and how the evaluation does.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use uuid::Uuid;

use crate::domain::alert::Alert;

/// Values of an alert that fires, as of the last evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values {
    /// The worst since it fires.
    pub worst: Option<f64>,
    /// The latest.
    pub latest: Option<f64>,
}

/// What the last evaluation found beside what is kept.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Alerts that are pending; they live in memory alone.
    pub pending: Vec<Alert>,
    /// Values of those that fire.
    pub values: HashMap<Uuid, Values>,
}

impl View {
    /// An alert with the values of now.
    pub fn with_values(&self, alert: &Alert) -> Alert {
        let values = self.values.get(&alert.alert_id).copied();
        let values = values.unwrap_or_default();
        Alert {
            worst_value: values.worst.or(alert.worst_value),
            last_value: values.latest,
            ..alert.clone()
        }
    }
}

/// How the evaluation does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Places that are watched: a rule at a host, or at one of its series.
    pub watches: usize,
    /// Bytes of memory that they take.
    pub watch_bytes: usize,
    /// Alerts that are pending.
    pub pending: usize,
    /// How long the last evaluation took, in seconds.
    pub seconds: f64,
    /// When it was, Unix seconds; 0 before the first.
    pub at: i64,
}

/// Shared by the evaluation and those who look.
#[derive(Default)]
pub struct AlertBoard {
    pub(super) engine: tokio::sync::Mutex<super::Engine>,
    view: RwLock<Arc<View>>,
    figures: RwLock<Figures>,
}

impl AlertBoard {
    /// What the last evaluation found.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// How it does.
    pub fn figures(&self) -> Figures {
        *self.figures.read()
    }

    pub(super) fn show(&self, view: View, figures: Figures) {
        *self.view.write() = Arc::new(view);
        *self.figures.write() = figures;
    }
}
