//! A mail: who it is from and to, its headers, and the letter in it as text and as HTML.

use chrono::{DateTime, Utc};
use lettre::address::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::html::html;
use super::text::{letter, plain};
use super::{Links, NotifyError};
use crate::domain::notification::{Content, Email};

/// A mail, ready to be sent.
pub(super) struct Mail {
    /// Who sends it.
    pub from: Address,
    /// Who gets it.
    pub to: Vec<Address>,
    /// The message as it travels, in ASCII.
    pub bytes: Vec<u8>,
}

/// Whether a channel may have these addresses.
///
/// # Errors
/// The field and what is wrong with it, in words that follow its name.
pub fn check_addresses(email: &Email) -> Result<(), (String, &'static str)> {
    mailbox(&email.from).map_err(|fault| ("from".to_owned(), fault))?;
    if email.to.is_empty() {
        return Err(("to".to_owned(), "must name somebody"));
    }
    for (index, to) in email.to.iter().enumerate() {
        mailbox(to).map_err(|fault| (format!("to[{index}]"), fault))?;
    }
    Ok(())
}

/// Reads `Name <user@example.org>`, or an address alone. The library's own reader lets anything follow.
fn mailbox(text: &str) -> Result<Mailbox, &'static str> {
    if text.contains(char::is_control) {
        return Err("must not contain control characters");
    }
    let text = text.trim();
    let in_brackets = text
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'));
    let (name, address) = in_brackets.unwrap_or(("", text));
    if !address.is_ascii() {
        return Err("must have an address in ASCII");
    }
    let address: Address = address
        .parse()
        .map_err(|_| "must be an address such as Name <user@example.org>")?;
    let name = name.trim().trim_matches('"').trim();
    Ok(Mailbox::new(
        (!name.is_empty()).then(|| name.to_owned()),
        address,
    ))
}

/// Writes the mail that tells this. Its Message-ID is the key's: who gets it twice can know it.
///
/// # Errors
/// When an address is none.
pub(super) fn compose(
    email: &Email,
    key: &str,
    content: &Content,
    links: &Links,
    now: DateTime<Utc>,
) -> Result<Mail, NotifyError> {
    let read =
        |text: &String| mailbox(text).map_err(|fault| NotifyError::Address(text.clone(), fault));
    let from = read(&email.from)?;
    let to = email.to.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let letter = letter(content, links);
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .subject(&letter.subject)
        .date(now.into())
        .message_id(Some(message_id(key, from.email.domain())))
        // Nobody's automatic answer is wanted (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for to in &to {
        builder = builder.to(to.clone());
    }
    let body = MultiPart::alternative_plain_html(plain(&letter), html(&letter));
    let message = builder
        .multipart(body)
        .map_err(|error| NotifyError::Message(error.to_string()))?;
    Ok(Mail {
        from: from.email,
        to: to.into_iter().map(|to| to.email).collect(),
        bytes: message.formatted(),
    })
}

fn message_id(key: &str, domain: &str) -> String {
    let is_atom = |character: char| character.is_ascii_alphanumeric() || "-_.+".contains(character);
    let key: String = key
        .chars()
        .map(|character| if is_atom(character) { character } else { '-' })
        .collect();
    format!("<{key}@{domain}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expect: Result<(Option<&str>, &str), &str>| {
            let read = mailbox(text);
            match (&read, expect) {
                (Ok(read), Ok((name, address))) => {
                    assert_eq!(read.name.as_deref(), name, "{text}");
                    assert_eq!(read.email.to_string(), address, "{text}");
                }
                (Err(fault), Err(expect)) => assert!(fault.contains(expect), "{text}: {fault}"),
                other => panic!("{text}: {other:?}"),
            }
        };
        check("a@example.org", Ok((None, "a@example.org")));
        check(" <a@example.org> ", Ok((None, "a@example.org")));
        check("Ops <a@example.org>", Ok((Some("Ops"), "a@example.org")));
        check(
            "\"Ops, 2\" <a@example.org>",
            Ok((Some("Ops, 2"), "a@example.org")),
        );
        check(
            "Wächter <a@example.org>",
            Ok((Some("Wächter"), "a@example.org")),
        );
        check("a@[127.0.0.1]", Ok((None, "a@[127.0.0.1]")));
        check("", Err("such as"));
        check("a", Err("such as"));
        check("a@", Err("such as"));
        check("@example.org", Err("such as"));
        check("a@example.org, b@example.org", Err("such as"));
        check("Ops <a@example.org> b", Err("such as"));
        check("Ops a@example.org>", Err("such as"));
        check("a b@example.org", Err("such as"));
        check("wächter@example.org", Err("ASCII"));
        check("a@example.org\r\nBcc: b@example.org", Err("control"));
        check("Ops\r\nBcc: b <a@example.org>", Err("control"));
    }

    #[test]
    fn a_message_id_is_the_key_and_nothing_more() {
        let check = |key, expect| assert_eq!(message_id(key, "example.org"), expect);
        check("0193-firing.repeat-2", "<0193-firing.repeat-2@example.org>");
        check("a b>\r\nX: y", "<a-b---X--y@example.org>");
    }
}
