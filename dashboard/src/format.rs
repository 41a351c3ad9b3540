//! Values as people read them: pure functions, tested natively.

use chrono::{DateTime, FixedOffset, Timelike as _, Utc};
use infra_watch_client::number::fixed;

use crate::date;

/// What stands where no value is known.
pub const NOTHING: &str = "–";

/// A unit as the catalogue names it, with the way its values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Parts of a hundred.
    Percent,
    /// Bytes each second, with binary prefixes.
    BytesPerSecond,
    /// Bytes, with binary prefixes.
    Bytes,
    /// A duration.
    Seconds,
    /// A plain number.
    One,
}

impl Unit {
    /// The unit behind a UCUM code; what is unknown is written as a plain number.
    pub fn parse(code: &str) -> Self {
        match code {
            "%" => Self::Percent,
            "By/s" => Self::BytesPerSecond,
            "By" => Self::Bytes,
            "s" => Self::Seconds,
            _ => Self::One,
        }
    }

    /// A value with its unit.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Percent => percent(value),
            Self::BytesPerSecond => format!("{}/s", bytes(value)),
            Self::Bytes => bytes(value),
            Self::Seconds => duration(value),
            Self::One => number(value),
        }
    }

    /// A value with its unit, or the sign for nothing.
    pub fn format_or_nothing(self, value: Option<f64>) -> String {
        value.map_or_else(|| NOTHING.to_owned(), |value| self.format(value))
    }
}

/// `12.3 %`, without decimals from 100 on.
pub fn percent(value: f64) -> String {
    if value >= 99.95 {
        whole_percent(value)
    } else {
        format!("{} %", fixed(value, 1))
    }
}

/// `63 %`: for bars, where a decimal would only flicker.
pub fn whole_percent(value: f64) -> String {
    format!("{} %", fixed(value, 0))
}

/// Three significant digits, a thin space between thousands.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        return thousands(value);
    }
    let decimals = if size >= 100.0 || value.fract() == 0.0 {
        0
    } else if size >= 10.0 {
        1
    } else {
        2
    };
    fixed(value, decimals)
}

fn thousands(value: f64) -> String {
    let digits = fixed(value.abs(), 0);
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1.50 MiB`: bytes with a binary prefix and three significant digits.
pub fn bytes(value: f64) -> String {
    const PREFIXES: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = value;
    let mut prefix = 0;
    while size.abs() >= 1000.0 && prefix + 1 < PREFIXES.len() {
        size /= 1024.0;
        prefix += 1;
    }
    let text = if prefix == 0 {
        fixed(size, 0)
    } else {
        number(size)
    };
    format!("{text} {}", PREFIXES[prefix])
}

/// The two largest parts of a duration: `3 d 4 h`, `12 min`, `45 s`.
pub fn duration(seconds: f64) -> String {
    const PARTS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    if !seconds.is_finite() || seconds < 0.0 {
        return NOTHING.to_owned();
    }
    if seconds > 0.0 && seconds < 0.001 {
        return "< 1 ms".to_owned();
    }
    if seconds > 0.0 && seconds < 1.0 {
        return format!("{} ms", fixed(seconds * 1000.0, 0));
    }
    let mut rest = seconds.round() as u64;
    let first = PARTS
        .iter()
        .position(|(size, _)| rest >= *size)
        .unwrap_or(PARTS.len() - 1);
    let mut words = Vec::new();
    for (size, name) in PARTS.iter().skip(first).take(2) {
        let count = rest / size;
        rest %= size;
        if count > 0 || words.is_empty() {
            words.push(format!("{count} {name}"));
        }
    }
    words.join(" ")
}

/// One word and its number: `30 s`, `5 min`, `2 h`, `1 d`, for the width of a bucket.
pub fn step(seconds: i64) -> String {
    duration(seconds as f64)
}

/// How long ago, in words that stay still for a while: `just now`, `3 min ago`.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (now - at).num_seconds() {
        // The server's clock may be a little ahead of this one.
        ..10 => "just now".to_owned(),
        seconds @ 10..60 => format!("{} s ago", seconds / 10 * 10),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// How far ahead or past: `in 3 d`, `2 h ago`.
pub fn ahead_or_ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    if seconds < 60 {
        ago(at, now)
    } else {
        format!("in {}", largest_part(seconds as f64))
    }
}

fn largest_part(seconds: f64) -> String {
    duration(seconds)
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `2026-11-23 12:03:04 UTC+01:00`: a whole moment with its zone.
pub fn moment(at: DateTime<Utc>, zone: FixedOffset) -> String {
    let at = at.with_timezone(&zone);
    format!("{} {} UTC{zone}", date::date(at), date::seconds(at))
}

/// `12:03`, with the day before it when it is not today's.
pub fn clock(at: DateTime<Utc>, now: DateTime<Utc>, zone: FixedOffset) -> String {
    let (at, now) = (at.with_timezone(&zone), now.with_timezone(&zone));
    let same_day = at.date_naive() == now.date_naive();
    if same_day {
        date::minutes(at)
    } else {
        format!("{}, {}", date::day(at), date::minutes(at))
    }
}

/// A label of a time axis whose labels are so far apart: the date where a day begins, seconds where they matter.
pub fn tick(at: DateTime<FixedOffset>, distance_seconds: f64) -> String {
    let begins_day = at.hour() == 0 && at.minute() == 0 && at.second() == 0;
    match distance_seconds {
        86_400.0.. => date::day(at),
        60.0.. if begins_day => date::day(at),
        60.0.. => date::minutes(at),
        _ => date::seconds(at),
    }
}

/// A job's schedule in words, in the viewer's zone: `every 10 minutes`, `every hour at :15`, `every day at 00:40`. It
/// comes as second, minute, hour, day, month and weekday in UTC; what is not said in words stays as it is.
pub fn schedule(cron: &str, zone: FixedOffset) -> String {
    let fields: Vec<&str> = cron.split(' ').collect();
    let [_, minute, hour, "*", "*", "*"] = fields[..] else {
        return cron.to_owned();
    };
    let every = minute
        .strip_prefix("*/")
        .and_then(|count| count.parse().ok());
    let local = |minutes: i32| (minutes + zone.local_minus_utc() / 60).rem_euclid(24 * 60);
    match (minute, minute.parse(), hour, hour.parse::<i32>()) {
        ("*", _, "*", _) => "every minute".to_owned(),
        (_, Ok(minute), "*", _) => format!("every hour at :{:02}", local(minute) % 60),
        (_, Ok(minute), _, Ok(hour)) => {
            let at = local(hour * 60 + minute);
            format!("every day at {:02}:{:02}", at / 60, at % 60)
        }
        _ => match every {
            Some(minutes) if hour == "*" => format!("every {}", count(minutes, "minute")),
            _ => cron.to_owned(),
        },
    }
}

/// When a disk is full, in words: `full in 12 days`.
pub fn full_in(days: f64) -> String {
    match days {
        ..1.0 => "full in less than a day".to_owned(),
        730.0.. => format!("full in {}", count((days / 365.0) as usize, "year")),
        _ => format!("full in {}", count(days as usize, "day")),
    }
}

/// A metric's name in words, and whether its instance needs to be said.
pub fn metric_title(metric: &str) -> String {
    match metric {
        "cpu_usage_percent" => "CPU".to_owned(),
        "memory_usage_percent" => "Memory".to_owned(),
        "swap_usage_percent" => "Swap".to_owned(),
        "disk_usage_percent" => "Disk space".to_owned(),
        "load1" => "Load, 1 min".to_owned(),
        "load5" => "Load, 5 min".to_owned(),
        "load15" => "Load, 15 min".to_owned(),
        "uptime_seconds" => "Uptime".to_owned(),
        "network_receive_bytes_per_second" => "Network received".to_owned(),
        "network_transmit_bytes_per_second" => "Network sent".to_owned(),
        "disk_read_bytes_per_second" => "Disk read".to_owned(),
        "disk_write_bytes_per_second" => "Disk written".to_owned(),
        "process_count" => "Processes".to_owned(),
        other => capitalised(&other.replace('_', " ")),
    }
}

/// The first letter in upper case, where it is a Latin one: the texts that begin a sentence here are English.
pub fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// `1 host`, `2 hosts`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_units() {
        let check = |code, value, expect| {
            assert_eq!(Unit::parse(code).format(value), expect, "{code} {value}");
        };
        check("%", 0.0, "0.0 %");
        check("%", 12.34, "12.3 %");
        check("%", 100.0, "100 %");
        check("By/s", 0.0, "0 B/s");
        check("By/s", 999.0, "999 B/s");
        check("By/s", 1000.0, "0.98 KiB/s");
        check("By/s", 1_572_864.0, "1.50 MiB/s");
        check("By", 25_769_803_776.0, "24 GiB");
        check("s", 0.0, "0 s");
        check("s", 0.000_3, "< 1 ms");
        check("s", 0.25, "250 ms");
        check("s", 59.6, "1 min");
        check("s", 3725.0, "1 h 2 min");
        check("s", 86_400.0 * 3.0 + 60.0, "3 d");
        check("1", 0.05, "0.05");
        check("1", 12.345, "12.3");
        check("1", 123.45, "123");
        check("1", 1_234_567.0, "1\u{202f}234\u{202f}567");
        check("furlong", 2.0, "2");
        assert_eq!(Unit::Percent.format_or_nothing(None), NOTHING);
    }

    #[test]
    fn times_in_words() {
        let now = DateTime::from_timestamp(1_763_881_200, 0).unwrap();
        let check = |seconds, expect| {
            assert_eq!(ago(now - chrono::Duration::seconds(seconds), now), expect);
        };
        check(0, "just now");
        check(9, "just now");
        check(34, "30 s ago");
        check(61, "1 min ago");
        check(7_300, "2 h ago");
        check(200_000, "2 d ago");
        check(-3, "just now");
        assert_eq!(
            ahead_or_ago(now + chrono::Duration::hours(30), now),
            "in 1 d"
        );
        let zone = FixedOffset::east_opt(3600).unwrap();
        assert_eq!(moment(now, zone), "2025-11-23 08:00:00 UTC+01:00");
        let tick_at = |hour, distance| {
            tick(
                (now + chrono::Duration::hours(hour)).with_timezone(&zone),
                distance,
            )
        };
        assert_eq!(
            [
                tick_at(0, 600.0),
                tick_at(0, 10.0),
                tick_at(16, 3600.0),
                tick_at(0, 86_400.0)
            ],
            ["08:00", "08:00:00", "24 Nov", "23 Nov"]
        );
        assert_eq!(clock(now, now, zone), "08:00");
        assert_eq!(
            clock(now - chrono::Duration::days(1), now, zone),
            "22 Nov, 08:00"
        );
    }

    #[test]
    fn schedules_in_words() {
        let check = |cron, east_minutes: i32, expect| {
            let zone = FixedOffset::east_opt(east_minutes * 60).unwrap();
            assert_eq!(schedule(cron, zone), expect, "{cron}");
        };
        check("20 * * * * *", 60, "every minute");
        check("17 */10 * * * *", 60, "every 10 minutes");
        check("0 15 * * * *", 60, "every hour at :15");
        check("0 15 * * * *", 330, "every hour at :45");
        check("0 40 0 * * *", 0, "every day at 00:40");
        check("0 40 0 * * *", -60, "every day at 23:40");
        check("0 50 22 * * *", 120, "every day at 00:50");
        for other in ["0 0 0 1 * *", "0 */5 3 * * *", "0 1,2 * * * *", "soon"] {
            check(other, 60, other);
        }
    }

    #[test]
    fn disks_fill_up() {
        let check = |days, expect| assert_eq!(full_in(days), expect);
        check(0.4, "full in less than a day");
        check(1.9, "full in 1 day");
        check(89.6, "full in 89 days");
        check(10_000.0, "full in 27 years");
    }

    #[test]
    fn names() {
        assert_eq!(metric_title("cpu_usage_percent"), "CPU");
        assert_eq!(metric_title("queue_length"), "Queue length");
        assert_eq!(count(1, "host"), "1 host");
        assert_eq!(count(5000, "host"), "5\u{202f}000 hosts");
    }
}
