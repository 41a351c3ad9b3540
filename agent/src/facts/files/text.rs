//! Whether a file's text may be shown: small, plain text, and no line that speaks of a secret.

use super::super::snapshot::MAX_VALUE_CHARS;
use infra_watch_rules::secrecy::{is_secret_name, is_secret_value};

/// Values that hold no secret, whatever they are the value of.
const HARMLESS: &[&str] = &[
    "yes", "no", "on", "off", "true", "false", "none", "null", "default", "auto",
];

/// Most words of a comment that may be a setting that was taken out; what is longer is prose.
const MAX_SETTING_WORDS: usize = 3;

/// `head`, a line break and the text of the file at `path`. None if only the head may be told.
pub fn shown(path: &str, head: &str, content: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(content).ok()?;
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let is_small = head.chars().count() + 1 + text.chars().count() <= MAX_VALUE_CHARS;
    let is_shown = is_small
        && !is_secret_name(path)
        && text.chars().all(is_plain)
        && text.lines().all(may_be_shown);
    is_shown.then(|| format!("{head}\n{text}"))
}

/// Whether nothing in the line speaks of a secret. A key over several lines has its name or its form in at least one.
fn may_be_shown(line: &str) -> bool {
    let line = line.replace('\t', " ");
    let line = line.trim();
    if is_secret_value(line) {
        return false;
    }
    let said = line.trim_start_matches(['#', ';', '/', '*', '-', ' ']);
    let is_comment = line.starts_with(['#', ';']) || line.starts_with("//");
    let is_prose = is_comment && said.split(' ').count() > MAX_SETTING_WORDS;
    let secret = if is_prose {
        // It may speak of keys, and it may hold a setting that was taken out.
        let assignments = said.match_indices(['=', ':']);
        let mut names = assignments.filter_map(|(at, _)| words(&said[..at]).next_back());
        names.find(|name| is_secret_name(name))
    } else {
        words(said).find(|word| is_secret_name(word))
    };
    let Some(secret) = secret else {
        return true;
    };
    // What is set, if the line sets one thing: `PasswordAuthentication no`, `key_check: "off"`.
    said.strip_prefix(secret).is_some_and(|value| {
        let value = value.trim_matches(|c: char| c.is_whitespace() || "=:\"',;".contains(c));
        HARMLESS.contains(&value.to_ascii_lowercase().as_str())
    })
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let is_between = |c: char| c.is_whitespace() || "=:,;\"'()[]{}<>&|".contains(c);
    text.split(is_between).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |line: &str, expect: bool| assert_eq!(may_be_shown(line), expect, "{line}");
        for plain in [
            "",
            "Port 22",
            "listen = 0.0.0.0",
            "# The key to happiness is a good design.",
            "PasswordAuthentication no",
            "#PasswordAuthentication yes",
            "use_auth: 'off'",
            "[mysqld]",
            "\tindented = yes",
            "PATH=/usr/bin:/bin",
        ] {
            check(plain, true);
        }
        for secret in [
            "password = hunter2",
            "password hunter2",
            "#password=hunter2",
            "#password hunter2",
            "# export DB_PASSWORD=hunter2",
            "# on the old machine this was DB_PASSWORD = hunter2",
            "password:",
            "<password>hunter2</password>",
            "root:$6$abc$xyz:19000:0:99999:7:::",
            "; secret: x",
            "# api_key = x",
            "Environment=\"DB_PASSWORD=hunter2\"",
            "ExecStart=/bin/x --token x",
            "url = https://u:p@h/",
            "-----BEGIN PRIVATE KEY-----",
            "x = ghp_0123456789abcdefghij",
            "a = 0123456789abcdef0123456789abcdef",
            "machine h login u password p",
            "{\"auth\": \"x\"}",
            "pin: 1234",
            "PasswordAuthentication no no hunter2",
        ] {
            check(secret, false);
        }
    }

    #[test]
    fn texts() {
        let check = |content: &[u8], expect: Option<&str>| {
            assert_eq!(
                shown("/etc/app.conf", "head", content.to_vec()).as_deref(),
                expect
            );
        };
        check(b"a = 1\n\tb\n", Some("head\na = 1\n\tb\n"));
        check(b"", Some("head\n"));
        check(b"a\r\n", None);
        check(b"a\0", None);
        check(b"\xff", None);
        check(b"a = 1\nsecret = x\n", None);
        // What the path says of the file counts too.
        assert_eq!(shown("/etc/app.key", "head", b"a\n".to_vec()), None);
        let line = "x = 1\n";
        let most = (MAX_VALUE_CHARS - "head\n".len()) / line.len();
        assert!(shown("/etc/app.conf", "head", line.repeat(most).into_bytes()).is_some());
        assert!(shown("/etc/app.conf", "head", line.repeat(most + 1).into_bytes()).is_none());
    }
}
