//! How many packages could be upgraded, by what the system has fetched already: nothing is refreshed, and nothing asks
//! the network. It is asked again only when the lists or the installed packages have changed.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::super::command::{self, CommandError};
use super::super::{hex, packages};
use crate::files;
use crate::measure::read_text;

/// Where the answer is kept.
const FILE: &str = "pending-upgrades";

/// Longest that a tool may take: apt needs two seconds for its lists.
const WITHIN: Duration = Duration::from_secs(20);

/// Files in a directory, what one of them is named like, and when the newest was written.
type Lists = (&'static str, &'static str);

/// What one package manager is asked.
struct Question {
    is_there: fn(&Path) -> bool,
    /// Where its lists are: without one nothing can be known.
    lists: &'static [Lists],
    program: &'static str,
    arguments: &'static [&'static str],
    count: fn(&str) -> usize,
    /// Exit statuses that are answers.
    codes: &'static [i32],
}

const QUESTIONS: [Question; 4] = [
    Question {
        is_there: packages::has_dpkg,
        lists: &[("var/lib/apt/lists", "_Packages")],
        program: "apt-get",
        arguments: &[
            "--simulate",
            "-o",
            "Debug::NoLocking=true",
            "-qq",
            "dist-upgrade",
        ],
        count: count_apt,
        codes: &[0],
    },
    Question {
        is_there: packages::has_rpm,
        lists: &[("var/cache/dnf", ""), ("var/cache/libdnf5", "")],
        program: "dnf",
        // `check-update` breaks long lines; this is the same question with an answer for machines.
        arguments: &[
            "--cacheonly",
            "--quiet",
            "repoquery",
            "--upgrades",
            "--queryformat",
            "%{name}.%{arch}\n",
        ],
        count: count_distinct,
        codes: &[0],
    },
    Question {
        is_there: packages::has_apk,
        lists: &[("var/cache/apk", "APKINDEX"), ("etc/apk/cache", "APKINDEX")],
        program: "apk",
        arguments: &["--no-network", "--quiet", "version", "-l", "<"],
        count: count_distinct,
        codes: &[0],
    },
    Question {
        is_there: packages::has_pacman,
        lists: &[("var/lib/pacman/sync", ".db")],
        program: "pacman",
        arguments: &["-Qu"],
        count: count_pacman,
        // 1 when there are none.
        codes: &[0, 1],
    },
];

/// Remembers the answer for as long as nothing changed that it depends on, also in a file: what runs once and ends
/// would have to ask each time.
#[derive(Default)]
pub struct Upgrades {
    kept_in: Option<PathBuf>,
    known: Option<Known>,
}

/// An answer, and a hash of what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    of: String,
    count: usize,
}

impl Upgrades {
    /// Keeps the answer in this directory, if it can.
    pub fn kept_in(directory: &Path) -> Self {
        let text = read_text(&directory.join(FILE));
        Self {
            kept_in: Some(directory.to_owned()),
            known: text.and_then(|text| Known::parse(&text)),
        }
    }

    /// The number of packages that could be upgraded, if it can be known. Tools look at the running system, so it is
    /// not known of another root.
    pub fn count(&mut self, root: &Path) -> Option<usize> {
        if root != Path::new("/") {
            return None;
        }
        let question = QUESTIONS
            .iter()
            .find(|question| (question.is_there)(root))?;
        let lists = question.lists.iter();
        let written: Vec<[i64; 2]> = lists
            .filter_map(|(directory, name)| newest(&root.join(directory), name))
            .collect();
        if written.is_empty() {
            return None;
        }
        let of = format!("{:?} {written:?}", packages::stamp(root));
        let of = hex(&Sha256::digest(of.as_bytes()));
        if let Some(known) = self.known.as_ref().filter(|known| known.of == of) {
            return Some(known.count);
        }
        match question.ask() {
            Ok(count) => {
                self.keep(Known { of, count });
                Some(count)
            }
            Err(error) => {
                tracing::debug!(%error, "pending upgrades are not known");
                None
            }
        }
    }

    fn keep(&mut self, known: Known) {
        if let Some(directory) = &self.kept_in {
            // Without it the next start asks again, no more.
            let _ = files::write_atomically(directory, FILE, known.to_string().as_bytes());
        }
        self.known = Some(known);
    }
}

impl Known {
    fn parse(text: &str) -> Option<Self> {
        let (of, count) = text.trim().split_once(' ')?;
        Some(Self {
            of: of.to_owned(),
            count: count.parse().ok()?,
        })
    }
}

impl fmt::Display for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} {}", self.of, self.count)
    }
}

impl Question {
    fn ask(&self) -> Result<usize, CommandError> {
        let output = command::run(self.program, self.arguments, WITHIN)?;
        // pacman says with one status that there are none, and that it could not look.
        let mut complaints = output.complaint().lines();
        let has_failed = complaints.any(|line| line.starts_with("error:"));
        match output.code() {
            Some(code) if self.codes.contains(&code) && !has_failed => {
                Ok((self.count)(&output.text_anyway()))
            }
            _ => Err(output.failed()),
        }
    }
}

/// When the newest file with such a name, or the directory around it, was written, in Unix seconds. None without files.
fn newest(directory: &Path, name: &str) -> Option<[i64; 2]> {
    let files = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let named = files.filter(|file| file.file_name().to_string_lossy().contains(name));
    let newest = named
        .filter_map(|file| Some(file.metadata().ok()?.mtime()))
        .max()?;
    // Files keep the time that the server says.
    Some([newest, fs::metadata(directory).ok()?.mtime()])
}

fn count_apt(text: &str) -> usize {
    text.lines()
        .filter(|line| line.starts_with("Inst "))
        .count()
}

fn count_distinct(text: &str) -> usize {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<std::collections::BTreeSet<_>>().len()
}

fn count_pacman(text: &str) -> usize {
    text.lines()
        .filter(|line| line.contains(" -> ") && !line.ends_with("[ignored]"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let apt = include_str!("../../../tests/fixtures/debian-12-packages/apt-get-simulate.txt");
        assert_eq!(count_apt(apt), 4);
        assert_eq!(
            count_distinct("bash.x86_64\n\nkernel.x86_64\nkernel.x86_64\n"),
            2
        );
        assert_eq!(count_distinct(""), 0);
        assert_eq!(
            count_pacman("gmp 6.2.1-2 -> 6.3.0-1\nlinux 6.1-1 -> 6.2-1 [ignored]\n"),
            1
        );
    }

    #[test]
    fn an_answer_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut upgrades = Upgrades::kept_in(directory.path());
        upgrades.keep(Known {
            of: "a".to_owned(),
            count: 7,
        });
        let again = Upgrades::kept_in(directory.path());
        assert_eq!(again.known, upgrades.known);
        fs::write(directory.path().join(FILE), "nonsense").unwrap();
        assert_eq!(Upgrades::kept_in(directory.path()).known, None);
    }

    #[test]
    fn another_root_is_not_asked() {
        assert_eq!(Upgrades::default().count(Path::new("/nowhere")), None);
    }
}
