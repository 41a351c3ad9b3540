//! Patterns with `*` (any characters) and `?` (one character), as in the names of packages and files.

/// Whether the whole of `text` matches `pattern`. Takes time in proportion to the product of both lengths at worst.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on when a character does not fit: after the last `*`, which then takes one character more.
    let mut retry = None;
    loop {
        let mut ahead = pattern.clone();
        match (ahead.next(), text.clone().next()) {
            (Some('*'), _) => {
                pattern = ahead;
                retry = Some((pattern.clone(), text.clone()));
                continue;
            }
            (None, None) => return true,
            (Some(expected), Some(found)) if expected == '?' || expected == found => {
                pattern = ahead;
                text.next();
                continue;
            }
            _ => {}
        }
        let Some((after_star, mut rest)) = retry.take() else {
            return false;
        };
        if rest.next().is_none() {
            return false;
        }
        pattern = after_star.clone();
        text = rest.clone();
        retry = Some((after_star, rest));
    }
}

/// Whether a text is a pattern at all, and not just itself.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let check = |pattern, text, expect| {
            assert_eq!(matches(pattern, text), expect, "{pattern} on {text}");
        };
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("*", "anything/at:all", true);
        check("openssl", "openssl", true);
        check("openssl", "openssl-dev", false);
        check("lib*", "libc6", true);
        check("*ssl*", "dpkg/openssl:amd64", true);
        check("dpkg/*:amd64", "dpkg/openssl:arm64", false);
        check("a*b*c", "aXbXbc", true);
        check("a*b*c", "aXbX", false);
        check("?", "ä", true);
        check("?", "", false);
        check("python3.?", "python3.9", true);
        check("python3.?", "python3.11", false);
        check("**a", "bca", true);
        check("*a*a*a*a*b", &"a".repeat(200), false);
    }
}
