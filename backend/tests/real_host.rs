//! The real agent on this machine, with the real apt: what a run of it becomes, and that secrets stay where they are.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/process.rs"]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use infra_watch_client::{Client, types};
use process::{ENROLLMENT_KEY, Process, Site, until};
use uuid::Uuid;

/// A package that nobody else has.
const PACKAGE: &str = "infra-watch-test-canary";
/// Time for an agent to notice a run of apt and to wait for its end, and some, in seconds.
const SETTLED_SECONDS: u64 = 60;

/// The only host.
async fn host_with_snapshot(admin: &Client) -> types::Host {
    until("the agent has sent a snapshot", 60, || async {
        let hosts = admin.list_hosts().send().await.unwrap().into_inner();
        hosts
            .items
            .into_iter()
            .find(|host| host.snapshot_at.is_some())
    })
    .await
}

async fn changes(admin: &Client, host_id: Uuid) -> Vec<types::ChangeSet> {
    let changes = admin.list_host_changes().host_id(host_id).send().await;
    changes.unwrap().into_inner().items
}

/// Waits for change set number `count` and returns its items as lines.
async fn change_number(admin: &Client, host_id: Uuid, count: usize) -> Vec<String> {
    let sets = until("the change is seen", SETTLED_SECONDS, || async {
        let sets = changes(admin, host_id).await;
        (sets.len() >= count).then_some(sets)
    })
    .await;
    assert_eq!(sets.len(), count, "{sets:#?}");
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let items = sets[0].items.iter().map(|item| {
        let (before, after) = (text(&item.before), text(&item.after));
        format!("{} {} {before} {after}", item.kind, item.key)
    });
    items.collect()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

fn apt(arguments: &[&str]) {
    let mut all = vec!["--yes", "--quiet", "--option=DPkg::Lock::Timeout=300"];
    all.extend(arguments);
    run("apt-get", &all);
}

/// Takes the package away again, however the test ends.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        let purge = Command::new("dpkg").args(["--purge", PACKAGE]).output();
        drop(purge);
    }
}

/// A package of this version, made here.
fn package(directory: &Path, version: &str) -> PathBuf {
    let root = directory.join(version);
    std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {PACKAGE}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n\
         Description: made by a test, and gone after it\n"
    );
    std::fs::write(root.join("DEBIAN/control"), control).unwrap();
    let file = directory.join(format!("{PACKAGE}_{version}_all.deb"));
    run(
        "dpkg-deb",
        &[
            "--build",
            "--root-owner-group",
            root.to_str().unwrap(),
            file.to_str().unwrap(),
        ],
    );
    file
}

fn can_install() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let has_apt = ["apt-get", "dpkg-deb"]
        .iter()
        .all(|program| Path::new("/usr/bin").join(program).exists());
    is_root && has_apt
}

#[tokio::test]
async fn each_run_of_apt_is_one_change_and_undoing_it_ends_the_drift() {
    if !can_install() {
        eprintln!("skipped: installing a package needs root and apt");
        return;
    }
    let site = Site::new();
    let (first, second) = (
        package(site.directory.path(), "1.0~rc1"),
        package(site.directory.path(), "1.0"),
    );
    let _installed = Installed;
    let _backend = site.start(&[]).await;
    let admin = site.admin().await;
    let _agent = site.start_agent("1s");
    let host_id = host_with_snapshot(&admin).await.host_id;
    let key = format!("dpkg/{PACKAGE}:all");

    apt(&["install", first.to_str().unwrap()]);
    let lines = change_number(&admin, host_id, 1).await;
    assert_eq!(lines, [format!("added {key} - 1.0~rc1")]);
    apt(&["install", second.to_str().unwrap()]);
    let lines = change_number(&admin, host_id, 2).await;
    assert_eq!(lines, [format!("changed {key} 1.0~rc1 1.0")]);
    let set = changes(&admin, host_id).await.remove(0);
    assert_eq!(
        set.items[0].direction,
        Some(types::ChangeDirection::Upgrade)
    );
    assert_eq!(set.summary, format!("{PACKAGE} 1.0~rc1 → 1.0 upgraded"));
    let drift = || async {
        let drift = admin.list_host_drift().host_id(host_id).send().await;
        drift.unwrap().into_inner().items
    };
    assert_eq!(drift().await.len(), 1);

    apt(&["purge", PACKAGE]);
    let lines = change_number(&admin, host_id, 3).await;
    assert_eq!(lines, [format!("removed {key} 1.0 -")]);
    assert!(drift().await.is_empty());
}

/// An agent with these variables beside those of every start.
fn start_agent(site: &Site, variables: &[(&str, &str)], more: &[&str]) -> Process {
    let binary = Path::new(env!("CARGO_BIN_EXE_infra-watch")).with_file_name("infra-watch-agent");
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(site.directory.path().join("agent.log"));
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .args([
            "run",
            "--interval",
            "1s",
            "--log-level",
            "trace",
            "--server",
            &site.url(""),
        ])
        .args(["--enrollment-key", ENROLLMENT_KEY, "--state-dir"])
        .arg(site.agent_directory())
        .args(more)
        .stderr(log.unwrap());
    Process::spawn(&mut command)
}

/// A secret in the forms in which it could leak.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let mut forms = vec![
        bytes.to_vec(),
        bytes.iter().rev().copied().collect(),
        hexadecimal.to_uppercase().into_bytes(),
        hexadecimal.into_bytes(),
        percent.into_bytes(),
        bytes.iter().flat_map(|byte| [*byte, 0]).collect(),
    ];
    // In base64 it looks different by where in three bytes it begins.
    for offset in 0..3 {
        let shifted = [&b"xx"[..offset], bytes].concat();
        let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(shifted);
        let whole = 4.min(offset * 4)..text.len() - 4;
        forms.push(text.as_bytes()[whole].to_vec());
    }
    forms
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[tokio::test]
async fn a_secret_of_the_host_is_nowhere_else_and_its_change_is_seen() {
    const SECRETS: [(&str, &str); 3] = [
        ("CANARY_PASSWORD", "tweety-4711-hunter2"),
        ("APP_MODE", "sylvester/9162/granny"),
        ("CANARY_DATABASE", "postgres://tweety:puddytat-88@db/app"),
    ];
    let site = Site::new();
    let backend = site.start(&["--log-format", "json"]).await;
    let admin = site.admin().await;
    let agent = start_agent(&site, &SECRETS, &[]);
    let host_id = host_with_snapshot(&admin).await.host_id;
    let latest = || async {
        let latest = admin.get_snapshot().host_id(host_id).snapshot_id("latest");
        latest.send().await.unwrap().into_inner()
    };
    let first = latest().await;
    let environment = &first.sections["environment"];
    for (name, _) in SECRETS {
        assert!(
            environment[name].starts_with("hmac:"),
            "{name} {}",
            environment[name]
        );
    }
    assert!(environment["PATH"].contains("/usr/bin"));

    // A new start changes nothing.
    drop(agent);
    let agent = start_agent(&site, &SECRETS, &[]);
    let after = first.received_at;
    until("the agent confirms its snapshot", 60, || async {
        let text = site.read("agent.log");
        (text.matches("infra-watch-agent").count() >= 2 && latest().await.received_at == after)
            .then_some(())
    })
    .await;
    // Another value is exactly one changed item, and what it is nobody learns.
    drop(agent);
    let mut changed = SECRETS;
    changed[0].1 = "daffy-5522-thufferin";
    let agent = start_agent(&site, &changed, &[]);
    let lines = change_number(&admin, host_id, 1).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("changed CANARY_PASSWORD hmac:"),
        "{lines:?}"
    );

    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    let token = site.token(process::ADMIN).await;
    for path in [
        "hosts".to_owned(),
        format!("hosts/{host_id}/snapshots/latest"),
        format!("hosts/{host_id}/changes"),
        format!("hosts/{host_id}/drift"),
        format!("hosts/{host_id}/baselines"),
        format!("diff?left={host_id}:baseline&right={host_id}:latest"),
        "changes".to_owned(),
        "changes?group_by=item".to_owned(),
        "inventory?section=environment".to_owned(),
        "groups/compare".to_owned(),
        "audit".to_owned(),
    ] {
        let request = reqwest::Client::new()
            .get(site.url(&format!("/api/v1/{path}")))
            .bearer_auth(&token);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        seen.push((path, answer.bytes().await.unwrap().to_vec()));
    }
    // What the agent would send to anybody.
    let binary = Path::new(env!("CARGO_BIN_EXE_infra-watch")).with_file_name("infra-watch-agent");
    let report = Command::new(binary)
        .env_clear()
        .envs(changed)
        .args(["report", "--pretty", "--state-dir"])
        .arg(site.agent_directory())
        .output()
        .unwrap();
    assert!(report.status.success());
    seen.push(("report".to_owned(), [report.stdout, report.stderr].concat()));
    drop((agent, backend));
    for path in files(site.directory.path()) {
        let content = std::fs::read(&path).unwrap();
        seen.push((path.display().to_string(), content));
    }
    assert!(seen.iter().any(|(name, _)| name.ends_with("state.redb")));
    for (_, secret) in SECRETS.into_iter().chain(changed) {
        for form in forms(secret) {
            for (name, content) in &seen {
                let found = content.windows(form.len()).any(|window| window == form);
                assert!(!found, "{secret} is in {name}");
            }
        }
    }
}
