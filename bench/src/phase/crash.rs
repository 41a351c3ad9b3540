//! Kills the target in the middle of posts, starts it again, and looks for what it acknowledged.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clock;
use crate::data::{METRICS, Shape, Walk};
use crate::figures::Crash;
use crate::load::flat_out::{self, Interruption};
use crate::load::pool::Pool;
use crate::load::rounds::{Round, Rounds};
use crate::question::Question;
use crate::target::Target;

/// Posts of a host between two kills, a second apart: five times as many fit into the hour that Prometheus takes.
const TICKS: usize = 600;
/// How far before now they begin.
const BEFORE_NOW_SECONDS: i64 = 3_300;
/// How long posts go on before each kill, in milliseconds; VictoriaMetrics writes to disk every few seconds.
const LASTING: [u64; 5] = [13_100, 9_500, 14_300, 11_200, 12_700];
/// A host posts at most once in so much time: the kill counts, not the speed.
const PACE: Duration = Duration::from_millis(25);

/// Kills it again and again; `hosts` are known and have posted nothing yet.
pub fn kill(
    target: &mut dyn Target,
    shape: &Shape,
    hosts: Range<usize>,
    kills: usize,
    errors: &mut Vec<String>,
) -> Result<Crash> {
    let mut walks: Vec<_> = hosts
        .clone()
        .map(|host| Walk::new(shape.seed, host))
        .collect();
    let mut crash = Crash {
        kills: kills.min(LASTING.len()),
        ready_ms: Vec::new(),
        median_ready_ms: 0.0,
        acknowledged_posts: 0,
        lost_posts: 0,
    };
    let mut first_at = clock::unix_now() - BEFORE_NOW_SECONDS;
    for milliseconds in LASTING.into_iter().take(kills) {
        let mut tick = 0;
        let mut source = || {
            tick += 1;
            (tick <= TICKS).then(|| Round {
                first_at: first_at + tick as i64 - 1,
                step_seconds: 1,
                ticks: 1,
                rows: walks.iter_mut().map(Walk::next).collect(),
            })
        };
        let mut wire = target.wire();
        let mut pool = Pool::new(target.site().address, hosts.len())?;
        let outcome = flat_out::run(
            &mut pool,
            wire.as_mut(),
            hosts.clone(),
            Rounds::new(hosts.len(), TICKS, &mut source).paced(PACE),
            Some(Interruption {
                after: Duration::from_millis(milliseconds),
                end: &mut || target.site_mut().kill(),
            }),
        )?;
        if let Some(refusal) = outcome.first_refusal {
            errors.push(format!("a post before a kill was refused: {refusal}"));
        }
        crash.ready_ms.push(target.start()?.as_secs_f64() * 1e3);
        for (host, accepted) in hosts.clone().zip(outcome.accepted_by_host) {
            let wanted = first_at..first_at + accepted as i64;
            crash.acknowledged_posts += accepted;
            crash.lost_posts += missing(target, host, wanted)?;
        }
        first_at += TICKS as i64;
    }
    crash.median_ready_ms =
        crate::statistics::median(&mut crash.ready_ms.clone()).unwrap_or_default();
    Ok(crash)
}

/// How many of these seconds have no sample.
fn missing(target: &dyn Target, host: usize, seconds: Range<i64>) -> Result<usize> {
    if seconds.is_empty() {
        return Ok(0);
    }
    let path = target.samples_path(host, seconds.start, seconds.end);
    let mut client = target.client()?;
    let answer = client.get(&path)?;
    ensure!(answer.status == 200, "{path} answered {}", answer.status);
    let points = target.points(Question::RawDay, &answer.body)?;
    let kept: BTreeSet<i64> = points
        .get(METRICS[0].name)
        .map(|series| series.keys().copied().collect())
        .unwrap_or_default();
    Ok(seconds.filter(|second| !kept.contains(second)).count())
}
