//! What is done to a target, one thing after the other.

pub mod ask;
pub mod crash;
pub mod fleet;
pub mod ingest;
