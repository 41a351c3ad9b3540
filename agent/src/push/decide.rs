//! What to do when the backend did not take a report: a decision on values alone.

use std::time::Duration;

/// Longest that an answer may make the agent wait, whatever it asks for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Bounds of the jitter between two tries, in seconds.
const MIN_WAIT_SECONDS: u64 = 1;
const MAX_WAIT_SECONDS: u64 = 60;
/// How long to wait when only an operator can help.
pub const PAUSE: Duration = Duration::from_secs(300);

/// How a call ended that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer came.
    Unreachable {
        /// The reason, in words.
        reason: String,
    },
    /// The backend answered, and not with success.
    Refused {
        /// HTTP status.
        status: u16,
        /// What it asked for in `Retry-After`.
        retry_after: Option<Duration>,
        /// What it said, in words.
        reason: String,
    },
}

/// What the decision depends on, besides the answer.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Points in the report.
    pub points: usize,
    /// Whether the body was compressed.
    pub compressed: bool,
    /// Whether there is an enrolment key that was not tried since the last success.
    pub may_enroll: bool,
}

/// What to do with a report that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep it and try again after a while, at least so long.
    Wait(Duration),
    /// Send it in two halves.
    Halve,
    /// Send it uncompressed, and all that follow.
    SendPlain,
    /// The token is worth nothing: enrol again.
    Enroll,
    /// Only an operator can help: keep it, say so, try again much later.
    Pause,
    /// It will never be taken: put it aside.
    PutAside,
}

/// The status contract of the backend, from the agent's side.
pub fn decide(failure: &Failure, circumstances: Circumstances) -> Action {
    let Failure::Refused {
        status,
        retry_after,
        ..
    } = failure
    else {
        return Action::Wait(Duration::ZERO);
    };
    match status {
        401 if circumstances.may_enroll => Action::Enroll,
        401 | 403 => Action::Pause,
        413 if circumstances.points > 1 => Action::Halve,
        415 if circumstances.compressed => Action::SendPlain,
        // Sending the same again cannot help.
        400 | 413 | 422 => Action::PutAside,
        _ => Action::Wait(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER)),
    }
}

/// How long to wait before try number `attempt` (from 1): full jitter under a bound that doubles from 1 to 60 s, but at
/// least what the answer asked for. `random` is any number.
pub fn wait(attempt: u32, at_least: Duration, random: u64) -> Duration {
    let bound = 1_u64
        .checked_shl(attempt)
        .map_or(MAX_WAIT_SECONDS, |bound| bound.min(MAX_WAIT_SECONDS));
    let (least_ms, most_ms) = (MIN_WAIT_SECONDS * 1000, bound.max(MIN_WAIT_SECONDS) * 1000);
    let jitter = Duration::from_millis(least_ms + random % (most_ms - least_ms + 1));
    jitter.max(at_least)
}

/// `Retry-After` in seconds; the form with a date is not understood, the jitter serves then.
pub fn parse_retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_contract() {
        let seconds = Duration::from_secs;
        let fine = Circumstances {
            points: 4,
            compressed: true,
            may_enroll: true,
        };
        let check = |status, retry_after: Option<u64>, circumstances, expect| {
            let retry_after = retry_after.map(seconds);
            let failure = Failure::Refused {
                status,
                retry_after,
                reason: String::new(),
            };
            assert_eq!(
                decide(&failure, circumstances),
                expect,
                "{status} {circumstances:?}"
            );
        };
        check(413, None, fine, Action::Halve);
        check(
            413,
            None,
            Circumstances { points: 1, ..fine },
            Action::PutAside,
        );
        check(415, None, fine, Action::SendPlain);
        check(
            415,
            None,
            Circumstances {
                compressed: false,
                ..fine
            },
            Action::Wait(seconds(0)),
        );
        check(422, None, fine, Action::PutAside);
        check(400, None, fine, Action::PutAside);
        check(401, None, fine, Action::Enroll);
        check(
            401,
            None,
            Circumstances {
                may_enroll: false,
                ..fine
            },
            Action::Pause,
        );
        check(403, None, fine, Action::Pause);
        check(429, Some(7), fine, Action::Wait(seconds(7)));
        check(503, Some(90), fine, Action::Wait(seconds(90)));
        check(503, None, fine, Action::Wait(seconds(0)));
        check(503, Some(u64::MAX), fine, Action::Wait(MAX_RETRY_AFTER));
        // What a proxy or an older backend may say: it may pass.
        for status in [302, 404, 405, 408, 409, 421, 500, 502, 504] {
            check(status, None, fine, Action::Wait(seconds(0)));
        }
        let unreachable = Failure::Unreachable {
            reason: String::new(),
        };
        assert_eq!(decide(&unreachable, fine), Action::Wait(seconds(0)));
    }

    #[test]
    fn waits() {
        let check = |attempt, at_least, random, expect_ms| {
            let wait = wait(attempt, Duration::from_secs(at_least), random);
            assert_eq!(
                wait,
                Duration::from_millis(expect_ms),
                "{attempt} {at_least} {random}"
            );
        };
        check(1, 0, 0, 1000);
        check(1, 0, 1000, 2000);
        check(1, 0, 1001, 1000);
        check(3, 0, 7000, 8000);
        check(6, 0, 59_000, 60_000);
        check(u32::MAX, 0, 59_000, 60_000);
        check(1, 30, 500, 30_000);
        check(6, 30, 59_000, 60_000);
        check(0, 0, 5, 1000);
    }

    #[test]
    fn retry_after() {
        let check = |value, expect: Option<u64>| {
            assert_eq!(
                parse_retry_after(value),
                expect.map(Duration::from_secs),
                "{value}"
            );
        };
        check("5", Some(5));
        check(" 0 ", Some(0));
        check("-1", None);
        check("Wed, 21 Oct 2026 07:28:00 GMT", None);
        check("", None);
    }
}
