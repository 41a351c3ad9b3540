//! `serve`: from settings to a running backend.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use rustix::fs::Mode;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_cron_scheduler::JobSchedulerError;

use super::stop_signal;
use crate::app::{App, Keep};
use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigError, ServeArguments, secret};
use crate::flows::backup::BackupPlan;
use crate::flows::password::Passwords;
use crate::flows::token::{TokenError, Tokens, random_secret};
use crate::flows::{FlowError, alert_rule, credential, user};
use crate::http::server::ServeOptions;
use crate::http::{HttpSettings, TrustedProxies};
use crate::notify::{Notifiers, NotifyError};
use crate::store::archive::{Passphrase, Secrets};
use crate::store::kv::{KvError, Table};
use crate::store::migration;
use crate::store::redb::RedbKv;
use crate::store::series::GroupCommit;
use crate::store::{OpenError, Store};
use crate::tls::{TlsError, TlsFiles};
use crate::transport::{SshKey, TransportError, TransportSettings, Transports};
use crate::wire::scalar::Username;
use crate::{scheduler, telemetry};

/// Why the backend does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Settings.
    #[error("reading settings")]
    Config(#[from] ConfigError),
    /// A file or directory.
    #[error("using {path}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store.
    #[error("opening the store in {path}")]
    Store {
        /// The data directory.
        path: PathBuf,
        /// Why not.
        source: OpenError,
    },
    /// The key that signs tokens.
    #[error("preparing tokens")]
    Token(#[from] TokenError),
    /// The system gives no randomness.
    #[error("asking the system for randomness: {0}")]
    Random(getrandom::Error),
    /// The first admin's name.
    #[error("the admin's username {0}")]
    AdminUsername(&'static str),
    /// The first admin or enrolment key.
    #[error("preparing the first start")]
    First(#[from] FlowError),
    /// Webhooks and mail.
    #[error("preparing notifications")]
    Notify(#[from] NotifyError),
    /// The ways to hosts.
    #[error("preparing collections")]
    Transport(#[from] TransportError),
    /// TLS.
    #[error("preparing TLS")]
    Tls(#[from] TlsError),
    /// The listener.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The cron table.
    #[error("starting the jobs")]
    Scheduler(#[from] JobSchedulerError),
}

/// Serves until a signal to stop.
///
/// # Errors
/// See [`StartError`].
pub async fn run(settings: ServeArguments) -> Result<(), StartError> {
    telemetry::init_log(settings.logging.log_format, &settings.logging.log);
    let tls = match (&settings.tls_cert, &settings.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles::open(certificate, key)?),
        _ => None,
    };
    #[cfg(debug_assertions)]
    if let Some((name, passes)) = settings
        .fault_point
        .as_ref()
        .and_then(|point| point.split_once(':'))
    {
        crate::store::fault::arm(name, passes.parse().unwrap_or(1));
    }
    let mut app = open_app(&settings).await?;
    app.retention = Keep {
        series: settings.retention(),
        snapshots: TimeDelta::from_std(settings.retention_snapshots).unwrap_or(TimeDelta::MAX),
        audit: TimeDelta::from_std(settings.retention_audit).unwrap_or(TimeDelta::MAX),
    };
    app.backups = backup_plan(&settings)?;
    let app = Arc::new(app);
    let admin_username: Username = settings
        .admin_username
        .parse()
        .map_err(StartError::AdminUsername)?;
    // Later starts need no file with the first password: it should be gone by then.
    if app.store.state.users.is_empty() {
        let admin_password = secret(
            settings.admin_password.as_ref(),
            settings.admin_password_file.as_ref(),
        )?;
        if let Some(password) =
            user::ensure_first_admin(&app, &admin_username.0, admin_password).await?
        {
            print_password(&admin_username.0, &password);
        }
    }
    alert_rule::create_defaults(&app).await?;
    if let Some(key) = secret(
        settings.enrollment_key.as_ref(),
        settings.enrollment_key_file.as_ref(),
    )? {
        credential::ensure_enrollment_key(&app, &key).await?;
    }
    let is_public_https = settings
        .public_url
        .as_ref()
        .is_some_and(|url| url.starts_with("https://"));
    let trusted_proxies = TrustedProxies(settings.trusted_proxies);
    let http = HttpSettings {
        secure_cookies: tls.is_some() || is_public_https,
        strict_transport: tls.is_some(),
        trusted_proxies: trusted_proxies.clone(),
    };
    let address = settings.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    let mut jobs = scheduler::start(Arc::clone(&app)).await?;
    tracing::info!(%address, tls = tls.is_some(), hosts = app.store.state.hosts.len(), "infra-watch serves");
    let options = ServeOptions {
        tls,
        trusted_proxies,
        drain: settings.drain,
        ..ServeOptions::default()
    };
    let served = crate::serve(app, http, listener, options, stop_signal()).await;
    if let Err(error) = jobs.shutdown().await {
        tracing::warn!(%error, "stopping the jobs");
    }
    tracing::info!("infra-watch stopped");
    served.map_err(|source| StartError::Listen { address, source })
}

/// Where backups are made, which must be there now: a start says what a night would.
fn backup_plan(settings: &ServeArguments) -> Result<Option<BackupPlan>, StartError> {
    let Some(directory) = settings.backup_dir.clone() else {
        return Ok(None);
    };
    std::fs::read_dir(&directory).map_err(|source| StartError::Path {
        path: directory.clone(),
        source,
    })?;
    let passphrase = secret(None, settings.backup_passphrase_file.as_ref())?;
    Ok(Some(BackupPlan {
        directory,
        interval: TimeDelta::from_std(settings.backup_interval).unwrap_or(TimeDelta::MAX),
        keep: usize::from(settings.backup_keep),
        passphrase: passphrase.map(Passphrase::new),
        reserve_bytes: settings.disk_reserve,
    }))
}

/// The application over the store in the data directory; also what `user` works on.
///
/// # Errors
/// See [`StartError`].
pub async fn open_app(settings: &ServeArguments) -> Result<App, StartError> {
    let configured = secret(
        settings.jwt_secret.as_ref(),
        settings.jwt_secret_file.as_ref(),
    )?;
    open(
        &settings.data_dir,
        GroupCommit {
            interval: settings.group_commit_interval,
            disk_reserve_bytes: settings.disk_reserve,
            ..GroupCommit::default()
        },
        configured,
        Notifiers::new(settings.egress(), settings.public_url.clone())?,
        TransportSettings {
            egress: settings.egress(),
            key: settings
                .ssh_key_file
                .as_deref()
                .map(SshKey::open)
                .transpose()?,
            agent_binaries: settings.agent_binaries.clone(),
            patience: None,
        },
    )
    .await
}

/// The application over a data directory.
///
/// # Errors
/// See [`StartError`].
pub async fn open(
    data_dir: &Path,
    group_commit: GroupCommit,
    jwt_secret: Option<String>,
    notifiers: Notifiers,
    mut transport: TransportSettings,
) -> Result<App, StartError> {
    keep_to_ourselves();
    let path_error = |source| StartError::Path {
        path: data_dir.to_owned(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(path_error)?;
    let store_error = |source| StartError::Store {
        path: data_dir.to_owned(),
        source,
    };
    // Opening may repair for a while: not on an async thread.
    let directory = data_dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let format = RedbKv::peek(&directory, Table::Meta, migration::FORMAT_KEY);
        migration::refuse_newer(format.as_deref(), migration::MIGRATIONS)?;
        Ok::<_, OpenError>(RedbKv::open(&directory)?)
    })
    .await;
    let kv = opened
        .unwrap_or_else(|error| Err(KvError::Io(error.to_string()).into()))
        .map_err(store_error)?;
    let store = Store::open(Arc::new(kv), group_commit)
        .await
        .map_err(store_error)?;
    let jwt_secret = match jwt_secret {
        Some(secret) => secret,
        None => kept_secret(&data_dir.join(Secrets::JWT_SECRET), || {
            random_secret("").map_err(StartError::Random)
        })?,
    };
    let key = match transport.key {
        Some(key) => key,
        None => {
            let path = data_dir.join(Secrets::SSH_KEY);
            kept_secret(&path, || Ok(SshKey::generate()?))?;
            SshKey::open(&path)?
        }
    };
    let tokens = Tokens::new(jwt_secret.as_bytes())?;
    let secrets = [
        (Secrets::JWT_SECRET.to_owned(), jwt_secret),
        (Secrets::SSH_KEY.to_owned(), key.text()?),
    ];
    transport.key = Some(key);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let transports = Transports::new(transport)?;
    let mut app = App::new(
        store,
        clock,
        tokens,
        Passwords::new()?,
        notifiers,
        transports,
    );
    app.secrets = Secrets(secrets.into());
    Ok(app)
}

/// What this process makes from now on is for its user alone, whoever started it and whatever the directory allows.
pub fn keep_to_ourselves() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// The secrets beside a stopped store, as far as they are kept there.
///
/// # Errors
/// Which cannot be read, and why.
pub fn kept_secrets(data_dir: &Path) -> Result<Secrets, (PathBuf, io::Error)> {
    let mut secrets = Secrets::default();
    for name in Secrets::ALL {
        let path = data_dir.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => drop(secrets.0.insert(name.to_owned(), text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((path, error)),
        }
    }
    Ok(secrets)
}

/// A secret that is made at the first start and readable by the backend alone.
fn kept_secret(
    path: &Path,
    make: impl FnOnce() -> Result<String, StartError>,
) -> Result<String, StartError> {
    match std::fs::read_to_string(path) {
        Ok(secret) => Ok(secret.trim_end().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = make()?;
            let written = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| {
                    file.write_all(secret.as_bytes())?;
                    file.sync_all()
                });
            written.map_err(|source| StartError::Path {
                path: path.to_owned(),
                source,
            })?;
            Ok(secret)
        }
        Err(source) => Err(StartError::Path {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The one time that a password is printed: on standard output, away from the log.
fn print_password(username: &str, password: &str) {
    let mut out = io::stdout();
    // Without an output nobody can be told; `user set-password` makes another.
    drop(
        writeln!(out, "first start: user {username}, password {password}")
            .and_then(|()| out.flush()),
    );
}
