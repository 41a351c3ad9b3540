//! The URL of an endpoint.

use reqwest::Url;

/// Longest URL, in characters.
const MAX_URL_CHARS: usize = 2048;

/// Whether an endpoint may have this URL.
///
/// # Errors
/// What is wrong with it, in words that follow its name.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    parse(url).map(|_| ())
}

/// The URL as it is asked.
///
/// # Errors
/// As of [`check_url`].
pub fn parse(text: &str) -> Result<Url, &'static str> {
    if text.chars().count() > MAX_URL_CHARS {
        return Err("must have at most 2,048 characters");
    }
    // The parser would leave them out.
    if text.contains(|character: char| character.is_control() || character.is_whitespace()) {
        return Err("must not contain spaces or control characters");
    }
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://web-1:7421/report")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must have a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user or password");
    }
    if url.query().is_some() {
        return Err("must not contain a query");
    }
    if url.fragment().is_some() {
        return Err("must not contain a fragment");
    }
    Ok(url)
}

/// Host and port, as people write them.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expect: Option<&str>| {
            let fault = check_url(url).err();
            assert_eq!(fault.is_some(), expect.is_some(), "{url}: {fault:?}");
            if let (Some(fault), Some(expect)) = (fault, expect) {
                assert!(fault.contains(expect), "{url}: {fault}");
            }
        };
        check("https://web-1:7421/report", None);
        check("http://10.0.0.5:7421/report", None);
        check("http://[fd12::1]:7421/report", None);
        check("https://web-1/behind/a/proxy/report", None);
        check(&format!("https://web-1/{}", "a".repeat(2034)), None);
        check(
            &format!("https://web-1/{}", "a".repeat(2035)),
            Some("2,048"),
        );
        check("", Some("a URL"));
        check("web-1:7421", Some("http://"));
        check("/report", Some("a URL"));
        check("https://", Some("a URL"));
        check("ftp://web-1/report", Some("http://"));
        check("file:///etc/passwd", Some("http://"));
        check("https://user@web-1/report", Some("user"));
        check("https://:secret@web-1/report", Some("user"));
        check("https://web-1/report?token=1", Some("query"));
        check("https://web-1/report?", Some("query"));
        check("https://web-1/report#a", Some("fragment"));
        check("https://we\nb-1/report", Some("control"));
        check(" https://web-1/report", Some("spaces"));
    }

    #[test]
    fn authorities() {
        let check = |url: &str, expect: &str| {
            assert_eq!(authority(&parse(url).unwrap()), expect);
        };
        check("https://web-1/report", "web-1:443");
        check("http://[fd12::1]:7421/report", "[fd12::1]:7421");
        check("http://0x7f.1/report", "127.0.0.1:80");
    }
}
