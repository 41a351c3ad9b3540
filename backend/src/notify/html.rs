//! A letter as HTML: tables and lists without colours, so that it is read alike in the light and in the dark. Nothing
//! is fetched, nothing runs.

use std::borrow::Cow;

use super::text::{Changed, Letter, Part};

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"color-scheme\" content=\"light dark\">\
    <meta name=\"viewport\" content=\"width=device-width\"></head>\
    <body style=\"font-family:system-ui,sans-serif;line-height:1.4\">\n";

/// The letter with markup.
pub fn html(letter: &Letter) -> String {
    let parts: String = letter.parts.iter().map(part).collect();
    let closing = letter.closing.iter().map(|text| paragraph(&escape(text)));
    let link = letter.link.iter().map(|link| paragraph(&anchor(link)));
    let end: String = closing.chain(link).collect();
    format!("{HEAD}{parts}{end}</body></html>\n")
}

fn part(part: &Part) -> String {
    let facts: String = part.facts.iter().map(fact).collect();
    let link: String = part
        .link
        .iter()
        .map(|link| paragraph(&anchor(link)))
        .collect();
    let changes = if part.changes.is_empty() {
        String::new()
    } else {
        let changes: String = part.changes.iter().map(changed).collect();
        format!(
            "<p>{}</p>\n<ul>\n{changes}</ul>\n",
            escape(&part.changes_heading)
        )
    };
    format!(
        "<h2 style=\"font-size:1.1em\">{}</h2>\n<table>\n{facts}</table>\n{link}{changes}<hr>\n",
        escape(&part.heading)
    )
}

fn fact((name, fact): &(&'static str, String)) -> String {
    format!(
        "<tr><th scope=\"row\" style=\"text-align:left;vertical-align:top;padding-right:1em\">{name}</th><td>{}</td></tr>\n",
        escape(fact)
    )
}

fn changed(changed: &Changed) -> String {
    let items: String = changed
        .items
        .iter()
        .map(|item| format!("<li>{}</li>", escape(item)))
        .collect();
    format!("<li>{}<ul>{items}</ul></li>\n", escape(&changed.heading))
}

fn paragraph(markup: &str) -> String {
    format!("<p>{markup}</p>\n")
}

fn anchor(link: &str) -> String {
    let link = escape(link);
    format!("<a href=\"{link}\">{link}</a>")
}

/// Text as text, in an element or a quoted attribute.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_say_is_text() {
        let check = |text, expect| assert_eq!(escape(text), expect);
        check("web-1", "web-1");
        check("a & b", "a &amp; b");
        check(
            "<script>alert('x')</script>",
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;",
        );
        check("\" onclick=\"", "&quot; onclick=&quot;");
        check("&lt;", "&amp;lt;");
    }
}
