//! Numbers of variable length (LEB128, signed ones in zigzag), and taking bytes off the front of what was kept.

use thiserror::Error;

/// Bytes that are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// It ends too early.
    #[error("the value ends too early")]
    Short,
    /// It says something impossible.
    #[error("the value is damaged")]
    Damaged,
}

/// Appends a number without a sign.
pub fn put_unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number with a sign.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_unsigned(out, (number.wrapping_shl(1) ^ (number >> 63)) as u64);
}

/// Takes `length` bytes.
///
/// # Errors
/// [`DecodeError::Short`].
pub fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(DecodeError::Short)?;
    *bytes = rest;
    Ok(taken)
}

/// Takes an array of bytes.
///
/// # Errors
/// [`DecodeError::Short`].
pub fn take_array<const LENGTH: usize>(bytes: &mut &[u8]) -> Result<[u8; LENGTH], DecodeError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(DecodeError::Short)?;
    *bytes = rest;
    Ok(*taken)
}

/// Takes a number without a sign.
///
/// # Errors
/// [`DecodeError`].
pub fn take_unsigned(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take_array(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(DecodeError::Damaged)
}

/// Takes a number with a sign.
///
/// # Errors
/// [`DecodeError`].
pub fn take_signed(bytes: &mut &[u8]) -> Result<i64, DecodeError> {
    let number = take_unsigned(bytes)?;
    Ok((number >> 1) as i64 ^ -((number & 1) as i64))
}

/// Takes a number that fits 32 bits.
///
/// # Errors
/// [`DecodeError`].
pub fn take_u32(bytes: &mut &[u8]) -> Result<u32, DecodeError> {
    u32::try_from(take_unsigned(bytes)?).map_err(|_| DecodeError::Damaged)
}

/// Takes a count of things that take at least a byte each, so that damage cannot ask for all memory.
///
/// # Errors
/// [`DecodeError`].
pub fn take_count(bytes: &mut &[u8]) -> Result<usize, DecodeError> {
    let count = usize::try_from(take_unsigned(bytes)?).map_err(|_| DecodeError::Damaged)?;
    if count > bytes.len() {
        Err(DecodeError::Short)
    } else {
        Ok(count)
    }
}
