//! Alerts: rules, the step from readings to a state, what the log keeps, and what preceded them.

pub mod rule;
