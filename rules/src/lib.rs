//! What agent and backend must decide alike: pure rules, without input, output or other crates.

pub mod compared;
pub mod glob;
pub mod secrecy;
