//! Pages: each a sentence made of components.

pub mod administration;
pub mod api_tokens;
pub mod audit;
pub mod baselines;
pub mod changes;
pub mod compare;
pub mod compare_group;
pub mod configuration;
pub mod drift;
pub mod drift_acts;
pub mod drift_rules;
pub mod enrollment_keys;
pub mod host;
pub mod host_changes;
pub mod host_edit;
pub mod inventory;
pub mod login;
pub mod metrics;
pub mod not_found;
pub mod overview;
pub mod password;
pub mod set_aside;
pub mod snapshots;
pub mod system;
pub mod users;
