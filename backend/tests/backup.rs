//! Backups as an operator makes them: of a backend under load, by command, by call and by the clock, and a restored
//! backend that goes on where the other was.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta};
use infra_watch::app::App;
use infra_watch::clock::{Clock, ManualClock};
use infra_watch::domain::egress::EgressRules;
use infra_watch::flows::FlowError;
use infra_watch::flows::backup::{BackupPlan, keep};
use infra_watch::flows::password::Passwords;
use infra_watch::flows::token::Tokens;
use infra_watch::notify::Notifiers;
use infra_watch::store::Store;
use infra_watch::store::archive::Passphrase;
use infra_watch::store::backup::{BackupError, restore};
use infra_watch::store::kv::{Kv, Table};
use infra_watch::store::redb::RedbKv;
use infra_watch::store::series::GroupCommit;
use infra_watch::transport::{TransportSettings, Transports};
use infra_watch_client::{Client, ClientInfo as _, types};
use parking_lot::Mutex;
use process::{ADMIN, Site, backend_binary, unix_now, until};
use tokio::task::block_in_place;
use uuid::Uuid;

const METRIC: &str = "cpu_usage_percent";
const HOSTS: usize = 4;
/// Reports that are acknowledged before the backup begins, and again before the load ends.
const REPORTS: usize = 60;

/// The binary, with these settings alone.
fn run(arguments: &[&str], environment: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(backend_binary());
    command.args(arguments).env_clear();
    command.envs(environment.iter().copied());
    command.output().unwrap()
}

fn succeeds(arguments: &[&str], environment: &[(&str, &Path)]) -> String {
    let output = run(arguments, environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str], expect: &str) {
    let output = run(arguments, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains(expect),
        "{arguments:?}: {said}"
    );
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every record of a stopped store, and its secrets.
fn everything(directory: &Path) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let mut all = BTreeMap::new();
    let kv = RedbKv::open(directory).unwrap();
    let mut each = |table: Table, key: &[u8], value: &[u8]| {
        all.insert((table.name().to_owned(), key.to_vec()), value.to_vec());
        ControlFlow::Continue(())
    };
    block_in_place(|| kv.dump(&mut each)).unwrap();
    block_in_place(|| kv.close());
    for name in ["jwt_secret", "ssh_key"] {
        let bytes = fs::read(directory.join(name)).unwrap();
        all.insert(("secrets".to_owned(), name.into()), bytes);
    }
    all
}

/// What the hosts' agents were told is kept: host, second, value.
type Kept = BTreeMap<(Uuid, i64), f64>;

/// An agent's token for a file, as an admin makes it.
async fn admin_token(site: &Site) -> PathBuf {
    let body = types::CreateApiToken::builder()
        .name("backups")
        .role(types::Role::Admin);
    let admin = site.admin().await;
    let made = admin.create_api_token().body(body).send();
    let path = site.directory.path().join("token");
    fs::write(&path, made.await.unwrap().into_inner().token).unwrap();
    path
}

/// Sends one report after the other, each of one point a second after the last, until it is told to end.
async fn load(
    host_id: Uuid,
    agent: Client,
    first_at: i64,
    kept: Arc<Mutex<Kept>>,
    end: Arc<AtomicBool>,
) {
    for number in 0_i64.. {
        if end.load(Ordering::Relaxed) {
            return;
        }
        let (at, value) = (first_at + number, (number % 100) as f64);
        let body = support::report(&[(at, Some(value))]);
        let sent = agent.submit_report().body(body).send().await.unwrap();
        assert_eq!(sent.into_inner().accepted, 1);
        kept.lock().insert((host_id, at), value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backend_goes_on_where_the_other_was() {
    let site = Site::new();
    let backend = site.start(&[]).await;
    let place = |name: &str| site.directory.path().join(name);
    let token = admin_token(&site).await;
    fs::write(place("passphrase"), "correct horse\n").unwrap();

    let kept = Arc::new(Mutex::new(Kept::new()));
    let end = Arc::new(AtomicBool::default());
    let first_at = unix_now() - 100_000;
    let (mut agents, mut writers) = (Vec::new(), Vec::new());
    for number in 0..HOSTS {
        let (host_id, agent) = site.enroll(&format!("host-{number}")).await;
        let (kept, end) = (Arc::clone(&kept), Arc::clone(&end));
        writers.push(tokio::spawn(load(
            host_id,
            agent.clone(),
            first_at,
            kept,
            end,
        )));
        agents.push((host_id, agent));
    }
    let reports = async |count: usize| {
        until("reports are acknowledged", 60, || {
            let is_there = kept.lock().len() >= count;
            async move { is_there.then_some(()) }
        })
        .await;
    };
    reports(REPORTS).await;
    let before = kept.lock().clone();
    let (server, file) = (site.url(""), place("under-load.age"));
    let remote = ["--server", &server, "--token-file", text(&token)];
    let sealed = place("passphrase");
    let arguments = [
        &["backup", text(&file), "--passphrase-file", text(&sealed)][..],
        &remote,
    ]
    .concat();
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let said = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        succeeds(&arguments, &[])
    });
    let said = said.await.unwrap();
    assert!(
        said.contains(&format!("with {HOSTS} hosts and 1 users")),
        "{said}"
    );
    reports(before.len() + REPORTS).await;
    end.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let after = kept.lock().clone();
    backend.kill();

    // Another machine: everything acknowledged before is there, nothing that never was, and tokens still count.
    let other = Site::new();
    let data = other.directory.path().join("data");
    let restored = ["restore", text(&file), "--data-dir", text(&data)];
    refused(&restored, "give --passphrase-file");
    assert!(fs::read_dir(&data).unwrap().next().is_none());
    let variables = [("INFRA_WATCH_BACKUP_PASSPHRASE_FILE", sealed.as_path())];
    succeeds(&restored, &variables);
    refused(&restored, "is not empty");
    let backend = other.start(&[]).await;
    let admin = other.admin().await;
    for (host_id, agent) in &agents {
        let samples = other.samples(&admin, *host_id, METRIC).await;
        for (at, value) in &samples {
            assert_eq!(after.get(&(*host_id, *at)), Some(value), "{at}");
        }
        let wanted = before.keys().filter(|(of, _)| of == host_id).count();
        assert!(samples.len() >= wanted, "{} of {wanted}", samples.len());
        let there = other.client(None);
        there.inner().set(agent.inner().get());
        let body = support::report(&[(unix_now(), Some(1.0))]);
        let sent = there.submit_report().body(body).send().await.unwrap();
        assert_eq!(sent.into_inner().accepted, 1);
    }
    let api = other.client(Some(&fs::read_to_string(&token).unwrap()));
    assert_eq!(api.list_users().send().await.unwrap().items.len(), 1);
    backend.kill();

    // Record by record, of what lies still. All of it is for its owner alone.
    let stopped = site.directory.path().join("data");
    for entry in fs::read_dir(&stopped).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
    }
    let file = place("stopped");
    succeeds(&["backup", text(&file), "--data-dir", text(&stopped)], &[]);
    let again = place("again");
    succeeds(&["restore", text(&file), "--data-dir", text(&again)], &[]);
    let (was, is) = (everything(&stopped), everything(&again));
    assert!(was == is, "{} records and {}", was.len(), is.len());
    assert!(was.len() > HOSTS * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_leaves_nothing() {
    let site = Site::new();
    let backend = site.start(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let (server, data) = (site.url(""), site.directory.path().join("data"));
    let file = place("backup");
    let to = ["backup", text(&file)];
    let check = |more: &[&str], expect: &str| refused(&[&to[..], more].concat(), expect);
    check(&["--server", &server], "needs --token-file");
    fs::write(place("wrong"), "nonsense").unwrap();
    check(
        &["--server", &server, "--token-file", text(&place("wrong"))],
        "a valid bearer token is needed",
    );
    check(
        &[
            "--server",
            "http://127.0.0.1:9",
            "--token-file",
            text(&place("wrong")),
        ],
        "asking http://127.0.0.1:9 for a backup",
    );
    check(
        &["--data-dir", text(&place("nowhere"))],
        "there is no store",
    );
    check(
        &["--data-dir", text(&data)],
        "if the backend runs, give --server",
    );
    check(
        &["--keep", "3", "--data-dir", text(&data)],
        "--keep needs a directory",
    );
    fs::write(place("empty"), "\n").unwrap();
    check(&["--passphrase-file", text(&place("empty"))], "is empty");
    assert!(!file.exists() && !place("backup.partial").exists());
    fs::write(&file, "another's").unwrap();
    check(&["--data-dir", text(&data)], "is there already");
    assert_eq!(fs::read_to_string(&file).unwrap(), "another's");
    refused(
        &["restore", text(&file), "--data-dir", text(&place("new"))],
        "no backup of Infra-Watch",
    );

    // A backend says at its start what a night would find out.
    let (nowhere, new) = (place("nowhere"), place("data"));
    let started = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        text(&new),
        "--backup-dir",
        text(&nowhere),
    ];
    refused(&started, "nowhere");
    drop(backend);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_call_into_a_directory_and_only_for_admins() {
    let site = Site::new();
    let backups = site.directory.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let flags = ["--backup-dir", text(&backups), "--backup-keep", "2"];
    let _backend = site.start(&flags).await;
    let admin = site.admin().await;
    let names = || {
        let entries = fs::read_dir(&backups).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    };
    let mut made: Vec<String> = Vec::new();
    for _ in 0..3 {
        // Names are of whole seconds.
        let second = unix_now();
        until("the next second", 10, || async {
            (unix_now() > second).then_some(())
        })
        .await;
        let job = admin
            .run_job()
            .name("backup")
            .send()
            .await
            .unwrap()
            .into_inner();
        assert_eq!(job.last_items, Some(1));
        made.extend(
            names()
                .into_iter()
                .filter(|name| !made.contains(name))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(made.len(), 3);
    assert_eq!(names(), made[1..]);
    let figures = reqwest::Client::new().get(site.url("/metrics"));
    let figures = figures
        .bearer_auth(site.token(ADMIN).await)
        .send()
        .await
        .unwrap();
    let figures = figures.text().await.unwrap();
    let at = figures
        .lines()
        .find_map(|line| line.strip_prefix("infra_watch_last_backup_timestamp_seconds "));
    assert!((at.unwrap().parse::<i64>().unwrap() - unix_now()).abs() < 60);

    // The stream of the API is the same file; it is in the audit log, and nobody else's.
    let asked = |token: String| {
        let client = reqwest::Client::new();
        client
            .post(site.url("/api/v1/backup"))
            .bearer_auth(token)
            .send()
    };
    let answer = asked(site.token(ADMIN).await).await.unwrap();
    assert_eq!(answer.status(), 200);
    let disposition = answer.headers()["content-disposition"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(disposition.contains("infra-watch-2"), "{disposition}");
    assert!(!answer.headers().contains_key("content-encoding"));
    let file = site.directory.path().join("by-api");
    fs::write(&file, answer.bytes().await.unwrap()).unwrap();
    let restored = site.directory.path().join("restored");
    restore(&file, None, &restored).await.unwrap();
    let audit = admin
        .list_audit_entries()
        .send()
        .await
        .unwrap()
        .into_inner()
        .items;
    assert!(audit.iter().any(|entry| entry.action == "backup.create"));
    let body = types::CreateUser::builder()
        .username("eve")
        .password(process::PASSWORD)
        .role(types::Role::Operator);
    admin.create_user().body(body).send().await.unwrap();
    assert_eq!(asked(site.token("eve").await).await.unwrap().status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_clock_when_the_newest_is_old() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let directory = tempfile::tempdir().unwrap();
    let backups = directory.path().join("backups");
    fs::create_dir(&backups).unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    let kv = Arc::new(RedbKv::open(&directory.path().join("data")).unwrap());
    let store = Store::open(kv, GroupCommit::default()).await.unwrap();
    let clock = Arc::new(ManualClock::new(
        DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
    ));
    let mut app = App::new(
        store,
        Arc::clone(&clock) as Arc<dyn Clock>,
        Tokens::new(b"a secret for tests, 32 bytes long").unwrap(),
        Passwords::new().unwrap(),
        Notifiers::new(EgressRules::default(), None).unwrap(),
        Transports::new(TransportSettings::default()).unwrap(),
    );
    let app_without = Arc::new(app);
    assert_eq!(keep(&app_without, false).await.unwrap(), 0);
    assert!(keep(&app_without, true).await.is_err());
    app = Arc::into_inner(app_without).unwrap();
    let passphrase = Passphrase::new("correct horse".to_owned());
    app.backups = Some(BackupPlan {
        directory: backups.clone(),
        interval: TimeDelta::days(1),
        keep: 2,
        passphrase: Some(passphrase.clone()),
        reserve_bytes: 0,
    });
    let app = Arc::new(app);
    fs::write(backups.join("notes.txt"), "mine").unwrap();
    let made = async |hours: i64| {
        clock.advance(hours * 3600);
        keep(&app, false).await.unwrap()
    };
    let all = [made(0).await, made(23).await, made(1).await, made(48).await];
    assert_eq!(all, [1, 0, 1, 1]);
    let mut left: Vec<String> = fs::read_dir(&backups)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left[0].ends_with(".backup.age") && left[2] == "notes.txt");
    let target = directory.path().join("restored");
    restore(&backups.join(&left[1]), Some(passphrase), &target)
        .await
        .unwrap();
    // Not into the last of the disk, and what broke off long ago is in nobody's way.
    let old = backups.join("infra-watch-20200101T000000Z.backup.partial");
    fs::write(&old, "half").unwrap();
    let mut app = Arc::into_inner(app).unwrap();
    app.backups.as_mut().unwrap().reserve_bytes = u64::MAX / 2;
    let app = Arc::new(app);
    clock.advance(3600);
    let error = keep(&app, true).await.unwrap_err();
    assert!(
        matches!(error, FlowError::Backup(BackupError::NoRoom { .. })),
        "{error}"
    );
    assert!(!old.exists());
    // A backend that stops keeps nobody waiting.
    app.stopping.cancel();
    assert!(keep(&app, true).await.is_err());
}
