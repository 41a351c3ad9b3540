//! What everything that dials has in common: which addresses it may dial, whose certificates it believes, and what its
//! failures are called.

mod resolver;
mod roots;

use std::error::Error;
use std::io;
use std::iter::successors;

pub use self::resolver::{EgressError, Resolver};
pub use self::roots::Roots;

/// The error and what is behind it, the innermost last.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// What is behind an error of a connection, in words of TLS or the network.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    let known = causes(error).find_map(|error| {
        let network = error.downcast_ref::<io::Error>();
        // An io::Error does not name what it wraps as its source.
        let tls = network
            .and_then(|error| error.get_ref()?.downcast_ref())
            .or_else(|| error.downcast_ref::<rustls::Error>());
        match (tls, network) {
            (Some(tls), _) => Some(tls.to_string()),
            (None, Some(error)) if error.raw_os_error().is_some() => Some(error.kind().to_string()),
            (None, Some(error)) => Some(error.to_string()),
            (None, None) => None,
        }
    });
    known
        .or_else(|| causes(error).last().map(ToString::to_string))
        .unwrap_or_default()
}
