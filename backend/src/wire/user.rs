//! Users in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::scalar::{Text, Username};
use crate::domain;
use crate::domain::user::{PASSWORD_MAX_CHARS, PASSWORD_MIN_CHARS};

/// A password as it is typed to log in.
pub type Password = Text<1, 128>;
/// A password for an account; the domain also refuses the commonest.
pub type NewPassword = Text<PASSWORD_MIN_CHARS, PASSWORD_MAX_CHARS>;

/// What a person may do: viewer < operator < admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Role {
    /// Sees hosts and metrics.
    Viewer,
    /// Sees all data.
    Operator,
    /// Manages everything.
    Admin,
}

impl From<Role> for domain::role::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

impl From<domain::role::Role> for Role {
    fn from(role: domain::role::Role) -> Self {
        match role {
            domain::role::Role::Viewer => Self::Viewer,
            domain::role::Role::Operator => Self::Operator,
            domain::role::Role::Admin => Self::Admin,
        }
    }
}

/// A person who may log in.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct User {
    /// Identifier.
    pub user_id: Uuid,
    /// Name, unique without regard to case.
    pub username: String,
    /// What the user may do.
    pub role: Role,
    /// A disabled user cannot log in.
    pub disabled: bool,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

impl From<&domain::user::User> for User {
    fn from(user: &domain::user::User) -> Self {
        Self {
            user_id: user.user_id,
            username: user.username.clone(),
            role: user.role.into(),
            disabled: user.disabled,
            created_at: user.created_at,
        }
    }
}

/// A new user.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateUser {
    /// Name, unique without regard to case.
    pub username: Username,
    /// 8 to 128 characters, none of the commonest.
    pub password: NewPassword,
    /// What the user may do.
    pub role: Role,
    /// A disabled user cannot log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// What shall be different; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct UpdateUser {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Username>,
    /// Another password; ends the user's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<NewPassword>,
    /// Another role; ends the user's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// `true` ends the user's sessions and refuses logins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}
