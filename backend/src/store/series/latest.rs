//! When a host last reported and its latest values: written when a slot of it is sealed, because the log that says the
//! same is trimmed then, and a host that is silent for hours still has a last value after a restart.

use crate::store::head::HostHead;
use crate::store::kv::Key;
use crate::store::varint::{
    DecodeError, put_signed, put_unsigned, take_array, take_signed, take_u32,
};

/// The key of a host's entry.
pub fn key(host: u32) -> Key {
    host.to_be_bytes().to_vec()
}

/// `last_received_at`, then series, time and value of each series that has any.
pub fn write(head: &HostHead) -> Vec<u8> {
    let mut out = Vec::new();
    let received_at = head.last_received_at().unwrap_or_default();
    put_signed(&mut out, received_at);
    for series in (0..).take(head.keys().len()) {
        if let Some((at, value)) = head.latest(series) {
            put_unsigned(&mut out, u64::from(series));
            put_signed(&mut out, received_at - at);
            out.extend(value.to_le_bytes());
        }
    }
    out
}

/// Takes over what [`write`] wrote; the head's series are known by then.
pub fn read(mut bytes: &[u8], head: &mut HostHead) -> Result<(), DecodeError> {
    let received_at = take_signed(&mut bytes)?;
    head.touch(received_at);
    while !bytes.is_empty() {
        let series = take_u32(&mut bytes)?;
        let at = received_at
            .checked_sub(take_signed(&mut bytes)?)
            .ok_or(DecodeError::Damaged)?;
        head.note_latest(series, at, f64::from_le_bytes(take_array(&mut bytes)?));
    }
    Ok(())
}
