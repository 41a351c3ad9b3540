//! Names of environment variables, and of their values a keyed hash or, where nothing speaks against it, the value.
//!
//! Sources: `/etc/environment`, the agent's own environment, the files of `/etc/default`. Other processes' are not
//! read.

mod assignments;
mod key;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use infra_watch_rules::compared::is_compared;
use infra_watch_rules::secrecy;

use super::error::FactError;
use super::snapshot::Section;

pub use key::{KEY_BYTES, Key};

/// Most names in a snapshot, of the contract.
const MAX_NAMES: usize = 2_000;
/// Longest file that is read, in bytes; what people write is far shorter.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How values are told. It holds secrets, so it cannot be printed.
#[derive(Clone, Default)]
pub struct Environment {
    /// Names and values of this process.
    pub own: Vec<(String, String)>,
    /// Names whose values the operator allows to be shown.
    pub allow: Vec<String>,
    /// For hashing; without it only names are told.
    pub key: Option<Key>,
}

impl Environment {
    /// Reads the variables of the system whose root directory is `root`.
    pub fn read(&self, root: &Path) -> Result<Section, FactError> {
        // Name → its values, in the order of the sources.
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut take = |pairs: Vec<(String, String)>| {
            for (name, value) in pairs {
                if is_compared(&name) {
                    let values = found.entry(name).or_default();
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
        };
        let system = root.join("etc/environment");
        if let Some(text) = read_file(&system)? {
            take(assignments::of_pam(&text));
        }
        take(self.own.clone());
        for path in defaults(root)? {
            if let Some(text) = read_file(&path)? {
                take(assignments::of_shell(&text));
            }
        }
        if found.len() > MAX_NAMES {
            return Err(FactError::TooMany {
                most: MAX_NAMES as u64,
                what: "names of environment variables",
            });
        }
        let told = found.into_iter().map(|(name, values)| {
            let told = self.told(&name, &values);
            (name, told)
        });
        Ok(told.collect())
    }

    /// What is told of the values that the sources give a name: all of them or, if something speaks against one, the
    /// hash of each. A change in any source is then one changed item.
    fn told(&self, name: &str, values: &[String]) -> String {
        let Some(key) = &self.key else {
            return String::new();
        };
        let all = values.join(" ");
        let is_shown = secrecy::is_allowed(name, &self.allow)
            && values
                .iter()
                .all(|value| secrecy::may_be_shown(name, value))
            && secrecy::may_be_shown(name, &all);
        if is_shown {
            return all;
        }
        let tags: Vec<String> = values.iter().map(|value| key.tag(name, value)).collect();
        tags.join(" ")
    }
}

/// The files of `/etc/default`, sorted by name, without what editors and dpkg leave beside them.
fn defaults(root: &Path) -> Result<Vec<PathBuf>, FactError> {
    let directory = root.join("etc/default");
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if is_out_of_reach(&error) => return Ok(Vec::new()),
        Err(source) => return Err(FactError::read(&directory)(source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FactError::read(&directory))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_left_over = name.starts_with('.')
            || name.ends_with('~')
            || name.contains(".dpkg-")
            || name.contains(".ucf-");
        if !is_left_over && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The text of a file, if there is one that this user may read.
fn read_file(path: &Path) -> Result<Option<String>, FactError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if is_out_of_reach(&error) => return Ok(None),
        Err(source) => return Err(FactError::read(path)(source)),
    };
    if metadata.len() > MAX_FILE_BYTES {
        return Err(FactError::form(path, "it is longer than 1 MiB"));
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if is_out_of_reach(&error) => Ok(None),
        Err(source) => Err(FactError::read(path)(source)),
    }
}

fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn environment(own: &[(&str, &str)]) -> Environment {
        Environment {
            own: pairs(own),
            allow: vec!["APP_*".to_owned()],
            key: Some(Key::from_bytes([7; 32])),
        }
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn values_are_hashed_or_shown() {
        let environment = environment(&[]);
        let check = |name: &str, value: &str, is_shown: bool| {
            let form = environment.told(name, &[value.to_owned()]);
            assert_eq!(form == value, is_shown, "{name}={value}: {form}");
            assert_eq!(
                form.starts_with("hmac:") && form.len() == 37,
                !is_shown,
                "{form}"
            );
        };
        check("PATH", "/bin", true);
        check("LANG", "", true);
        check("APP_MODE", "fast", true);
        check("APP_TOKEN", "x", false);
        check("APP_MODE", "https://user:pass@host", false);
        check("DB_HOST", "db-1", false);
        check("TZ", "a\nb", false);
        // All values of a name or none.
        let mixed = ["fast".to_owned(), "https://user:pass@host".to_owned()];
        assert_eq!(
            environment
                .told("APP_MODE", &mixed)
                .matches("hmac:")
                .count(),
            2
        );
        let long = ["x".repeat(200), "y".repeat(200)];
        assert_eq!(
            environment.told("APP_MODE", &long).matches("hmac:").count(),
            2
        );
        // Without a key, names only.
        let told = |environment: &Environment, name| environment.told(name, &["x".to_owned()]);
        let nameless = Environment {
            key: None,
            ..environment.clone()
        };
        assert_eq!(
            (told(&nameless, "PATH"), told(&nameless, "X")),
            (String::new(), String::new())
        );
    }

    #[test]
    fn sources_of_one_name_are_one_item() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            "etc/environment",
            "PATH=/from/pam\nSHARED=one\n",
        );
        put(
            root.path(),
            "etc/default/b",
            "SHARED=two\nexport PATH=/from/b\n",
        );
        put(
            root.path(),
            "etc/default/a",
            "SHARED=one\nPATH='/from/a' # x\n",
        );
        put(root.path(), "etc/default/a.dpkg-old", "GONE=1\n");
        put(root.path(), "etc/default/a~", "GONE=1\n");
        put(root.path(), "etc/default/sub/c", "GONE=1\n");
        let environment = environment(&[("PATH", "/own"), ("TERM", "xterm"), ("SHARED", "one")]);
        let before = environment.read(root.path()).unwrap();
        assert_eq!(before.keys().collect::<Vec<_>>(), ["PATH", "SHARED"]);
        assert_eq!(before["PATH"], "/from/pam /own /from/a /from/b");
        assert_eq!(before["SHARED"].split(' ').count(), 2);

        // One secret that changes, wherever it is, is one item that changes.
        put(
            root.path(),
            "etc/default/b",
            "SHARED=three\nexport PATH=/from/b\n",
        );
        let after = environment.read(root.path()).unwrap();
        let changed = after
            .iter()
            .filter(|(name, value)| before[*name] != **value);
        assert_eq!(
            changed.map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["SHARED"]
        );
    }

    #[test]
    fn bounds() {
        let root = tempfile::tempdir().unwrap();
        let lines = |count: usize| {
            (0..count)
                .map(|index| format!("N{index}=x\n"))
                .collect::<String>()
        };
        assert!(environment(&[]).read(root.path()).unwrap().is_empty());
        put(root.path(), "etc/default/many", &lines(MAX_NAMES));
        assert_eq!(environment(&[]).read(root.path()).unwrap().len(), MAX_NAMES);
        let error = environment(&[("ONE_MORE", "x")])
            .read(root.path())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "more than 2000 names of environment variables"
        );
        put(root.path(), "etc/default/many", &"#".repeat((1 << 20) + 1));
        assert!(environment(&[]).read(root.path()).is_err());
    }
}
