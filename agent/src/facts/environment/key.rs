//! The key under which values are hashed: with it equal values have equal tags on this host, and nobody else can try
//! values out.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::facts::hex;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// Bytes of the hash that are told: enough that no two values share them.
const TAG_BYTES: usize = 16;

/// Made on this host, and never sent or logged.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// What is told of a value: `hmac:` and the first half of HMAC-SHA256 (RFC 2104) over name, zero byte and value, in
    /// hexadecimal. With the name in it, equal values of two names do not show as equal.
    pub fn tag(&self, name: &str, value: &str) -> String {
        // A key shorter than a block is the same as one filled up with zeros.
        let mut block = [0; BLOCK_BYTES];
        block[..KEY_BYTES].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        format!("hmac:{}", hex(&mac.finalize().into_bytes()[..TAG_BYTES]))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let mut bytes = [0; KEY_BYTES];
        for (index, byte) in (0..).zip(&mut bytes) {
            *byte = index;
        }
        let key = Key::from_bytes(bytes);
        // printf 'DB_PASSWORD\0hunter2' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f
        assert_eq!(
            key.tag("DB_PASSWORD", "hunter2"),
            "hmac:c89e507946c4ba1d5fc25e8d5e1a4178"
        );
        assert_ne!(key.tag("A", "x"), key.tag("B", "x"));
        assert_ne!(
            key.tag("A", "x"),
            Key::from_bytes([0; KEY_BYTES]).tag("A", "x")
        );
        assert_eq!(format!("{key:?}"), "Key(…)");
    }
}
