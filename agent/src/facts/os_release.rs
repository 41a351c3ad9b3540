//! Values of an os-release file (`os-release(5)`).

/// The value of a key; none when it is absent or empty.
pub fn value(os_release: &str, key: &str) -> Option<String> {
    os_release.lines().find_map(|line| {
        let value = line.trim().strip_prefix(key)?.strip_prefix('=')?.trim();
        let value = unquote(value);
        (!value.is_empty()).then_some(value)
    })
}

/// `PRETTY_NAME`, or `NAME` with `VERSION`.
pub fn pretty_name(os_release: &str) -> Option<String> {
    let value = |key| value(os_release, key);
    value("PRETTY_NAME").or_else(|| match (value("NAME")?, value("VERSION")) {
        (name, Some(version)) => Some(format!("{name} {version}")),
        (name, None) => Some(name),
    })
}

/// Undoes the quotes of the shell, as far as os-release may use them.
fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            let mut text = String::with_capacity(inner.len());
            let mut characters = inner.chars();
            while let Some(character) = characters.next() {
                text.extend(if character == '\\' {
                    characters.next()
                } else {
                    Some(character)
                });
            }
            return text;
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_systems() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(pretty_name(text).as_deref(), expect, "{text}");
        };
        check(
            include_str!("../../tests/fixtures/debian-12-vm/etc/os-release"),
            Some("Debian GNU/Linux 12 (bookworm)"),
        );
        check(
            "NAME=Alpine\nPRETTY_NAME='Alpine Linux v3.20'\n",
            Some("Alpine Linux v3.20"),
        );
        check("NAME=\"Arch Linux\"\n", Some("Arch Linux"));
        check(
            "NAME=Void\nVERSION=\"1 \\\"x\\\"\"\nPRETTY_NAME=\n",
            Some("Void 1 \"x\""),
        );
        check("ID=x\n", None);
        check("", None);
    }
}
