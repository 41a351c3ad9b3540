//! Who may name whom: the table of rooms, held against the sources.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// A room: its path below `src`, the rooms it may name, and crates that it alone may name.
struct Room {
    name: &'static str,
    may_name: &'static [&'static str],
    owns: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        name: "domain",
        may_name: &[],
        owns: &["similar", "infra_watch_rules"],
    },
    Room {
        name: "wire",
        may_name: &["domain"],
        owns: &["serde_path_to_error"],
    },
    Room {
        name: "store",
        may_name: &["domain"],
        owns: &["redb", "zstd", "pco", "rustix", "age", "tar"],
    },
    Room {
        name: "flows",
        may_name: &["domain", "store", "notify", "transport", "clock", "app"],
        owns: &["argon2", "jsonwebtoken", "hmac", "getrandom"],
    },
    Room {
        name: "http",
        may_name: &[
            "flows",
            "wire",
            "domain",
            "app",
            "store",
            "telemetry",
            "tls",
        ],
        owns: &[
            "poem",
            "hyper",
            "hyper_util",
            "rust_embed",
            "utoipa_swagger_ui",
            "flate2",
        ],
    },
    Room {
        name: "outgoing",
        may_name: &["domain"],
        owns: &["webpki_roots", "rustls_native_certs"],
    },
    Room {
        name: "notify",
        may_name: &["domain", "outgoing"],
        owns: &["lettre"],
    },
    Room {
        name: "transport",
        may_name: &["domain", "outgoing", "wire"],
        owns: &["russh"],
    },
    Room {
        name: "scheduler",
        may_name: &["flows", "app"],
        owns: &["tokio_cron_scheduler"],
    },
    Room {
        name: "commands",
        may_name: &[
            "app",
            "clock",
            "config",
            "domain",
            "flows",
            "http",
            "notify",
            "outgoing",
            "scheduler",
            "store",
            "telemetry",
            "tls",
            "transport",
            "wire",
        ],
        owns: &["reqwest", "clap_mangen"],
    },
    Room {
        name: "config",
        may_name: &["domain", "telemetry"],
        owns: &["clap", "clap_complete", "toml"],
    },
    Room {
        name: "clock",
        may_name: &[],
        owns: &[],
    },
    Room {
        name: "app",
        may_name: &[
            "clock",
            "domain",
            "flows",
            "notify",
            "store",
            "telemetry",
            "transport",
        ],
        owns: &[],
    },
    Room {
        name: "telemetry",
        may_name: &[],
        owns: &["prometheus", "tracing_subscriber"],
    },
    Room {
        name: "tls",
        may_name: &[],
        owns: &["tokio_rustls"],
    },
];

/// Crates that belong to two rooms: the HTTP speaks the document, the wire defines its shapes; decoding and
/// decompressing happen where the bytes arrive; the log's format is a choice on the command line; a command asks the
/// running backend, webhooks and polls are requests too, and what resolves for them is theirs; tokens and webhooks are
/// signed; a tunnel ends in an HTTP client; reports come compressed, pushed and pulled, and are handed in so.
const SHARED: &[(&str, &[&str])] = &[
    ("poem_openapi", &["wire", "http"]),
    ("zstd", &["store", "http"]),
    ("clap", &["config", "telemetry"]),
    ("clap_complete", &["config", "commands"]),
    ("rustix", &["store", "commands"]),
    ("tokio_cron_scheduler", &["scheduler", "commands"]),
    ("getrandom", &["flows", "commands"]),
    ("reqwest", &["commands", "notify", "outgoing", "transport"]),
    ("hyper", &["http", "transport"]),
    ("hyper_util", &["http", "transport"]),
    ("hmac", &["flows", "notify"]),
    ("flate2", &["http", "transport", "commands"]),
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .collect()
}

fn room_files(room: &Room) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folder = source.join(room.name);
    let files = if folder.is_dir() {
        sources(&folder)
    } else {
        sources(&source.join(format!("{}.rs", room.name)))
    };
    assert!(!files.is_empty(), "room {} has no files", room.name);
    files
}

/// The code of a file: no comments, no tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text
        .split("#[cfg(test)]\n")
        .next()
        .unwrap_or_default()
        .to_owned();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether the code names `word` as a path segment before `::`, or in a `use`.
fn names(code: &str, prefix: &str, word: &str) -> bool {
    let needle = format!("{prefix}{word}");
    code.match_indices(&needle).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = &code[start + needle.len()..];
        let begins =
            before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '.');
        begins && (after.starts_with("::") || after.starts_with(';'))
    })
}

#[test]
fn rooms_name_only_whom_they_may() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        for file in room_files(room) {
            let code = code(&file);
            let others = ROOMS
                .iter()
                .filter(|other| other.name != room.name && !room.may_name.contains(&other.name));
            for other in others {
                if names(&code, "crate::", other.name) {
                    wrong.push(format!("{} names the room {}", file.display(), other.name));
                }
            }
            // `use crate::{a, b}` names several rooms at once.
            for group in code
                .match_indices("use crate::{")
                .map(|(start, _)| &code[start..])
            {
                let group = group.split(';').next().unwrap_or_default();
                for other in ROOMS
                    .iter()
                    .filter(|other| other.name != room.name && !room.may_name.contains(&other.name))
                {
                    let words = group.split(|c: char| !c.is_alphanumeric() && c != '_');
                    if words.skip(2).any(|word| word == other.name) {
                        wrong.push(format!("{} names the room {}", file.display(), other.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for owner in ROOMS {
        for krate in owner.owns {
            for room in ROOMS.iter().filter(|room| room.name != owner.name) {
                let is_shared = SHARED
                    .iter()
                    .any(|(shared, rooms)| shared == krate && rooms.contains(&room.name));
                for file in room_files(room) {
                    if !is_shared && names(&code(&file), "", krate) {
                        wrong.push(format!(
                            "{} names {krate}, which belongs to {}",
                            file.display(),
                            owner.name
                        ));
                    }
                }
            }
        }
    }
    for room in ROOMS
        .iter()
        .filter(|room| !["wire", "http"].contains(&room.name))
    {
        for file in room_files(room) {
            if names(&code(&file), "", "poem_openapi") {
                wrong.push(format!("{} names poem_openapi", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_introduces_itself_and_lives_in_a_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&source) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} does not say what it holds",
            file.display()
        );
        let top = file
            .strip_prefix(&source)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let top = Path::new(top.as_os_str()).with_extension("");
        let name = top.to_str().unwrap();
        let is_known =
            ["main", "lib"].contains(&name) || ROOMS.iter().any(|room| room.name == name);
        assert!(is_known, "{} is in no room", file.display());
    }
}

#[test]
fn the_domain_reads_no_clock_and_does_no_io() {
    for file in room_files(&ROOMS[0]) {
        let code = code(&file);
        for forbidden in [
            "std::fs",
            "std::net::Tcp",
            "tokio",
            "now()",
            "SystemTime",
            "Instant",
            "tracing",
            "std::env",
        ] {
            assert!(
                !code.contains(forbidden),
                "{} names {forbidden}",
                file.display()
            );
        }
    }
}
