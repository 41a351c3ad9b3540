//! Compression of bodies.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Bodies below this size do not gain from compression.
pub const MIN_BYTES: usize = 1024;

/// Compresses a body where that gains something.
pub fn compress(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < MIN_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}
