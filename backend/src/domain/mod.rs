//! Plain data and decisions: values in, values out. No input or output, no clock, no other room.

pub mod credential;
pub mod host;
pub mod id;
pub mod metric;
pub mod report;
pub mod role;
pub mod series;
pub mod session;
pub mod snapshot;
pub mod tier;
pub mod user;
