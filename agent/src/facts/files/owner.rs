//! Names of users and groups, from `/etc/passwd` and `/etc/group` (`passwd(5)`, `group(5)`).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Names by number; who is known elsewhere only, such as in LDAP, keeps the number.
pub struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// The names of the system whose root directory is `root`.
    pub fn read(root: &Path) -> Self {
        let names = |path: &str| {
            let bytes = fs::read(root.join(path)).unwrap_or_default();
            parse(&String::from_utf8_lossy(&bytes))
        };
        Self {
            users: names("etc/passwd"),
            groups: names("etc/group"),
        }
    }

    /// A user's name.
    pub fn user(&self, number: u32) -> String {
        self.users
            .get(&number)
            .cloned()
            .unwrap_or_else(|| number.to_string())
    }

    /// A group's name.
    pub fn group(&self, number: u32) -> String {
        self.groups
            .get(&number)
            .cloned()
            .unwrap_or_else(|| number.to_string())
    }
}

/// Both files begin alike: name, password, number. The first of several names of a number holds.
fn parse(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(number)) = (fields.next(), fields.nth(1))
            && let Ok(number) = number.parse()
            && !name.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let names = parse(
            "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\n\nbroken\na b:x:3:\nweb:x:33:",
        );
        assert_eq!(names.get(&0).map(String::as_str), Some("root"));
        assert_eq!(names.get(&33).map(String::as_str), Some("web"));
        assert_eq!(names.len(), 2);
    }
}
