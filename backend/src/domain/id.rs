//! Identifiers of objects: UUIDv7 (RFC 9562), so that they sort by the time they were made.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// When an identifier was made, to the millisecond; the beginning of 1970 for one that is not ours.
pub fn time(id: Uuid) -> DateTime<Utc> {
    id.get_timestamp()
        .and_then(|timestamp| {
            let (seconds, nanoseconds) = timestamp.to_unix();
            DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
        })
        .unwrap_or_default()
}

/// The lowest identifier that may be made at `at` or later: ids below it are older.
pub fn lowest(at: DateTime<Utc>) -> Uuid {
    let milliseconds = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(u128::from(milliseconds & 0xffff_ffff_ffff) << 80)
}

/// A new identifier made at `now`, and in any case after `last`: a clock may be set back.
pub fn after(now: DateTime<Utc>, last: Option<Uuid>) -> Uuid {
    new(last.map_or(now, |last| now.max(time(last) + TimeDelta::milliseconds(1))))
}

/// A new identifier made at `now`.
pub fn new(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        seconds,
        now.timestamp_subsec_nanos(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time() {
        let at = |milliseconds| DateTime::from_timestamp_millis(milliseconds).unwrap();
        let id = new(at(1_700_000_000_123));
        assert_eq!(time(id), at(1_700_000_000_123));
        assert!(lowest(at(1_700_000_000_123)) <= id);
        assert!(id < lowest(at(1_700_000_000_124)));
        assert_eq!(lowest(at(-5)), Uuid::nil());
        assert_eq!(time(Uuid::nil()), DateTime::UNIX_EPOCH);
        assert!(after(at(1_000_000_000_000), Some(id)) > id);
        assert_eq!(
            time(after(at(1_800_000_000_000), Some(id))),
            at(1_800_000_000_000)
        );
    }
}
