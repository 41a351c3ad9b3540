//! Alerts: rules, the step from readings to a state, what is kept of them, and silences.

pub mod fit;
pub mod preceding;
pub mod record;
pub mod rule;
pub mod run;
pub mod silence;
pub mod step;

#[cfg(test)]
mod timeline;

pub use record::{Alert, EndReason, Phase, Place};
