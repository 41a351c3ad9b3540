//! What the failures of connections are called, the same for every way to a host.

use std::io;
use std::time::Duration;

use crate::outgoing::cause;

/// Why there is no connection to `place`.
pub fn unreachable(place: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("the connection to {place} was refused"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to {place}: {}", error.kind())
        }
        _ => format!("connecting to {place} failed: {}", cause(error)),
    }
}

/// That something took too long.
pub fn too_long(doing: &str, patience: Duration) -> String {
    format!("{doing} took more than {} s", patience.as_secs_f32())
}

/// What the other side said, fit to be shown: one line of at most `longest` characters, nothing that moves a cursor.
pub fn quoted(said: &str, longest: usize) -> String {
    let said = said.trim();
    let mut quote: String = said
        .chars()
        .map(|character| {
            if is_plain(character) {
                character
            } else {
                '\u{b7}'
            }
        })
        .take(longest)
        .collect();
    if said.chars().nth(longest).is_some() {
        quote.push('…');
    }
    quote
}

/// Whether a character is shown as itself and changes nothing around it.
fn is_plain(character: char) -> bool {
    let is_invisible = matches!(character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !is_invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        let check = |said: &str, expect: &str| assert_eq!(quoted(said, 10), expect);
        check("  not found\n", "not found");
        check("0123456789", "0123456789");
        check("0123456789a", "0123456789…");
        check("a\x1b[2Jb\r\nc", "a·[2Jb··c");
        check("a\u{202e}b", "a·b");
        check("", "");
    }
}
