//! Names of environment variables, and of their values a keyed hash or, where nothing speaks against it, the value.
//!
//! Sources: `/etc/environment`, the agent's own environment, the files of `/etc/default`. Other processes' are not read.

mod assignments;
mod key;
pub mod secrecy;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::FactError;
use super::snapshot::Section;

pub use key::{KEY_BYTES, Key};

/// Most names in a snapshot, of the contract.
const MAX_NAMES: usize = 2_000;
/// Longest file that is read, in bytes; what people write is far shorter.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What changes without anybody's doing, or says where the agent was started from: never compared, so never sent. `*`
/// stands for any characters.
const NEVER_COMPARED: &[&str] = &[
    // Of shells and terminals.
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "TERM",
    "TERM_*",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "WINDOWID",
    "TMUX",
    "TMUX_PANE",
    "STY",
    // Of the session that started it.
    "SSH_*",
    "SUDO_*",
    "XDG_SESSION_*",
    "DBUS_SESSION_BUS_ADDRESS",
    // What systemd sets anew for each start of a service (`systemd.exec(5)`).
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "SYSTEMD_ACTIVATION_*",
    "MAINPID",
    "MANAGERPID",
    "MANAGERPIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_*",
    "LISTEN_*",
    "MEMORY_PRESSURE_*",
    "FDSTORE",
    "CREDENTIALS_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "CACHE_DIRECTORY",
    "LOGS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "SERVICE_RESULT",
    "EXIT_CODE",
    "EXIT_STATUS",
    "TRIGGER_*",
    "MONITOR_*",
    // This agent's settings.
    "INFRA_WATCH_AGENT_*",
];

/// How values are told.
#[derive(Clone, Debug, Default)]
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
        // Name → forms of its values, in the order of the sources.
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut take = |pairs: Vec<(String, String)>| {
            for (name, value) in pairs {
                if is_compared(&name) {
                    let form = self.form(&name, &value);
                    let forms = found.entry(name).or_default();
                    if !forms.contains(&form) {
                        forms.push(form);
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
        let joined = found
            .into_iter()
            .map(|(name, forms)| (name, forms.join(" ")));
        Ok(joined.collect())
    }

    /// What is told of a value.
    fn form(&self, name: &str, value: &str) -> String {
        let Some(key) = &self.key else {
            return String::new();
        };
        if secrecy::is_allowed(name, &self.allow) && secrecy::may_be_shown(name, value) {
            value.to_owned()
        } else {
            key.tag(name, value)
        }
    }
}

/// Whether it is a variable that people set, and not one that comes and goes by itself.
fn is_compared(name: &str) -> bool {
    is_name(name)
        && !NEVER_COMPARED
            .iter()
            .any(|pattern| secrecy::matches(pattern, name))
}

/// Whether a shell or a service manager could have it as a name; dots and dashes are in some of `/etc/default`.
fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_other = |c: char| is_first(c) || c.is_ascii_digit() || matches!(c, '.' | '-');
    name.len() <= 256 && name.starts_with(is_first) && name.chars().all(is_other)
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
    fn what_is_compared() {
        let check = |name: &str, expect: bool| assert_eq!(is_compared(name), expect, "{name}");
        for name in [
            "PATH",
            "a",
            "_x",
            "A-B.c",
            "DB_PASSWORD",
            "KUBECONFIG",
            "TERMINAL",
            "XDG_DATA_DIRS",
        ] {
            check(name, true);
        }
        for name in [
            "PWD",
            "_",
            "TERM",
            "SSH_CONNECTION",
            "XDG_SESSION_ID",
            "INVOCATION_ID",
            "LISTEN_FDS",
            "WATCHDOG_USEC",
            "MEMORY_PRESSURE_WATCH",
            "INFRA_WATCH_AGENT_ENROLLMENT_KEY",
            "",
            "1A",
            "A B",
            "A\u{7}",
            "BASH_FUNC_x%%",
            "\u{fc}",
        ] {
            check(name, false);
        }
        check(&"A".repeat(257), false);
    }

    #[test]
    fn values_are_hashed_or_shown() {
        let environment = environment(&[]);
        let check = |name: &str, value: &str, is_shown: bool| {
            let form = environment.form(name, value);
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
        // Without a key, names only.
        let nameless = Environment {
            key: None,
            ..environment.clone()
        };
        assert_eq!(
            (nameless.form("PATH", "/bin"), nameless.form("X", "y")),
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
