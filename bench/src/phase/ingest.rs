//! Loads the data: the long history in bulk, the live ticks post by post, measured.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::data::{GAUGES, STEP_SECONDS, Shape};
use crate::figures::{Latency, Live};
use crate::load::flat_out;
use crate::load::pool::Pool;
use crate::load::rounds::{Herd, Rounds};
use crate::procfs;
use crate::target::Target;

/// Ticks of a host in one bulk post. Prometheus refuses what is an hour behind its newest sample.
const BULK_TICKS: usize = 60;
/// Rounds that the fastest host may be ahead of the slowest.
const LIVE_WINDOW: usize = 20;
/// How long a server is given to do what it put off.
const SETTLING: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(2);

/// Loads everything; the server runs, and its hosts are known.
pub fn load(
    target: &mut dyn Target,
    shape: &Shape,
    connections: usize,
    errors: &mut Vec<String>,
) -> Result<Live> {
    let mut wire = target.wire();
    let mut pool = Pool::new(target.site().address, connections.min(shape.hosts))?;
    let mut herd = Herd::new(shape);
    let (mut at, mut left) = (shape.history_from(), shape.history_ticks);
    let mut history = || {
        let ticks = left.min(BULK_TICKS);
        let round = (ticks > 0).then(|| herd.round(shape.long_hosts, at, ticks));
        left -= ticks;
        at += ticks as i64 * STEP_SECONDS;
        round
    };
    if shape.long_hosts > 0 {
        let hosts = 0..shape.long_hosts;
        let rounds = Rounds::new(shape.long_hosts, 1, &mut history);
        let outcome = flat_out::run(&mut pool, wire.as_mut(), hosts, rounds, None)?;
        ensure!(
            outcome.first_refusal.is_none(),
            "the history was refused: {}",
            outcome.first_refusal.unwrap_or_default()
        );
        target.site().process()?.settle(QUIET, SETTLING)?;
    }
    live(target, shape, &mut herd, wire.as_mut(), &mut pool, errors)
}

fn live(
    target: &mut dyn Target,
    shape: &Shape,
    herd: &mut Herd,
    wire: &mut dyn crate::wire::Wire,
    pool: &mut Pool,
    errors: &mut Vec<String>,
) -> Result<Live> {
    let process = target.site().process()?;
    let (mut at, mut left) = (shape.live_from(), shape.live_ticks);
    let mut ticks = || {
        left = left.checked_sub(1)?;
        let round = herd.round(shape.hosts, at, 1);
        at += STEP_SECONDS;
        Some(round)
    };
    let before = procfs::cpu_seconds(process.id())?;
    let rounds = Rounds::new(shape.hosts, LIVE_WINDOW, &mut ticks);
    let outcome = flat_out::run(pool, wire, 0..shape.hosts, rounds, None)?;
    let cpu = procfs::cpu_seconds(process.id())? - before;
    let posts = outcome.latencies_ms.len() as u64;
    if let Some(refusal) = outcome.first_refusal {
        let refused = posts - outcome.accepted;
        errors.push(format!(
            "{refused} live posts were refused, such as: {refusal}"
        ));
    }
    let wall_seconds = outcome.wall.as_secs_f64();
    let peak_resident_bytes = procfs::peak_resident_bytes(process.id())?;
    let load_average = procfs::load_average();
    Ok(Live {
        posts,
        wall_seconds,
        posts_per_second: posts as f64 / wall_seconds,
        server_cpu_seconds: cpu,
        cpu_us_per_post: cpu / posts as f64 * 1e6,
        samples_per_cpu_second: posts as f64 * GAUGES as f64 / cpu,
        settling_cpu_seconds: 0.0,
        latency_ms: Latency::of(outcome.latencies_ms),
        peak_resident_bytes,
        statuses: outcome.statuses,
        reconnects: outcome.reconnects,
        load_average,
    })
}

/// Waits until the server did what it put off; returns the processor seconds of it.
pub fn settle(target: &dyn Target) -> Result<f64> {
    target.site().process()?.settle(QUIET, SETTLING)
}
