//! Dates and times of day as text and back. By hand: chrono reads its patterns at run time, which takes code for
//! everything that could stand in one.

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, Timelike as _};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `2025-11-23`.
pub fn date(at: DateTime<FixedOffset>) -> String {
    at.date_naive().to_string()
}

/// `23 Nov`.
pub fn day(at: DateTime<FixedOffset>) -> String {
    format!("{} {}", at.day(), MONTHS[at.month0() as usize])
}

/// `09:00`.
pub fn minutes(at: DateTime<FixedOffset>) -> String {
    format!("{:02}:{:02}", at.hour(), at.minute())
}

/// `09:00:30`.
pub fn seconds(at: DateTime<FixedOffset>) -> String {
    format!("{}:{:02}", minutes(at), at.second())
}

/// Out of `2025-11-23T09:00` or `2025-11-23T09:00:30`, as fields of dates write it.
pub fn parse(text: &str) -> Option<NaiveDateTime> {
    let numbers = text
        .split(['-', 'T', ':'])
        .map(|part| part.parse().ok())
        .collect::<Option<Vec<u32>>>()?;
    let ([year, month, day, hour, minute], second) = match numbers[..] {
        [year, month, day, hour, minute] => ([year, month, day, hour, minute], 0),
        [year, month, day, hour, minute, second] => ([year, month, day, hour, minute], second),
        _ => return None,
    };
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?
        .and_hms_opt(hour, minute, second)
}
