//! Processor time from `/proc/stat`.

use super::percent;

/// Time of all processors together since the machine started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    total: u64,
    idle: u64,
}

/// Reads the summary line. Guest time is in user time already and waiting for disks is idle time.
pub fn parse(text: &str) -> Option<CpuTimes> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut total = 0;
    let mut idle = 0;
    // user nice system idle iowait irq softirq steal, then guest times.
    for (index, field) in line.split_ascii_whitespace().take(8).enumerate() {
        let ticks: u64 = field.parse().ok()?;
        total += ticks;
        if index == 3 || index == 4 {
            idle += ticks;
        }
    }
    (total > 0).then_some(CpuTimes { total, idle })
}

/// How much of the time between two readings the processors were not idle. None when no time passed or when the
/// counters went back, as they do when a processor is taken away.
pub fn usage_percent(before: CpuTimes, after: CpuTimes) -> Option<f64> {
    let total = after
        .total
        .checked_sub(before.total)
        .filter(|total| *total > 0)?;
    // Idle time alone may step back a little: the kernel says so of iowait.
    let idle = after.idle.saturating_sub(before.idle).min(total);
    Some(percent(total - idle, total))
}

/// Number of processors that are online.
pub fn count(text: &str) -> usize {
    text.lines()
        .filter_map(|line| line.strip_prefix("cpu"))
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = include_str!("../../tests/fixtures/debian-12-vm/proc/stat");

    #[test]
    fn times() {
        let check = |text, expect| assert_eq!(parse(text), expect, "{text}");
        check(
            VM,
            Some(CpuTimes {
                total: 595_389,
                idle: 519_749,
            }),
        );
        check(
            "cpu  1 0 1 6 2 0 0 0 9 9\n",
            Some(CpuTimes { total: 10, idle: 8 }),
        );
        // Linux before 2.6.11 knew no stolen time.
        check("cpu  1 0 1 6\n", Some(CpuTimes { total: 8, idle: 6 }));
        check("cpu  1 x 1 6\n", None);
        check("cpu0 1 0 1 6\n", None);
        check("", None);
        assert_eq!(count(VM), 2);
    }

    #[test]
    fn usage() {
        let at = |total, idle| CpuTimes { total, idle };
        let check = |before, after, expect| assert_eq!(usage_percent(before, after), expect);
        check(at(100, 80), at(200, 155), Some(25.0));
        check(at(100, 80), at(103, 81), Some(66.67));
        check(at(100, 80), at(200, 180), Some(0.0));
        check(at(100, 80), at(200, 79), Some(100.0));
        check(at(100, 80), at(100, 80), None);
        check(at(100, 80), at(90, 70), None);
    }
}
