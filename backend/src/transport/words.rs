//! What the failures of connections are called, the same for every way to a host.

use std::io;
use std::time::Duration;

pub use crate::domain::collection::quoted;
use crate::outgoing::cause;

/// Why there is no connection to `place`.
pub fn unreachable(place: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("the connection to {place} was refused"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to {place}: {}", error.kind())
        }
        _ => format!("connecting to {place} failed: {}", cause(error)),
    }
}

/// That something took too long.
pub fn too_long(doing: &str, patience: Duration) -> String {
    format!("{doing} took more than {} s", patience.as_secs_f32())
}
