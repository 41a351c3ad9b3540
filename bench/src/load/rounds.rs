//! Rounds of posts: each has one post of every host, made when the first connection asks for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::data::{STEP_SECONDS, Shape, Values, Walk};
use crate::wire::Post;

/// One post of every host.
pub struct Round {
    /// Unix seconds of the first point.
    pub first_at: i64,
    /// Seconds from one point to the next.
    pub step_seconds: i64,
    /// Points of each host.
    pub ticks: usize,
    /// The points, host by host.
    pub rows: Vec<Values>,
}

/// Rounds that some hosts have still to post, in bounded memory.
pub struct Rounds<'a> {
    source: &'a mut dyn FnMut() -> Option<Round>,
    hosts: usize,
    /// How many rounds the fastest host may be ahead of the slowest.
    window: usize,
    /// Least time between two rounds.
    pace: Duration,
    began: Instant,
    first: usize,
    /// Rounds, each with the number of hosts that have still to post it.
    open: VecDeque<(Round, usize)>,
    is_exhausted: bool,
}

/// Whether a round can be posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It can.
    Now,
    /// Slower hosts come first.
    Later,
    /// There are no more rounds.
    Never,
}

impl<'a> Rounds<'a> {
    /// Rounds from a source, for so many hosts.
    pub fn new(hosts: usize, window: usize, source: &'a mut dyn FnMut() -> Option<Round>) -> Self {
        Self {
            source,
            hosts,
            window,
            pace: Duration::ZERO,
            began: Instant::now(),
            first: 0,
            open: VecDeque::new(),
            is_exhausted: false,
        }
    }

    /// The same rounds, but no sooner than one in so much time.
    pub fn paced(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Whether time alone can make it the turn of a round.
    pub fn is_paced(&self) -> bool {
        !self.pace.is_zero()
    }

    /// Makes a round if it is its turn.
    pub fn turn(&mut self, round: usize) -> Turn {
        let is_early = self.is_paced() && self.began.elapsed() < self.pace.mul_f64(round as f64);
        if is_early || round >= self.first + self.window {
            return Turn::Later;
        }
        while round >= self.first + self.open.len() {
            if self.is_exhausted {
                return Turn::Never;
            }
            match (self.source)() {
                Some(made) => self.open.push_back((made, self.hosts)),
                None => self.is_exhausted = true,
            }
        }
        Turn::Now
    }

    /// The post of a host, counted from 0; `number` is what it is called on the wire.
    pub fn post(&self, round: usize, host: usize, number: usize) -> Option<Post<'_>> {
        let (round, _) = self.open.get(round.checked_sub(self.first)?)?;
        Some(Post {
            host: number,
            first_at: round.first_at,
            step_seconds: round.step_seconds,
            rows: round
                .rows
                .get(host * round.ticks..(host + 1) * round.ticks)?,
        })
    }

    /// A host posted its part of a round; says whether others may go on because of it.
    pub fn posted(&mut self, round: usize) -> bool {
        if let Some((_, left)) = self.open.get_mut(round - self.first) {
            *left -= 1;
        }
        let first = self.first;
        while self.open.front().is_some_and(|(_, left)| *left == 0) {
            self.open.pop_front();
            self.first += 1;
        }
        self.first > first
    }
}

/// The walks of all hosts, in lockstep.
pub struct Herd {
    walks: Vec<Walk>,
}

impl Herd {
    /// Every host of the shape, at its first tick.
    pub fn new(shape: &Shape) -> Self {
        Self {
            walks: (0..shape.hosts)
                .map(|host| Walk::new(shape.seed, host))
                .collect(),
        }
    }

    /// The next ticks of the first so many hosts.
    pub fn round(&mut self, hosts: usize, first_at: i64, ticks: usize) -> Round {
        let walks = self.walks.iter_mut().take(hosts);
        Round {
            first_at,
            step_seconds: STEP_SECONDS,
            ticks,
            rows: walks
                .flat_map(|walk| (0..ticks).map(|_| walk.next()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_runs_ahead_of_the_window() {
        let mut made = 0;
        let mut source = || {
            made += 1;
            (made <= 3).then(|| Round {
                first_at: made,
                step_seconds: 1,
                ticks: 1,
                rows: vec![[0.0; 12], [1.0; 12]],
            })
        };
        let mut rounds = Rounds::new(2, 2, &mut source);
        assert_eq!(rounds.turn(0), Turn::Now);
        assert_eq!(rounds.turn(1), Turn::Now);
        assert_eq!(rounds.turn(2), Turn::Later);
        assert!(!rounds.posted(0));
        assert!(rounds.posted(0));
        assert_eq!(rounds.turn(2), Turn::Now);
        let post = rounds.post(2, 1, 9).unwrap();
        assert_eq!((post.first_at, post.host, post.rows[0][0]), (3, 9, 1.0));
        assert!(rounds.post(0, 0, 0).is_none());
        assert!(!rounds.posted(1));
        assert!(rounds.posted(1));
        assert_eq!(rounds.turn(3), Turn::Never);
    }
}
