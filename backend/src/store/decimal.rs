//! Exact decimals: most measurements have a few digits after the point, and as whole numbers they are small.

/// Largest number of digits after the point that is tried.
pub const MAX_SCALE: u8 = 6;
/// Whole numbers above this are not exact in `f64`.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
const POWERS_OF_TEN: [f64; MAX_SCALE as usize + 1] =
    [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// `value · 10^scale` as a whole number, if that gives the value back bit for bit.
pub fn scaled(value: f64, scale: u8) -> Option<i64> {
    let power = POWERS_OF_TEN.get(usize::from(scale))?;
    let whole = (value * power).round();
    // Within 2^53 the conversion is exact; -0.0 comes back as 0.0 and fails the comparison of bits.
    (whole.abs() < MAX_EXACT && (whole as i64 as f64 / power).to_bits() == value.to_bits())
        .then_some(whole as i64)
}

/// The value that [`scaled`] was given.
pub fn unscaled(whole: i64, scale: u8) -> f64 {
    whole as f64 / POWERS_OF_TEN.get(usize::from(scale)).unwrap_or(&1.0)
}

/// `10^digits` as a whole number, for going from one scale to a larger one.
pub fn power_of_ten(digits: u8) -> i64 {
    10_i64.pow(u32::from(digits.min(MAX_SCALE)))
}

/// The smallest scale from `least` on that takes this value.
pub fn scale_of(value: f64, least: u8) -> Option<u8> {
    (least..=MAX_SCALE).find(|scale| scaled(value, *scale).is_some())
}

/// The smallest scale that takes every value. A value that a scale takes, larger scales take too, as far as it stays
/// exact; so one pass that only ever goes up is enough, and the caller checks again while it converts.
pub fn common_scale(values: impl IntoIterator<Item = f64>) -> Option<u8> {
    values
        .into_iter()
        .try_fold(0, |scale, value| scale_of(value, scale))
}
