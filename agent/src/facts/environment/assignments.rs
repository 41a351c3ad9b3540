//! Assignments in files: pure functions from text to names and values. Nothing is executed or expanded.

/// Of `/etc/environment`, as `pam_env(8)` reads it: one assignment a line, one pair of quotes around the value taken
/// off. The last of several wins.
pub fn of_pam(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = line.split_once('=') {
            // A comment begins at a word of its own.
            let value = value
                .split_once(" #")
                .map_or(value, |(value, _)| value)
                .trim();
            let unquoted = ['"', '\'']
                .into_iter()
                .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
            set(&mut found, name.trim(), unquoted.unwrap_or(value));
        }
    }
    found
}

/// Of a file that a shell sources, such as those of `/etc/default`: `NAME=word`, also after `export`, with quotes,
/// comments and values of several lines. What else a shell could do is passed over. The last of several wins.
pub fn of_shell(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        let unexported = rest
            .strip_prefix("export ")
            .unwrap_or(rest)
            .trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return found;
        }
        let name_end = unexported
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
            .unwrap_or(unexported.len());
        let (name, after) = unexported.split_at(name_end);
        rest = match after.strip_prefix('=') {
            Some(value) if !name.is_empty() => {
                let (value, after) = word(value);
                set(&mut found, name, &value);
                after
            }
            // No assignment: a comment, or a command.
            _ => unexported.split_once('\n').map_or("", |(_, after)| after),
        };
    }
}

/// The word that a shell reads, without its quotes, and what follows.
fn word(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (Some('\''), _) => value.push(character),
            (_, '\\') => match characters.next() {
                // A line that goes on.
                Some((_, '\n')) | None => {}
                Some((_, escaped)) => {
                    // In double quotes only these lose their backslash.
                    if quote.is_some() && !matches!(escaped, '"' | '\\' | '$' | '`') {
                        value.push('\\');
                    }
                    value.push(escaped);
                }
            },
            (None, _) if character.is_whitespace() || matches!(character, ';' | '&' | '|') => {
                return (value, &text[at..]);
            }
            _ => value.push(character),
        }
    }
    (value, "")
}

fn set(found: &mut Vec<(String, String)>, name: &str, value: &str) {
    match found.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => found.push((name.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Vec<(String, String)>, expect: &[(&str, &str)], text: &str) {
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn pam() {
        let check = |text: &str, expect: &[(&str, &str)]| check(of_pam(text), expect, text);
        check(
            "PATH=\"/usr/bin:/bin\"\nLANG=C # default\n",
            &[("PATH", "/usr/bin:/bin"), ("LANG", "C")],
        );
        check(
            "  export A = 'x y' \n#B=1\n # C=1\nD\n\nE=\n",
            &[("A", "x y"), ("E", "")],
        );
        check("A=1\nA=2", &[("A", "2")]);
        check("A=\"half\nB=c#d\n", &[("A", "\"half"), ("B", "c#d")]);
        check("A=b=c\n", &[("A", "b=c")]);
    }

    #[test]
    fn shell() {
        let check = |text: &str, expect: &[(&str, &str)]| check(of_shell(text), expect, text);
        check(
            "A=1\nexport B='two words'\nC=\"x $HOME\"\n",
            &[("A", "1"), ("B", "two words"), ("C", "x $HOME")],
        );
        check("# A=1\n  #B=2\nC=3 # four\n", &[("C", "3")]);
        check(
            "A=a\"b\"'c'\\ d B=2; C=3\n",
            &[("A", "abc d"), ("B", "2"), ("C", "3")],
        );
        check(
            "A=\"one\ntwo\"\nB='x\n# no comment'\n",
            &[("A", "one\ntwo"), ("B", "x\n# no comment")],
        );
        check("A=one\\\ntwo\n", &[("A", "onetwo")]);
        check("A=\"q\\\"q\\n\"\n", &[("A", "q\"q\\n")]);
        check("if [ -f x ]; then\n  A=1\nfi\n. /etc/x\n", &[("A", "1")]);
        check("A=1\nA=\nB", &[("A", "")]);
        check("A+=1\n=x\n", &[]);
        check("A=\"never closed\nB=1\n", &[("A", "never closed\nB=1\n")]);
        check("net.core-x=1\n", &[("net.core-x", "1")]);
        check("", &[]);
        check("export", &[]);
    }
}
