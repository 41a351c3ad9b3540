//! Posts at the true pace: every host has its own moment in the interval and keeps to it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::pool::{Happening, Pool};
use crate::clock;
use crate::data::{STEP_SECONDS, Walk};
use crate::random::Random;
use crate::wire::{Post, Wire};

/// How long the last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Posts that were sent.
    pub posts: u64,
    /// Milliseconds from the moment that a post was due to its answer.
    pub latencies_ms: Vec<f64>,
    /// How many answers had which status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers that do not say the post is kept, and connections that broke.
    pub failures: u64,
    /// The first of them.
    pub first_failure: Option<String>,
    /// How long it lasted.
    pub wall: Duration,
}

/// A host's post, and when it is due.
#[derive(Clone, Copy)]
struct Due {
    host: usize,
    at: Instant,
}

/// Requests of one connection: the one under way comes first.
type Queue = VecDeque<Due>;

/// Posts of all these hosts, each once an interval, for so long.
pub fn run(
    pool: &mut Pool,
    wire: &mut dyn Wire,
    walks: &mut [Walk],
    lasting: Duration,
    seed: u64,
) -> Result<Outcome> {
    let interval = Duration::from_secs(STEP_SECONDS.unsigned_abs());
    let mut random = Random::new(seed, u64::MAX);
    let mut phases: Vec<(Duration, usize)> = (0..walks.len())
        .map(|host| (interval.mul_f64(random.unit()), host))
        .collect();
    phases.sort_unstable();
    let lanes = pool.lanes();
    let mut queues: Vec<Queue> = vec![Queue::new(); lanes];
    let mut outcome = Outcome::default();
    let (began, mut happenings) = (Instant::now(), Vec::new());
    let mut turns = (0_u32..)
        .flat_map(|cycle| {
            phases
                .iter()
                .map(move |&(phase, host)| (interval * cycle + phase, host))
        })
        .take_while(|(after, _)| *after < lasting)
        .peekable();
    let mut under_way = 0_usize;
    loop {
        while let Some((after, host)) = turns.next_if(|(after, _)| *after <= began.elapsed()) {
            let queue = &mut queues[host % lanes];
            queue.push_back(Due {
                host,
                at: began + after,
            });
            under_way += 1;
            if queue.len() == 1 {
                send(pool, wire, walks, host % lanes, host)?;
            }
        }
        let at_most = match turns.peek() {
            Some((after, _)) => after.saturating_sub(began.elapsed()),
            None if under_way == 0 => break,
            None if began.elapsed() > lasting + PATIENCE => {
                bail!("{under_way} posts were never answered")
            }
            None => Duration::from_secs(1),
        };
        pool.wait(at_most, &mut happenings)?;
        for happening in happenings.drain(..) {
            let lane = match &happening {
                Happening::Answered { lane, .. } | Happening::Broken { lane, .. } => *lane,
            };
            let Some(due) = queues[lane].pop_front() else {
                continue;
            };
            under_way -= 1;
            outcome.note(wire, happening, due);
            if let Some(next) = queues[lane].front() {
                send(pool, wire, walks, lane, next.host)?;
            }
        }
    }
    outcome.wall = began.elapsed();
    Ok(outcome)
}

impl Outcome {
    fn note(&mut self, wire: &dyn Wire, happening: Happening, due: Due) {
        self.posts += 1;
        let failure = match happening {
            Happening::Answered { status, body, .. } => {
                *self.statuses.entry(status).or_default() += 1;
                let took = due.at.elapsed().as_secs_f64() * 1e3;
                self.latencies_ms.push(took);
                let is_kept = wire.is_accepted(status, &body);
                (!is_kept).then(|| format!("{status} {}", String::from_utf8_lossy(&body)))
            }
            Happening::Broken { reason, .. } => Some(reason),
        };
        if let Some(failure) = failure {
            self.failures += 1;
            self.first_failure.get_or_insert(failure);
        }
    }
}

fn send(
    pool: &mut Pool,
    wire: &mut dyn Wire,
    walks: &mut [Walk],
    lane: usize,
    host: usize,
) -> Result<()> {
    let post = Post {
        host,
        first_at: clock::unix_now(),
        step_seconds: STEP_SECONDS,
        rows: &[walks[host].next()],
    };
    pool.send(lane, |request| wire.render(&post, request))
}
