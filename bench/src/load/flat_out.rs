//! Posts as fast as the target answers them: one under way on each connection, one host on one connection.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::pool::{Happening, OPENED_TOGETHER, Pool};
use super::rounds::{Rounds, Turn};
use crate::wire::Wire;

/// Longest time without any answer.
const SILENCE: Duration = Duration::from_secs(120);
/// How often in a row a post is tried again on a new connection.
const RETRIES: u32 = 5;
/// How often it is looked whether a round is due.
const PACE_LOOK: Duration = Duration::from_millis(5);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Answers that say the post is kept.
    pub accepted: u64,
    /// Milliseconds that each answer took.
    pub latencies_ms: Vec<f64>,
    /// How many answers had which status.
    pub statuses: BTreeMap<u16, u64>,
    /// The first answer that does not say the post is kept.
    pub first_refusal: Option<String>,
    /// Connections that were opened anew.
    pub reconnects: u64,
    /// Posts of each host that are kept.
    pub accepted_by_host: Vec<usize>,
    /// From the first post to the last answer.
    pub wall: Duration,
}

/// When and how the target is ended in the middle of it.
pub struct Interruption<'a> {
    /// How long after the beginning.
    pub after: Duration,
    /// Ends it.
    pub end: &'a mut dyn FnMut() -> Result<()>,
}

/// The hosts of one connection take turns.
struct Lane {
    hosts: Vec<usize>,
    round: usize,
    next: usize,
    is_proven: bool,
    is_done: bool,
    retries: u32,
}

struct Run<'a, 'r> {
    pool: &'a mut Pool,
    wire: &'a mut dyn Wire,
    rounds: Rounds<'r>,
    first_host: usize,
    lanes: Vec<Lane>,
    waiting: Vec<usize>,
    done: usize,
    is_interrupted: bool,
    outcome: Outcome,
}

/// Posts every round of these hosts.
pub fn run(
    pool: &mut Pool,
    wire: &mut dyn Wire,
    hosts: Range<usize>,
    rounds: Rounds<'_>,
    mut interruption: Option<Interruption<'_>>,
) -> Result<Outcome> {
    let lanes = pool.lanes().min(hosts.len());
    let mut run = Run {
        wire,
        rounds,
        first_host: hosts.start,
        lanes: (0..lanes)
            .map(|lane| Lane {
                hosts: (lane..hosts.len()).step_by(lanes).collect(),
                round: 0,
                next: 0,
                is_proven: pool.is_open(lane),
                is_done: false,
                retries: 0,
            })
            .collect(),
        pool,
        waiting: Vec::new(),
        done: 0,
        is_interrupted: false,
        outcome: Outcome {
            accepted_by_host: vec![0; hosts.len()],
            ..Outcome::default()
        },
    };
    let began = Instant::now();
    let (mut begun, mut heard) = (0, began);
    let mut happenings = Vec::new();
    while run.done < lanes {
        let mut strangers = run.lanes[..begun]
            .iter()
            .filter(|lane| !lane.is_proven && !lane.is_done)
            .count();
        while begun < lanes && strangers < OPENED_TOGETHER {
            strangers += usize::from(!run.lanes[begun].is_proven);
            begun += 1;
            run.send_next(begun - 1)?;
        }
        let mut at_most = Duration::from_secs(1);
        if run.rounds.is_paced() {
            at_most = PACE_LOOK;
            run.wake()?;
        }
        if let Some(interruption) = &mut interruption
            && !run.is_interrupted
        {
            let left = interruption.after.saturating_sub(began.elapsed());
            if left.is_zero() {
                (interruption.end)()?;
                run.is_interrupted = true;
            }
            at_most = at_most.min(left.max(Duration::from_millis(1)));
        }
        run.pool.wait(at_most, &mut happenings)?;
        if !happenings.is_empty() {
            heard = Instant::now();
        } else if heard.elapsed() > SILENCE {
            bail!("no answer for {} s", SILENCE.as_secs());
        }
        for happening in happenings.drain(..) {
            run.take(happening)?;
        }
    }
    run.outcome.wall = began.elapsed();
    if let Some(interruption) = interruption
        && !run.is_interrupted
    {
        (interruption.end)()?;
    }
    Ok(run.outcome)
}

impl Run<'_, '_> {
    fn take(&mut self, happening: Happening) -> Result<()> {
        match happening {
            Happening::Answered {
                lane,
                status,
                body,
                sent_at,
            } => {
                let took = sent_at.elapsed().as_secs_f64() * 1e3;
                self.answered(lane, status, &body, took)
            }
            Happening::Broken { lane, reason } => {
                if self.is_interrupted {
                    return self.finish(lane);
                }
                let state = &mut self.lanes[lane];
                state.is_proven = false;
                state.retries += 1;
                if state.retries > RETRIES {
                    bail!("a connection broke {RETRIES} times in a row: {reason}");
                }
                self.outcome.reconnects += 1;
                self.send_next(lane)
            }
        }
    }

    fn answered(&mut self, lane: usize, status: u16, body: &[u8], took_ms: f64) -> Result<()> {
        let state = &mut self.lanes[lane];
        state.is_proven = true;
        state.retries = 0;
        let (host, round) = (state.hosts[state.next], state.round);
        state.next += 1;
        if state.next == state.hosts.len() {
            state.next = 0;
            state.round += 1;
        }
        let outcome = &mut self.outcome;
        outcome.latencies_ms.push(took_ms);
        *outcome.statuses.entry(status).or_default() += 1;
        if self.wire.is_accepted(status, body) {
            outcome.accepted += 1;
            outcome.accepted_by_host[host] += 1;
        } else if outcome.first_refusal.is_none() {
            let body = String::from_utf8_lossy(body);
            outcome.first_refusal = Some(format!("{status} {}", body.trim()));
        }
        if self.rounds.posted(round) {
            self.wake()?;
        }
        self.send_next(lane)
    }

    /// Those that wait for their turn try again.
    fn wake(&mut self) -> Result<()> {
        for lane in std::mem::take(&mut self.waiting) {
            self.send_next(lane)?;
        }
        Ok(())
    }

    fn send_next(&mut self, lane: usize) -> Result<()> {
        let state = &self.lanes[lane];
        let (round, host) = (state.round, state.hosts[state.next]);
        match self.rounds.turn(round) {
            Turn::Later if self.is_interrupted => self.finish(lane)?,
            Turn::Later => self.waiting.push(lane),
            Turn::Never => self.finish(lane)?,
            Turn::Now => {
                let Some(post) = self.rounds.post(round, host, self.first_host + host) else {
                    bail!("round {round} lacks host {host}");
                };
                let wire = &mut *self.wire;
                let sent = self.pool.send(lane, |request| wire.render(&post, request));
                match sent {
                    Err(_) if self.is_interrupted => self.finish(lane)?,
                    sent => sent?,
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, lane: usize) -> Result<()> {
        if !std::mem::replace(&mut self.lanes[lane].is_done, true) {
            self.done += 1;
        }
        // Those that wait for this one would wait for ever once the target is gone.
        if self.is_interrupted {
            for lane in std::mem::take(&mut self.waiting) {
                self.finish(lane)?;
            }
        }
        Ok(())
    }
}
