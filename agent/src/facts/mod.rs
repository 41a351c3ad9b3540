//! What this machine is: the facts of its configuration that identify it.

mod host;

pub use host::Host;
