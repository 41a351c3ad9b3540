//! A person's session: how its refresh cookie rotates, when it ends, and how often a login may be tried.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Life of an access token, in seconds.
pub const ACCESS_TOKEN_SECONDS: i64 = 15 * 60;
/// A session ends this long after its login, whatever happens.
pub const SESSION_ABSOLUTE_SECONDS: i64 = 12 * 3600;
/// A session ends when it was not refreshed for this long.
pub const SESSION_IDLE_SECONDS: i64 = 30 * 60;
/// The cookie before the current one still answers for this long: two tabs may refresh at once.
pub const ROTATION_GRACE_SECONDS: i64 = 10;

/// A login that can be kept alive by its refresh cookie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Identifier, UUIDv7.
    pub session_id: Uuid,
    /// Whose session it is.
    pub user_id: Uuid,
    /// The user's version at login; a newer one ends the session.
    pub user_version: u64,
    /// Which of the session's refresh cookies is the current one; rises with each refresh.
    pub generation: u32,
    /// When the current cookie was given out.
    pub rotated_at: DateTime<Utc>,
    /// When the session began.
    pub created_at: DateTime<Utc>,
}

/// What to do with a refresh cookie that is genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It is the current one: hand out the next generation.
    Advance,
    /// It is the one before, within the grace: hand out the current generation again.
    Repeat,
    /// An old cookie came back, so someone else holds a copy: end the session.
    Reused,
    /// The session's time is over.
    Expired,
}

impl Session {
    /// Whether the session has outlived its absolute or idle time at `now`.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now - self.created_at >= TimeDelta::seconds(SESSION_ABSOLUTE_SECONDS)
            || now - self.rotated_at >= TimeDelta::seconds(SESSION_IDLE_SECONDS)
    }

    /// Decides what a cookie of `generation` gets at `now`.
    pub fn rotate(&self, generation: u32, now: DateTime<Utc>) -> Rotation {
        if self.is_over(now) {
            Rotation::Expired
        } else if generation == self.generation {
            Rotation::Advance
        } else if generation.checked_add(1) == Some(self.generation)
            && now - self.rotated_at <= TimeDelta::seconds(ROTATION_GRACE_SECONDS)
        {
            Rotation::Repeat
        } else {
            Rotation::Reused
        }
    }
}

/// Failed logins that one account may have from one address in [`SHORT_WINDOW_SECONDS`].
pub const FAILURES_PER_ACCOUNT_AND_ADDRESS: usize = 5;
/// Failed logins from one address in [`SHORT_WINDOW_SECONDS`].
pub const FAILURES_PER_ADDRESS: usize = 100;
/// Failed logins of one account in [`LONG_WINDOW_SECONDS`].
pub const FAILURES_PER_ACCOUNT: usize = 100;
/// Window of the two limits by address, in seconds.
pub const SHORT_WINDOW_SECONDS: i64 = 5 * 60;
/// Window of the limit by account, in seconds.
pub const LONG_WINDOW_SECONDS: i64 = 3600;
/// When so many keys are counted, those whose windows are over are forgotten.
const KEYS_BEFORE_SWEEP: usize = 10_000;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    AccountAndAddress(String, IpAddr),
    Address(IpAddr),
    Account(String),
}

impl Key {
    fn limit(&self) -> (usize, i64) {
        match self {
            Self::AccountAndAddress(..) => (FAILURES_PER_ACCOUNT_AND_ADDRESS, SHORT_WINDOW_SECONDS),
            Self::Address(_) => (FAILURES_PER_ADDRESS, SHORT_WINDOW_SECONDS),
            Self::Account(_) => (FAILURES_PER_ACCOUNT, LONG_WINDOW_SECONDS),
        }
    }
}

/// What counts as one address: an IPv6 network of 64 bits is one subscriber's, so it counts as a whole.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(std::net::Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

/// Counts login attempts by sliding windows. An attempt is reserved before the password is hashed, so that
/// parallel guesses count; a success gives its reservation back.
#[derive(Default)]
pub struct LoginLimiter {
    attempts: HashMap<Key, VecDeque<i64>>,
    sweep_at: usize,
}

/// A counted attempt; hand it to [`LoginLimiter::release`] when the login succeeded.
#[derive(Clone)]
pub struct Reservation {
    keys: [Key; 3],
    at: i64,
}

impl LoginLimiter {
    /// Counts an attempt on `account` from `address` at `now` (Unix seconds), or says in how many seconds
    /// the next one may be made. A refused attempt is not counted.
    pub fn reserve(
        &mut self,
        account: &str,
        address: IpAddr,
        now: i64,
    ) -> Result<Reservation, u64> {
        let (account, address) = (account.to_lowercase(), network_of(address));
        let keys = [
            Key::AccountAndAddress(account.clone(), address),
            Key::Address(address),
            Key::Account(account),
        ];
        let wait = keys
            .iter()
            .filter_map(|key| self.wait_seconds(key, now))
            .max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for key in &keys {
            self.attempts.entry(key.clone()).or_default().push_back(now);
        }
        if self.attempts.len() > self.sweep_at.max(KEYS_BEFORE_SWEEP) {
            self.attempts
                .retain(|key, times| times.back().is_some_and(|last| now - last < key.limit().1));
            self.sweep_at = self.attempts.len() * 2;
        }
        Ok(Reservation { keys, at: now })
    }

    /// Takes a reservation back: the login succeeded.
    pub fn release(&mut self, reservation: &Reservation) {
        for key in &reservation.keys {
            if let Some(times) = self.attempts.get_mut(key) {
                if let Some(position) = times.iter().rposition(|at| *at == reservation.at) {
                    times.remove(position);
                }
                if times.is_empty() {
                    self.attempts.remove(key);
                }
            }
        }
    }

    fn wait_seconds(&mut self, key: &Key, now: i64) -> Option<u64> {
        let (limit, window) = key.limit();
        let times = self.attempts.get_mut(key)?;
        while times.front().is_some_and(|at| now - at >= window) {
            times.pop_front();
        }
        (times.len() >= limit).then(|| {
            let oldest = times.front().copied().unwrap_or(now);
            u64::try_from(oldest + window - now).unwrap_or(1).max(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn rotation() {
        let session = Session {
            session_id: Uuid::nil(),
            user_id: Uuid::nil(),
            user_version: 1,
            generation: 7,
            rotated_at: at(1000),
            created_at: at(0),
        };
        let check =
            |generation, now, expect| assert_eq!(session.rotate(generation, at(now)), expect);
        check(7, 1001, Rotation::Advance);
        check(6, 1010, Rotation::Repeat);
        check(6, 1011, Rotation::Reused);
        check(5, 1001, Rotation::Reused);
        check(8, 1001, Rotation::Reused);
        check(u32::MAX, 1001, Rotation::Reused);
        check(7, 1000 + SESSION_IDLE_SECONDS, Rotation::Expired);
        let refreshed = Session {
            rotated_at: at(SESSION_ABSOLUTE_SECONDS - 1),
            ..session.clone()
        };
        assert_eq!(
            refreshed.rotate(7, at(SESSION_ABSOLUTE_SECONDS)),
            Rotation::Expired
        );
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn five_failures_of_one_account_from_one_address() {
        let mut limiter = LoginLimiter::default();
        for second in 0..5 {
            assert!(limiter.reserve("Ann", address(1), second).is_ok());
        }
        assert_eq!(limiter.reserve("ann", address(1), 10).err(), Some(290));
        assert!(
            limiter.reserve("bob", address(1), 10).is_ok(),
            "another account is not blocked"
        );
        assert!(
            limiter.reserve("ann", address(2), 10).is_ok(),
            "another address is not blocked"
        );
        assert!(
            limiter.reserve("ann", address(1), 300).is_ok(),
            "the window slides"
        );
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let mut limiter = LoginLimiter::default();
        for host in 0..5 {
            let address = format!("2001:db8::{host}").parse().unwrap();
            assert!(limiter.reserve("ann", address, 0).is_ok());
        }
        assert!(
            limiter
                .reserve("ann", "2001:db8::9".parse().unwrap(), 0)
                .is_err()
        );
        assert!(
            limiter
                .reserve("ann", "2001:db8:0:1::9".parse().unwrap(), 0)
                .is_ok()
        );
        assert_eq!(
            network_of("::ffff:10.0.0.1".parse().unwrap()),
            address(10 - 9)
        );
    }

    #[test]
    fn success_releases() {
        let mut limiter = LoginLimiter::default();
        for second in 0..50 {
            let reservation = limiter
                .reserve("ann", address(1), second)
                .map_err(|wait| format!("waits {wait}"));
            limiter.release(&reservation.unwrap());
        }
        assert!(limiter.attempts.is_empty());
    }

    #[test]
    fn one_address_and_one_account_have_limits_of_their_own() {
        let mut limiter = LoginLimiter::default();
        for number in 0..100 {
            assert!(
                limiter
                    .reserve(&format!("user{number}"), address(1), 0)
                    .is_ok()
            );
        }
        assert!(limiter.reserve("ann", address(1), 0).is_err());
        for number in 0..100 {
            assert!(
                limiter
                    .reserve("ann", IpAddr::from([10, 0, 1, number]), 0)
                    .is_ok()
            );
        }
        assert_eq!(limiter.reserve("ann", address(9), 100).err(), Some(3500));
    }
}
