//! Numbers as text and back with little code: the standard library carries tables and two algorithms to be exact to the
//! last bit, which whoever reads or types a number here does not see.

/// As many digits of an integer are exact.
const EXACT: f64 = 1e15;
/// Digits of a text that are looked at.
const DIGITS: u64 = 10_u64.pow(18);

/// A number as JSON writes it. Up to 15 digits are exact; with more, the last bit or two may be others than the nearest.
pub fn parse(text: &str) -> Option<f64> {
    let (text, mut exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.parse().ok()?),
        None => (text, 0_i32),
    };
    let (sign, text) = text
        .strip_prefix('-')
        .map_or((1.0, text), |rest| (-1.0, rest));
    if !text.starts_with(|character: char| character.is_ascii_digit()) {
        return None;
    }
    let (mut digits, mut seen_point) = (0_u64, false);
    for byte in text.bytes() {
        match byte {
            b'.' if !seen_point => seen_point = true,
            b'0'..=b'9' => {
                // Beyond these digits nothing changes any more.
                let is_counted = digits < DIGITS;
                if is_counted {
                    digits = digits * 10 + u64::from(byte - b'0');
                }
                exponent += i32::from(!is_counted) - i32::from(seen_point);
            }
            _ => return None,
        }
    }
    let power = 10_f64.powi(exponent.checked_abs()?);
    let digits = digits as f64;
    let size = if exponent < 0 {
        digits / power
    } else {
        digits * power
    };
    Some(sign * size.min(f64::MAX))
}

/// A number with so many decimals: `12.30`. Halves go away from zero.
pub fn fixed(value: f64, decimals: usize) -> String {
    let mut size = value.abs() * 10_f64.powi(i32::try_from(decimals).unwrap_or_default());
    if !size.is_finite() {
        return "–".to_owned();
    }
    let mut zeros = 0;
    while size > EXACT * 1000.0 {
        size /= 10.0;
        zeros += 1;
    }
    let digits = size.round() as u64;
    let mut text = digits.to_string();
    text.extend(std::iter::repeat_n('0', zeros));
    if decimals > 0 {
        while text.len() <= decimals {
            text.insert(0, '0');
        }
        text.insert(text.len() - decimals, '.');
    }
    if value < 0.0 && digits > 0 {
        text.insert(0, '-');
    }
    text
}

/// A number with as many decimals as tell it from others: `12.3`, `90`.
pub fn shortest(value: f64) -> String {
    let mut text = String::new();
    for decimals in 0..18 {
        text = fixed(value, decimals);
        if parse(&text) == Some(value) || value.abs() >= EXACT {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_decimals() {
        let check = |value, decimals, expect| assert_eq!(fixed(value, decimals), expect);
        check(0.0, 0, "0");
        check(0.0, 2, "0.00");
        check(-0.001, 2, "0.00");
        check(12.345_6, 2, "12.35");
        check(-12.3, 1, "-12.3");
        check(0.05, 1, "0.1");
        check(99.96, 1, "100.0");
        check(1e15, 1, "1000000000000000.0");
        check(1e21, 0, "1000000000000000000000");
        check(f64::NAN, 1, "–");
        check(f64::INFINITY, 0, "–");
    }

    #[test]
    fn no_more_decimals_than_it_takes() {
        let check = |value, expect| assert_eq!(shortest(value), expect);
        check(0.0, "0");
        check(90.0, "90");
        check(0.1, "0.1");
        check(-2.5, "-2.5");
        check(123_456.789, "123456.789");
        check(1e18, "1000000000000000000");
    }

    #[test]
    fn what_people_type_comes_back() {
        proptest::proptest!(|(whole in -1_000_000_000_i64..1_000_000_000, decimals in 0_usize..6)| {
            let value = whole as f64 / 10_f64.powi(decimals as i32);
            assert_eq!(parse(&shortest(value)), Some(value));
            let near: f64 = fixed(value, 3).parse().unwrap();
            assert!((near - value).abs() <= 0.000_51);
        });
    }
}
