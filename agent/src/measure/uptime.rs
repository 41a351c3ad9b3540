//! Time since the machine started, from `/proc/uptime`.

/// Whole seconds since the machine started.
pub fn parse(text: &str) -> Option<f64> {
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| seconds.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes() {
        let check = |text, expect| assert_eq!(parse(text), expect, "{text}");
        check(
            include_str!("../../tests/fixtures/debian-12-vm/proc/uptime"),
            Some(2984.0),
        );
        check("2608.95 4553.64\n", Some(2608.0));
        check("inf 1\n", None);
        check("-5 1\n", None);
        check("", None);
    }
}
