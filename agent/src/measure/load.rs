//! Load averages from `/proc/loadavg`.

use super::two_decimals;

/// Mean number of runnable or blocked tasks over 1, 5 and 15 minutes.
pub fn parse(text: &str) -> Option<[f64; 3]> {
    let mut fields = text.split_ascii_whitespace().map(|field| {
        field
            .parse::<f64>()
            .ok()
            .filter(|load| load.is_finite() && *load >= 0.0)
            .map(two_decimals)
    });
    Some([fields.next()??, fields.next()??, fields.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads() {
        let check = |text, expect| assert_eq!(parse(text), expect, "{text}");
        check(
            include_str!("../../tests/fixtures/debian-12-vm/proc/loadavg"),
            Some([1.16, 0.4, 0.26]),
        );
        check("0.00 0.01 12.34 1/80 999\n", Some([0.0, 0.01, 12.34]));
        check("0.00 0.01\n", None);
        check("0.00 0.01 NaN\n", None);
        check("0.00 -1 2\n", None);
        check("", None);
    }
}
