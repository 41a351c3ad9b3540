//! `user`: accounts from the command line, through a running backend or on the stopped store.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::client::{self, ClientError};
use super::serve::{StartError, open};
use crate::app::App;
use crate::config::{ConfigError, UserArguments, UserCommand, secret};
use crate::domain::egress::EgressRules;
use crate::flows::FlowError;
use crate::flows::user::{self, NewUser, UserPatch};
use crate::notify::Notifiers;
use crate::store::audit::Actor;
use crate::store::redb::RedbKv;
use crate::store::series::GroupCommit;
use crate::transport::TransportSettings;
use crate::wire::page::Page;
use crate::wire::scalar::{Text, Username};
use crate::wire::user::{CreateUser, UpdateUser, User};

/// Longest password that is read, in bytes.
const PASSWORD_BYTES: u64 = 4096;
/// Time for the running backend to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a command about users failed.
#[derive(Debug, Error)]
pub enum UserError {
    /// Settings.
    #[error("reading settings")]
    Config(#[from] ConfigError),
    /// No password.
    #[error("reading the password from standard input")]
    Password(#[source] std::io::Error),
    /// A name that cannot be.
    #[error("the username {0}")]
    Name(&'static str),
    /// The stopped store does not open: it may be in use.
    #[error("opening the store; if the backend runs, give --server and --token-file")]
    Open(#[from] StartError),
    /// What was asked cannot be done.
    #[error("{0}")]
    Flow(#[from] FlowError),
    /// The HTTP client.
    #[error("preparing HTTP")]
    Client(#[from] ClientError),
    /// The running backend cannot be reached.
    #[error("asking the backend")]
    Request(#[from] reqwest::Error),
    /// The running backend refuses.
    #[error("the backend refuses: {0}")]
    Refused(String),
    /// `--server` without a token.
    #[error("--server needs --token-file, or INFRA_WATCH_TOKEN, with an admin's API token")]
    NoToken,
    /// A directory without a store.
    #[error(
        "there is no store in {0}: give the data directory of a backend that was started before"
    )]
    NoStore(PathBuf),
    /// Nobody has this name.
    #[error("there is no user {0}")]
    NoUser(String),
}

/// Runs the command and returns what to print.
///
/// # Errors
/// See [`UserError`].
pub async fn run(arguments: UserArguments) -> Result<String, UserError> {
    let source = arguments.source;
    let token = secret(source.token.as_ref(), source.token_file.as_ref())?;
    match (source.server, token) {
        (Some(server), Some(token)) => {
            let client = client::builder("user", source.ca_file.as_deref())?
                .timeout(PATIENCE)
                .build()?;
            remote(
                &Remote {
                    client,
                    server,
                    token,
                },
                arguments.command,
            )
            .await
        }
        (Some(_), None) => Err(UserError::NoToken),
        (None, _) => {
            // A wrong directory must not become a new store.
            if !RedbKv::exists(&source.data_dir) {
                return Err(UserError::NoStore(source.data_dir));
            }
            let nobody =
                Notifiers::new(EgressRules::default(), None).map_err(StartError::Notify)?;
            let commits = GroupCommit::default();
            let nowhere = TransportSettings::default();
            let app = open(&source.data_dir, commits, None, nobody, nowhere).await?;
            local(&app, arguments.command).await
        }
    }
}

fn password(file: Option<&PathBuf>) -> Result<String, UserError> {
    if let Some(password) = secret(None, file)? {
        return Ok(password);
    }
    let mut text = String::new();
    std::io::stdin()
        .take(PASSWORD_BYTES)
        .read_to_string(&mut text)
        .map_err(UserError::Password)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn table(users: impl IntoIterator<Item = User>) -> String {
    users
        .into_iter()
        .map(|user| {
            let role = crate::domain::role::Role::from(user.role).as_str();
            format!(
                "{}\t{role}\t{}\n",
                user.username,
                if user.disabled { "disabled" } else { "enabled" }
            )
        })
        .collect()
}

async fn local(app: &App, command: UserCommand) -> Result<String, UserError> {
    match command {
        UserCommand::Add {
            username,
            role,
            password_file,
        } => {
            let Username(username) = username.parse().map_err(UserError::Name)?;
            let password = password(password_file.as_ref())?;
            let new = NewUser {
                username,
                password,
                role,
                disabled: false,
            };
            let made = user::create(app, Actor::system(), new).await?;
            Ok(format!(
                "made user {} with role {}\n",
                made.username,
                made.role.as_str()
            ))
        }
        UserCommand::SetPassword {
            username,
            password_file,
        } => {
            let found = app
                .store
                .state
                .users
                .find(|user| user.username.eq_ignore_ascii_case(&username));
            let found = found.ok_or_else(|| UserError::NoUser(username.clone()))?;
            let patch = UserPatch {
                password: Some(password(password_file.as_ref())?),
                ..UserPatch::default()
            };
            user::update(app, Actor::system(), found.user_id, patch).await?;
            Ok(format!("{} has a new password\n", found.username))
        }
        UserCommand::List => Ok(table(
            app.store
                .state
                .users
                .all()
                .iter()
                .map(|user| User::from(&**user)),
        )),
    }
}

struct Remote {
    client: Client,
    server: String,
    token: String,
}

impl Remote {
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, UserError> {
        let url = client::url(&self.server, path);
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response.json().await?);
        }
        Err(UserError::Refused(client::detail(response).await))
    }

    async fn users(&self) -> Result<Vec<User>, UserError> {
        let (mut users, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/users?limit=1000{cursor}");
            let page: Page<User> = self.call(Method::GET, &path, None::<&()>).await?;
            users.extend(page.items);
            match page.next_cursor.0 {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(users),
            }
        }
    }
}

async fn remote(remote: &Remote, command: UserCommand) -> Result<String, UserError> {
    match command {
        UserCommand::Add {
            username,
            role,
            password_file,
        } => {
            let username = username.parse().map_err(UserError::Name)?;
            let password = Text(password(password_file.as_ref())?);
            let new = CreateUser {
                username,
                password,
                role: role.into(),
                disabled: None,
            };
            let made: User = remote.call(Method::POST, "/users", Some(&new)).await?;
            Ok(format!(
                "made user {} with role {}\n",
                made.username,
                role.as_str()
            ))
        }
        UserCommand::SetPassword {
            username,
            password_file,
        } => {
            let users = remote.users().await?;
            let found = users
                .into_iter()
                .find(|user| user.username.eq_ignore_ascii_case(&username));
            let found = found.ok_or(UserError::NoUser(username))?;
            let patch = UpdateUser {
                password: Some(Text(password(password_file.as_ref())?)),
                ..UpdateUser::default()
            };
            let _: User = remote
                .call(
                    Method::PATCH,
                    &format!("/users/{}", found.user_id),
                    Some(&patch),
                )
                .await?;
            Ok(format!("{} has a new password\n", found.username))
        }
        UserCommand::List => Ok(table(remote.users().await?)),
    }
}
