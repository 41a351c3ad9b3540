//! A disk that fills up: posts are refused before it refuses, reads go on, and space makes all well without a restart.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/disk.rs"]
mod disk;
#[path = "support/process.rs"]
mod process;
#[path = "support/random.rs"]
mod random;
mod support;

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use disk::{Disk, Mood};
use infra_watch::store::redb::RedbKv;
use infra_watch_client::{Client, Error, types};
use process::{Site, unix_now, until};
use random::Random;
use support::{Backend, START, report, report_of, status};

/// Size of the small disk, in MiB.
const DISK_MIB: u64 = 24;
const DISK_RESERVE: &str = "8MiB";
const DISK_RESERVE_BYTES: u64 = 8 << 20;
/// What is there beside the store, to be removed for it later.
const BALLAST_BYTES: usize = 6 << 20;
/// Points of a report, and their series: some 30 kB that do not compress.
const POINTS: i64 = 20;
const SERIES: usize = 200;
/// Many times what the disk holds.
const MOST_REPORTS: i64 = 3_000;

/// A file system in memory with a bound, mounted while it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not permitted.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let size = format!("size={DISK_MIB}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a process that was just ended may still hold it; nothing can be done where that fails.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

/// Fills a file up to a size, or until no space is left.
fn fill(path: &Path, bytes: usize) {
    let mut file = File::create(path).unwrap();
    let block = vec![0x5a; 1 << 16];
    for _ in 0..bytes / block.len() {
        match file.write_all(&block) {
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            written => written.unwrap(),
        }
    }
}

/// A report of values that do not compress, none like another.
fn large_report(number: i64, last_at: i64) -> types::Report {
    let mut random = Random(u64::try_from(number).unwrap());
    let names: Vec<String> = (0..SERIES).map(|series| format!("m{series}")).collect();
    let series: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
    let points: Vec<_> = (0..POINTS)
        .map(|row| {
            let values = names
                .iter()
                .map(|_| Some(random.below(1 << 50) as f64 / 1_048_576.0));
            (last_at - (number + 1) * POINTS + row, values.collect())
        })
        .collect();
    report_of(&series, &points)
}

/// Whether a post was refused because the disk is full; nothing else may happen to it.
async fn is_refused(agent: &Client, body: types::Report) -> bool {
    match agent.submit_report().body(body).send().await {
        Ok(outcome) => {
            assert_eq!(outcome.duplicates, 0);
            false
        }
        Err(Error::ErrorResponse(problem)) => {
            assert_eq!(problem.status(), 503);
            assert!(problem.headers().contains_key("retry-after"));
            assert_eq!(problem.type_.as_str(), "urn:infra-watch:storage-full");
            true
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_disk_fills_up_and_is_emptied_again() {
    let site = Site::new();
    let data = site.directory.path().join("data");
    let Some(_mounted) = SmallDisk::mount(&data) else {
        eprintln!("mounting is not permitted here: the disk in memory is filled instead");
        return a_disk_in_memory_fills_up_and_is_emptied_again().await;
    };
    let (ballast, filler) = (data.join("ballast"), data.join("filler"));
    fill(&ballast, BALLAST_BYTES);
    let flags = [
        "--disk-reserve",
        DISK_RESERVE,
        "--group-commit-interval",
        "5ms",
    ];
    let mut backend = site.start(&flags).await;
    let admin = site.admin().await;
    let (host_id, agent) = site.enroll("small").await;

    // Taken until there is less than the reserve, well before the disk itself refuses.
    let last_at = unix_now();
    let mut reports = 0;
    while !is_refused(&agent, large_report(reports, last_at)).await {
        reports += 1;
        assert!(reports < MOST_REPORTS, "the disk does not fill up");
    }
    let system = admin.get_system().send().await.unwrap().into_inner();
    let free = system.disk_free_bytes.unwrap();
    assert!(
        (1..DISK_RESERVE_BYTES).contains(&free),
        "{free} bytes are free"
    );
    println!("{reports} reports until {free} bytes were free");

    // What was acknowledged is read, even when not a byte is left.
    let expect = usize::try_from(reports * POINTS).unwrap();
    let stored = site.samples(&admin, host_id, "m0").await;
    assert_eq!(stored.len(), expect);
    fill(&filler, usize::MAX);
    for _ in 0..5 {
        assert!(is_refused(&agent, large_report(reports, last_at)).await);
        assert!(admin.run_job().name("seal").send().await.is_err());
    }
    assert!(stored == site.samples(&admin, host_id, "m0").await);
    assert!(!backend.has_ended());

    // Space, and all is well again, in the same process.
    std::fs::remove_file(&filler).unwrap();
    std::fs::remove_file(&ballast).unwrap();
    until("posts are taken again", 10, || async {
        let is_taken = !is_refused(&agent, large_report(reports, last_at)).await;
        is_taken.then_some(())
    })
    .await;
    assert!(!backend.has_ended());
    let stored = site.samples(&admin, host_id, "m0").await;
    assert_eq!(stored.len(), expect + usize::try_from(POINTS).unwrap());
    backend.kill();
    let _backend = site.start(&flags).await;
    assert!(stored == site.samples(&admin, host_id, "m0").await);
}

/// The same where nothing can be mounted: the engine's disk says that it is full.
#[tokio::test]
async fn a_disk_in_memory_is_full_for_a_while() {
    a_disk_in_memory_fills_up_and_is_emptied_again().await;
}

async fn a_disk_in_memory_fills_up_and_is_emptied_again() {
    let (state, series) = (Disk::default(), Disk::default());
    let kv = RedbKv::with_openers(state.opener(), series.opener()).unwrap();
    let backend = Backend::start_over(Arc::new(kv)).await;
    let host = backend.enroll("small").await;
    let viewer = backend.client("viewer").await;
    let stored = || async {
        let samples = viewer
            .get_samples()
            .host_id(host.host_id)
            .metric(vec!["cpu_usage_percent".to_owned()]);
        samples.send().await.unwrap().into_inner().timestamps
    };
    let post = async |second| {
        let body = report(&[(START - second, Some(1.0))]);
        host.agent.submit_report().body(body).send().await
    };
    post(0).await.unwrap();
    let mut expect = vec![START];
    for (mood, first) in [(Mood::Full, 100), (Mood::Broken, 200)] {
        series.set(mood);
        // The engine's handle breaks with the first, and the next cannot open the file: none is acknowledged.
        for second in 0..3 {
            let refusal = post(first + second).await.unwrap_err();
            assert_eq!(status(refusal), 503);
        }
        series.set(Mood::Works);
        until("posts are taken again", 10, || async {
            post(first + 50).await.ok().map(drop)
        })
        .await;
        expect.push(START - first - 50);
    }
    let stored = stored().await;
    assert!(expect.iter().all(|at| stored.contains(at)));
}
