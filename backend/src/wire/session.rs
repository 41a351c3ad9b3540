//! Login, sessions and one's own account in JSON.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::scalar::Text;
use super::user::{NewPassword, Password, Role};
use crate::domain;

/// Name and password.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct Login {
    /// The user's name; case does not matter.
    pub username: Text<1, 64>,
    /// The user's password.
    pub password: Password,
}

/// How the token is to be presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
pub enum TokenType {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer,
}

/// Who one is.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Me {
    /// Identifier.
    pub user_id: Uuid,
    /// Name.
    pub username: String,
    /// What the caller may do: the user's role, or that of the API token if it is less.
    pub role: Role,
}

impl Me {
    /// A user acting with `role`.
    pub fn new(user: &domain::user::User, role: domain::role::Role) -> Self {
        Self {
            user_id: user.user_id,
            username: user.username.clone(),
            role: role.into(),
        }
    }
}

/// An access token; the refresh token travels in a cookie beside it.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct SessionToken {
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: TokenType,
    /// Seconds until the access token ends.
    pub expires_in: i64,
    /// Who logged in.
    pub user: Me,
}

/// A new password for oneself.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password as it is.
    pub current_password: Password,
    /// 8 to 128 characters, none of the commonest.
    pub new_password: NewPassword,
}
