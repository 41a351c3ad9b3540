//! Two configurations side by side, as text.

use std::fmt::Write as _;
use std::time::Duration;

use similar::TextDiff;

use super::snapshot::{Sections, is_compared};

/// Lines around a difference.
const CONTEXT_LINES: usize = 3;
/// After so long a difference is no longer the shortest one, but still a right one.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The unified difference of two configurations, each written as lines; empty when they are equal. What is never
/// compared is left out.
pub fn unified(names: (&str, &str), left: &Sections, right: &Sections) -> String {
    let (left, right) = (lines(left), lines(right));
    if left == right {
        return String::new();
    }
    TextDiff::configure()
        .timeout(TIMEOUT)
        .diff_lines(&left, &right)
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(names.0, names.1)
        .to_string()
}

/// A section's name in brackets, then a line an item; the further lines of a value are indented.
fn lines(sections: &Sections) -> String {
    let mut text = String::new();
    for (section, items) in sections {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "[{section}]");
        for (key, value) in items.iter().filter(|(key, _)| is_compared(section, key)) {
            let _ = writeln!(text, "{key} = {}", value.replace('\n', "\n    "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_lines_of_files() {
        let sections = |json: &str| serde_json::from_str::<Sections>(json).unwrap();
        let left = sections(
            r#"{"files":{"/etc/motd":"sha256:1\none\ntwo"},"os":{"id":"debian","pending_upgrades":"1"}}"#,
        );
        let right = sections(
            r#"{"files":{"/etc/motd":"sha256:2\none\n2"},"os":{"id":"debian","pending_upgrades":"2"}}"#,
        );
        assert_eq!(unified(("a", "b"), &left, &left), "");
        let expect = "\
--- a
+++ b
@@ -1,6 +1,6 @@
 [files]
-/etc/motd = sha256:1
+/etc/motd = sha256:2
     one
-    two
+    2
 [os]
 id = debian
";
        assert_eq!(unified(("a", "b"), &left, &right), expect);
    }
}
