//! A fleet at its true pace against an Infra-Watch of its own: each host posts every 30 s.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock;
use crate::data::{STEP_SECONDS, Walk};
use crate::figures::{Fleet, Latency};
use crate::load::pool::Pool;
use crate::load::rounds::{Round, Rounds};
use crate::load::{flat_out, pace};
use crate::procfs;
use crate::target::{InfraWatch, Target as _};

/// Files beside the connections.
const SPARE_FILES: u64 = 256;
/// How far before now the first point of each host lies.
const FIRST_POINT_SECONDS: i64 = 60;

/// How large a fleet, for how long.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Hosts.
    pub hosts: usize,
    /// Seconds.
    pub seconds: u64,
    /// Connections; one a host if none are named.
    pub connections: Option<usize>,
}

/// Enrols a fleet, lets each host introduce itself, and then measures it at its pace.
pub fn run(
    binary: &Path,
    directory: &Path,
    size: Size,
    seed: u64,
    errors: &mut Vec<String>,
) -> Result<Fleet> {
    let wanted = size.connections.unwrap_or(size.hosts).min(size.hosts);
    let connections = wanted.min(connections_allowed()?);
    if connections < wanted {
        eprintln!("  the limit of open files allows {connections} connections");
    }
    let mut target = InfraWatch::new(binary, directory.join("fleet"))?;
    target.start()?;
    let began = Instant::now();
    target.introduce(0..size.hosts)?;
    let enrollments_per_second = size.hosts as f64 / began.elapsed().as_secs_f64();
    eprintln!("  {} hosts are enrolled", size.hosts);

    let mut walks: Vec<_> = (0..size.hosts).map(|host| Walk::new(seed, host)).collect();
    let mut wire = target.wire();
    let mut pool = Pool::new(target.site().address, connections)?;
    let mut first = Some(Round {
        first_at: clock::unix_now() - FIRST_POINT_SECONDS,
        step_seconds: STEP_SECONDS,
        ticks: 1,
        rows: walks.iter_mut().map(Walk::next).collect(),
    });
    let mut source = || first.take();
    let rounds = Rounds::new(size.hosts, 1, &mut source);
    let introduced = flat_out::run(&mut pool, wire.as_mut(), 0..size.hosts, rounds, None)?;
    ensure!(
        introduced.first_refusal.is_none(),
        "a first report was refused: {}",
        introduced.first_refusal.unwrap_or_default()
    );
    eprintln!("  all have reported once; now at their pace");

    let process_id = target.site().process()?.id();
    let before = procfs::cpu_seconds(process_id)?;
    let lasting = Duration::from_secs(size.seconds);
    let outcome = pace::run(&mut pool, wire.as_mut(), &mut walks, lasting, seed)?;
    let cpu = procfs::cpu_seconds(process_id)? - before;
    if let Some(failure) = outcome.first_failure {
        let failures = outcome.failures;
        errors.push(format!(
            "fleet: {failures} posts failed, such as: {failure}"
        ));
    }
    let fleet = Fleet {
        hosts: size.hosts,
        connections,
        seconds: outcome.wall.as_secs_f64(),
        enrollments_per_second,
        posts: outcome.posts,
        cpu_percent_of_a_core: cpu / outcome.wall.as_secs_f64() * 100.0,
        peak_resident_bytes: procfs::peak_resident_bytes(process_id)?,
        final_resident_bytes: procfs::resident_bytes(process_id)?,
        latency_ms: Latency::of(outcome.latencies_ms),
        statuses: outcome.statuses,
        failures: outcome.failures,
        load_average: procfs::load_average(),
    };
    target.site_mut().stop()?;
    Ok(fleet)
}

/// Raises the limit of open files as far as it may be, for this process and the servers that it starts.
fn connections_allowed() -> Result<usize> {
    let hard = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: hard,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, limit)?;
    let files = hard.unwrap_or(u64::MAX).saturating_sub(SPARE_FILES);
    Ok(usize::try_from(files).unwrap_or(usize::MAX))
}
