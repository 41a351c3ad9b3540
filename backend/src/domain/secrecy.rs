//! The backend's own look at an environment: an agent hides values by the same rules, and is not believed to have done so.

use infra_watch_rules::secrecy;

use super::snapshot::{ENVIRONMENT, Sections};

/// What stands in the place of a value that was removed.
const REMOVED: &str = "removed";

/// Removes values that may be secrets, and says how many.
pub fn remove_secrets(sections: &mut Sections) -> usize {
    let mut removed = 0;
    for (name, value) in sections.get_mut(ENVIRONMENT).into_iter().flatten() {
        // A variable with several sources has several values.
        let plain: Vec<&str> = value.split(' ').filter(|part| !is_tag(part)).collect();
        let plain = plain.join(" ");
        if !plain.is_empty() && !secrecy::may_be_shown(name, &plain) {
            REMOVED.clone_into(value);
            removed += 1;
        }
    }
    removed
}

/// Whether a text is a keyed hash as agents send it.
fn is_tag(text: &str) -> bool {
    text.strip_prefix("hmac:")
        .is_some_and(|tag| tag.len() <= 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let check = |name: &str, value: &str, expect: &str| {
            let items = [(name.to_owned(), value.to_owned())].into();
            let mut sections: Sections = [(ENVIRONMENT.to_owned(), items)].into();
            let removed = remove_secrets(&mut sections);
            assert_eq!(sections[ENVIRONMENT][name], expect, "{name}");
            assert_eq!(removed, usize::from(value != expect), "{name}");
        };
        check("PATH", "/usr/bin:/bin", "/usr/bin:/bin");
        check("DB_PASSWORD", "hmac:4f09c1", "hmac:4f09c1");
        check("DB_PASSWORD", "hunter2", REMOVED);
        check("DB_PASSWORD", "", "");
        check("DB_PASSWORD", "hmac:4f09c1 hmac:00", "hmac:4f09c1 hmac:00");
        check("DB_PASSWORD", "hmac:4f09c1 hunter2", REMOVED);
        check("APP", "ghp_0123456789abcdefghij", REMOVED);
        check("APP", "hmac:no-hash-at-all", "hmac:no-hash-at-all");
        check("API_TOKEN", "hmac:no-hash-at-all", REMOVED);
        let other = [("PASSWORD".to_owned(), "x".to_owned())].into();
        let mut sections: Sections = [("os".to_owned(), other)].into();
        assert_eq!(remove_secrets(&mut sections), 0);
    }
}
