//! The licences of everything that a binary is made of: what images and archives must bring along.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

const MUSL: &str = "x86_64-unknown-linux-musl";
const WASM: &str = "wasm32-unknown-unknown";

/// Packages of npm in the dashboard, below its `node_modules`.
const NPM: [&str; 2] = ["@fontsource-variable/inter", "uplot"];

/// How deep below a crate's folder licences of what it brings along are looked for, such as those of C sources.
const MAX_DEPTH: usize = 3;
/// Beginnings of the names of files with licences, in upper case.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// What somebody else made.
struct Work {
    name: String,
    version: String,
    licence: String,
    home: String,
    folder: PathBuf,
}

/// The list and the texts for `infra-watch` or `infra-watch-agent`.
pub fn of(binary: &str) -> Result<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in a workspace")?;
    let mut works = crates(workspace, binary, MUSL)?;
    match binary {
        "infra-watch-agent" => {}
        "infra-watch" => {
            works.extend(crates(workspace, "infra-watch-dashboard", WASM)?);
            let modules = workspace.join("dashboard/node_modules");
            for name in NPM {
                works.push(npm_package(&modules.join(name))?);
            }
        }
        _ => bail!("licences of infra-watch or of infra-watch-agent?"),
    }
    works.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    works.dedup_by(|one, other| (&one.name, &one.version) == (&other.name, &other.version));
    text(binary, &works)
}

/// The crates that end up in `package` on `target`, without ours and without what only builds it.
fn crates(workspace: &Path, package: &str, target: &str) -> Result<Vec<Work>> {
    let output = Command::new("cargo")
        .current_dir(workspace)
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", target])
        .output()
        .context("cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let entries = list.as_array().into_iter().flatten();
        entries
            .map(|entry| (string(entry, "id"), entry.clone()))
            .collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let start = packages
        .iter()
        .find(|(_, entry)| entry["name"] == package && entry["source"].is_null())
        .with_context(|| format!("{package} is not in the workspace"))?;

    let mut found = BTreeSet::new();
    let mut open = vec![start.0.clone()];
    while let Some(id) = open.pop() {
        let dependencies = nodes
            .get(&id)
            .and_then(|node| node["deps"].as_array())
            .into_iter()
            .flatten();
        if found.insert(id) {
            let shipped = dependencies.filter(|dependency| {
                let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
                // Others are "build" and "dev".
                kinds.any(|kind| kind["kind"].is_null())
            });
            open.extend(shipped.map(|dependency| string(dependency, "pkg")));
        }
    }
    let works = found
        .iter()
        .filter_map(|id| packages.get(id))
        .filter(|entry| !entry["source"].is_null());
    works
        .map(|entry| {
            let manifest = PathBuf::from(string(entry, "manifest_path"));
            Ok(Work {
                name: string(entry, "name"),
                version: string(entry, "version"),
                licence: string(entry, "license"),
                home: string(entry, "repository"),
                folder: manifest
                    .parent()
                    .context("a manifest lies in a folder")?
                    .to_owned(),
            })
        })
        .collect()
}

fn npm_package(folder: &Path) -> Result<Work> {
    let file = folder.join("package.json");
    let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let package: Value = serde_json::from_slice(&bytes)?;
    Ok(Work {
        name: string(&package, "name"),
        version: string(&package, "version"),
        licence: string(&package, "license"),
        home: string(&package, "homepage"),
        folder: folder.to_owned(),
    })
}

fn string(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn text(binary: &str, works: &[Work]) -> Result<String> {
    let mut text = format!(
        "{binary} contains the works of others: name, version, licence, home. The texts of the licences follow.\n\
         Beside these it contains musl (MIT) and Rust's standard library (MIT OR Apache-2.0){}.\n\n",
        if binary == "infra-watch" {
            ", and in utoipa-swagger-ui Swagger UI (Apache-2.0, SmartBear Software Inc.)"
        } else {
            ""
        }
    );
    // Without white space → the text, and whose it is.
    let mut texts: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for work in works {
        let Work {
            name,
            version,
            licence,
            home,
            folder,
        } = work;
        ensure!(!licence.is_empty(), "{name} {version} names no licence");
        writeln!(text, "{name} {version}\t{licence}\t{home}")?;
        for file in licence_files(folder, MAX_DEPTH)? {
            let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let content = String::from_utf8_lossy(&bytes).into_owned();
            let words = content.split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, whose) = texts.entry(words).or_insert((content, BTreeSet::new()));
            whose.insert(name.clone());
        }
    }
    let mut sections: Vec<_> = texts.into_values().collect();
    sections.sort_by(|(_, one), (_, other)| one.cmp(other));
    for (content, whose) in sections {
        let whose: Vec<_> = whose.into_iter().collect();
        write!(
            text,
            "\n{}\n{}\n\n{}\n",
            "-".repeat(80),
            whose.join(", "),
            content.trim()
        )?;
    }
    Ok(text)
}

fn licence_files(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_uppercase();
        let is_text = !name.ends_with(".RS") && !name.ends_with(".HTML");
        if path.is_dir() {
            if depth > 0 {
                files.extend(licence_files(&path, depth - 1)?);
            }
        } else if is_text && NAMES.iter().any(|known| name.starts_with(known)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_shipped_and_nothing_else() {
        let licences = super::of("infra-watch-agent").unwrap();
        let has = |start: &str| licences.lines().any(|line| line.starts_with(start));
        assert!(has("ring 0"), "a dependency");
        assert!(has("Copyright"), "the text of a licence");
        assert!(!has("tempfile "), "only tests use it");
        assert!(!has("windows-sys "), "another system's");
        assert!(!has("infra-watch-rules "), "our own");
        assert!(super::of("infra-watch-nothing").is_err());
    }
}
