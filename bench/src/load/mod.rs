//! The client of all targets: lean, because it shares the processors with the server that it measures.

pub mod client;
pub mod flat_out;
pub mod pace;
pub mod pool;
mod response;
pub mod rounds;
