//! `health`: whether the agent of a state directory measures, for checks of containers and services.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Outcome;
use crate::clock;
use crate::state::StateDir;

/// What a measurement may be late beside three intervals: a machine under load is no fault of the agent's.
const LEEWAY: Duration = Duration::from_secs(30);

/// Succeeds when the agent measured lately.
pub fn health(state_dir: &Path) -> Outcome {
    match StateDir::as_it_is(state_dir).last_alive() {
        Some((measured_at, interval_seconds)) => {
            judge(measured_at, interval_seconds, now()).map_err(Into::into)
        }
        None => Err(format!("no agent has measured with {}", state_dir.display()).into()),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + clock::since_epoch()
}

/// A clock that was set back makes the last measurement one of the future: that counts as much as one of the past.
fn judge(measured_at: SystemTime, interval_seconds: u32, now: SystemTime) -> Result<(), String> {
    let apart = now
        .duration_since(measured_at)
        .unwrap_or_else(|error| error.duration());
    if apart <= Duration::from_secs(u64::from(interval_seconds) * 3) + LEEWAY {
        return Ok(());
    }
    Err(format!(
        "the agent last measured {} s ago, and should every {interval_seconds} s",
        apart.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_healthy_while_it_measures() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let check = |seconds: u64, expect: bool| {
            let apart = Duration::from_secs(seconds);
            assert_eq!(judge(now - apart, 10, now).is_ok(), expect, "{seconds} ago");
            assert_eq!(judge(now + apart, 10, now).is_ok(), expect, "in {seconds}");
        };
        check(0, true);
        check(60, true);
        check(61, false);
        check(86_400, false);
    }

    #[test]
    fn the_file_says_when_and_how_often() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path()).unwrap();
        let error = health(root.path()).unwrap_err().to_string();
        assert!(error.contains("no agent has measured"), "{error}");
        let mut alive = state.alive(7);
        assert_eq!(state.last_alive(), None);
        alive.touch();
        let (measured_at, interval_seconds) = state.last_alive().unwrap();
        assert_eq!(interval_seconds, 7);
        judge(measured_at, interval_seconds, now()).unwrap();
        health(root.path()).unwrap();
        std::fs::write(root.path().join("alive"), "often").unwrap();
        assert!(health(root.path()).is_err());
    }
}
