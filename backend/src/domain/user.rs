//! People, and the two rules that guard their accounts: what a password must be, and the last admin.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::role::Role;

/// Shortest password, in characters (NIST SP 800-63B asks for at least 8).
pub const PASSWORD_MIN_CHARS: usize = 8;
/// Longest password, in characters: bounds the work of one hash.
pub const PASSWORD_MAX_CHARS: usize = 128;

/// A person who may log in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Identifier, UUIDv7.
    pub user_id: Uuid,
    /// Name, unique without regard to case.
    pub username: String,
    /// argon2id in PHC string form.
    pub password_hash: String,
    /// What the user may do.
    pub role: Role,
    /// A disabled user cannot log in, and what was given out stops working.
    pub disabled: bool,
    /// Rises when sessions must end: new password, other role, disabled.
    pub version: u64,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// Why a password is not accepted; the text is for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Outside the bounds of length.
    #[error("must be {PASSWORD_MIN_CHARS} to {PASSWORD_MAX_CHARS} characters")]
    Length,
    /// Among the first that an attacker tries.
    #[error("is one of the commonest passwords")]
    Common,
    /// Contains the user's own name and little else.
    #[error("must not be the username")]
    Username,
}

/// Passwords that appear at the top of every published list of leaked ones, in lower case, at least
/// [`PASSWORD_MIN_CHARS`] long (shorter ones are refused by length).
const COMMON_PASSWORDS: &[&str] = &[
    "00000000",
    "01234567",
    "0123456789",
    "0987654321",
    "11111111",
    "111111111",
    "1111111111",
    "11223344",
    "12121212",
    "123123123",
    "12341234",
    "12344321",
    "1234567890",
    "12345678",
    "123456789",
    "12345678910",
    "1234qwer",
    "123qweasd",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "22222222",
    "31415926",
    "55555555",
    "66666666",
    "77777777",
    "87654321",
    "88888888",
    "987654321",
    "99999999",
    "a1234567",
    "a12345678",
    "a123456789",
    "aa123456",
    "aa12345678",
    "aaaaaaaa",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "admin123",
    "admin1234",
    "admin12345",
    "administrator",
    "adminadmin",
    "alexander",
    "asdf1234",
    "asdfasdf",
    "asdfghjk",
    "asdfghjkl",
    "baseball",
    "basketball",
    "changeme",
    "changeme123",
    "charlie1",
    "computer",
    "consumer",
    "corvette",
    "dragon12",
    "elephant",
    "football",
    "football1",
    "google123",
    "iloveyou",
    "iloveyou1",
    "infrawatch",
    "infra-watch",
    "internet",
    "jennifer",
    "letmein1",
    "letmein123",
    "liverpool",
    "master123",
    "maverick",
    "mercedes",
    "metallica",
    "michael1",
    "midnight",
    "monitoring",
    "mustang1",
    "p@ssw0rd",
    "p@ssword",
    "pa55word",
    "pass1234",
    "passw0rd",
    "password",
    "password!",
    "password1",
    "password12",
    "password123",
    "password1234",
    "princess",
    "princess1",
    "q1w2e3r4",
    "qazwsxedc",
    "qwer1234",
    "qwerty12",
    "qwerty123",
    "qwerty1234",
    "qwertyui",
    "qwertyuiop",
    "samantha",
    "secret123",
    "starwars",
    "sunshine",
    "superman",
    "superuser",
    "test1234",
    "testtest",
    "trustno1",
    "victoria",
    "welcome1",
    "welcome123",
    "whatever",
    "zaq12wsx",
    "zxcvbnm1",
    "zxcvbnm123",
];

/// Accepts or refuses a new password: length and the commonest ones, no rules of composition.
pub fn check_password(username: &str, password: &str) -> Result<(), PasswordError> {
    let chars = password.chars().count();
    if !(PASSWORD_MIN_CHARS..=PASSWORD_MAX_CHARS).contains(&chars) {
        return Err(PasswordError::Length);
    }
    let lower = password.to_lowercase();
    if COMMON_PASSWORDS.contains(&lower.as_str()) {
        return Err(PasswordError::Common);
    }
    if lower == username.to_lowercase() {
        return Err(PasswordError::Username);
    }
    Ok(())
}

/// True when, without `user_id` as an enabled admin, nobody could administer any more.
pub fn is_last_admin<'a>(users: impl IntoIterator<Item = &'a User>, user_id: Uuid) -> bool {
    let (mut it_is_admin, mut others) = (false, false);
    for user in users
        .into_iter()
        .filter(|user| user.role == Role::Admin && !user.disabled)
    {
        if user.user_id == user_id {
            it_is_admin = true;
        } else {
            others = true;
        }
    }
    it_is_admin && !others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        let check = |username: &str, password: &str, expect| {
            assert_eq!(check_password(username, password), expect);
        };
        check("ann", "correct horse", Ok(()));
        check("ann", "seven77", Err(PasswordError::Length));
        check("ann", &"x".repeat(129), Err(PasswordError::Length));
        check("ann", "ümläutß8", Ok(()));
        check("ann", "PassWord123", Err(PasswordError::Common));
        check("Ann.Example", "ann.example", Err(PasswordError::Username));
    }

    fn user(number: u128, role: Role, disabled: bool) -> User {
        User {
            user_id: Uuid::from_u128(number),
            username: format!("u{number}"),
            password_hash: String::new(),
            role,
            disabled,
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_last_enabled_admin_is_guarded() {
        let users = [
            user(1, Role::Admin, false),
            user(2, Role::Admin, true),
            user(3, Role::Operator, false),
        ];
        assert!(is_last_admin(&users, Uuid::from_u128(1)));
        assert!(
            !is_last_admin(&users, Uuid::from_u128(2)),
            "a disabled admin guards nothing"
        );
        assert!(!is_last_admin(&users, Uuid::from_u128(3)));
        let two = [user(1, Role::Admin, false), user(2, Role::Admin, false)];
        assert!(!is_last_admin(&two, Uuid::from_u128(1)));
    }
}
