//! Plain data and decisions: values in, values out. No input or output, no clock, no other room.

pub mod alert;
pub mod backup;
pub mod baseline;
pub mod change;
pub mod collection;
pub mod compare;
pub mod credential;
pub mod drift_rule;
pub mod egress;
pub mod host;
pub mod id;
pub mod identity;
pub mod metric;
pub mod notification;
pub mod progress;
pub mod report;
pub mod role;
pub mod secrecy;
pub mod selector;
pub mod series;
pub mod session;
pub mod snapshot;
pub mod tier;
pub mod user;
pub mod version;
