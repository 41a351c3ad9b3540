//! Measures one machine and reports to Infra-Watch: as a daemon that pushes, or once on standard output.

mod asked;
mod clock;
mod config;
mod facts;
mod files;
mod measure;
mod push;
mod report;
mod spool;
mod state;
mod tick;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

use asked::Asked;
use config::{ConfigError, LogFormat, LogLevel, Settings};
use facts::{Facts, Host};
use measure::{Measurement, Meter};
use push::{Daemon, FIRST_MEASURE};
use report::Sender;
use state::{StateDir, StateError};

/// The system that is measured.
const ROOT: &str = "/";

/// Measures one machine and reports to Infra-Watch.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Every option is also a variable of the environment (INFRA_WATCH_AGENT_SERVER for --server) and a key of
the TOML file that --config or INFRA_WATCH_AGENT_CONFIG names (server = \"…\"), in this order of strength.
Durations read 30s, 5m, 1h, 15d; sizes 512KiB, 64MiB, 1GiB."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure at every interval and send to the backend, until SIGTERM or SIGINT
    #[command(after_help = "\
Beside measurements, snapshots of the configuration are sent: installed packages, the operating system,
the names of environment variables (of this process, /etc/environment and /etc/default) with a keyed
hash of each value, and what --files, --files-text and --services add. To see all of it:
infra-watch-agent report --pretty")]
    Run(RunArgs),
    /// Measure once, over one second, and print the report as JSON: exactly what leaves this host
    #[command(after_help = "\
As the forced command of a key (command=\"infra-watch-agent report …\" in authorized_keys) it takes --since
and --known-snapshot from what was asked for over SSH, and nothing else; a key used for anything but
a report is refused. Without a state directory that can be written the report has no install id and
only the names of environment variables.")]
    Report(ReportArgs),
}

#[derive(Args)]
struct RunArgs {
    /// File with settings, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
struct ReportArgs {
    /// File with settings, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Indent the JSON
    #[arg(long)]
    pretty: bool,
    /// Directory with this host's identity, made if absent [default: as for run]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Time of the last point that the reader has: one that is not later is not printed
    #[arg(long, value_name = "UNIX", value_parser = asked::since)]
    since: Option<i64>,
    /// Hash of the snapshot that the reader has: one with this hash is not printed in whole
    #[arg(long, value_name = "HASH", value_parser = asked::hash)]
    known_snapshot: Option<String>,
    /// As for run: variables whose values are printed in plain
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    environment_allow: Option<Vec<String>>,
    /// As for run: files that are watched
    #[arg(long, value_name = "GLOB", num_args = 1.., value_delimiter = ',')]
    files: Option<Vec<String>>,
    /// As for run: files that are watched with their text
    #[arg(long, value_name = "GLOB", num_args = 1.., value_delimiter = ',')]
    files_text: Option<Vec<String>>,
    /// As for run: systemd's services too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    services: Option<bool>,
}

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    // First of all: nothing that speaks TLS may be made before. It fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match start(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even standard error is closed.
            let _ = writeln!(io::stderr(), "error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> Outcome {
    let environment = config::environment();
    let (flags, file) = match &cli.command {
        Command::Run(args) => (args.settings.clone(), args.config.as_deref()),
        Command::Report(args) => {
            let flags = Settings {
                state_dir: args.state_dir.clone(),
                environment_allow: args.environment_allow.clone(),
                files: args.files.clone(),
                files_text: args.files_text.clone(),
                services: args.services,
                ..Settings::default()
            };
            (flags, args.config.as_deref())
        }
    };
    let settings = config::layered(flags, &environment, file)?;
    start_logging(
        settings.log_level.unwrap_or_default(),
        settings.log_format.unwrap_or_default(),
    );
    let is_root = rustix::process::geteuid().is_root();
    let state_dir = settings.state_dir(is_root, &environment)?;
    // One thread; for a moment one more when a name is looked up, and one when a snapshot is taken: small in memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()?;
    match cli.command {
        Command::Run(_) => {
            let outcome = runtime.block_on(run(&settings, StateDir::open(&state_dir)?));
            // A snapshot that is being taken keeps nobody waiting.
            runtime.shutdown_background();
            outcome
        }
        Command::Report(args) => {
            let asked = Asked {
                since: args.since,
                known_snapshot: args.known_snapshot,
            };
            let asked = match config::original_command(&environment) {
                Some(command) => Asked::of_command(command)?.or(asked),
                None => asked,
            };
            runtime.block_on(report(&settings, &state_dir, &asked, args.pretty))
        }
    }
}

/// What takes snapshots, with the key of this host. Without a key values cannot be hashed, and only names are told.
fn facts(settings: &Settings, state: &StateDir) -> Result<Facts, Box<dyn Error>> {
    let key = state.environment_key().inspect_err(|error| {
        tracing::warn!(
            error = chain(error),
            "only the names of environment variables are sent"
        );
    });
    Ok(Facts::new(
        Path::new(ROOT),
        state.path(),
        settings.watched_environment(key.ok()),
        settings.files()?,
        settings.services(),
    ))
}

async fn run(settings: &Settings, state: StateDir) -> Outcome {
    let server = settings.server_url()?;
    let enrollment_key = settings.enrollment_key()?;
    let install_id = state.install_id()?;
    let sender = sender(settings, Some(install_id))?;
    let spool_limits = settings.spool_limits()?;
    let facts = facts(settings, &state)?;
    let _lock = state.lock()?;
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tracing::info!(
        server,
        %install_id,
        interval_seconds = sender.interval_seconds,
        state_dir = %state.path().display(),
        "infra-watch-agent {} starts",
        report::AGENT_VERSION
    );
    if config::is_exposed(&server) {
        tracing::warn!(
            server,
            "without https, the token and all that is sent can be read on the way"
        );
    }
    let daemon = Daemon {
        root: PathBuf::from(ROOT),
        install_id,
        sender,
        server,
        ca_file: settings.ca_file.clone(),
        enrollment_key,
        state,
        spool_limits,
        facts,
    };
    Ok(daemon.run(shutdown).await?)
}

async fn report(settings: &Settings, state_dir: &Path, asked: &Asked, pretty: bool) -> Outcome {
    // A host that is asked over SSH must let nothing be written on it.
    let state = StateDir::open(state_dir).unwrap_or_else(|error| {
        tracing::warn!(
            error = chain(&error),
            "nothing is written; what is kept already is used"
        );
        StateDir::as_it_is(state_dir)
    });
    let install_id = match state.install_id() {
        Err(error @ StateError::Io { .. }) => {
            tracing::warn!(error = chain(&error), "the report has no install id");
            None
        }
        install_id => Some(install_id?),
    };
    let sender = sender(settings, install_id)?;
    // Before measuring: what it costs is no load of the host's.
    let snapshot = facts(settings, &state)?.take(clock::unix_seconds());
    let mut meter = Meter::new(Path::new(ROOT));
    meter.measure(Instant::now());
    tokio::time::sleep(FIRST_MEASURE).await;
    let at = clock::unix_seconds();
    let point = Measurement {
        at,
        samples: meter.measure(Instant::now()),
    };
    let host = Host::read(Path::new(ROOT));
    let is_known = asked.since(at).is_some_and(|since| at <= since);
    let points = if is_known { Vec::new() } else { vec![point] };
    let report = sender.report(&points, Some(&host), asked.mention(&snapshot), at)?;
    // By way of a value, in which keys are sorted: for people, and so that equal reports are equal.
    let report = serde_json::to_value(&report)?;
    let mut text = if pretty {
        serde_json::to_string_pretty(&report)?
    } else {
        serde_json::to_string(&report)?
    };
    text.push('\n');
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

fn sender(settings: &Settings, install_id: Option<Uuid>) -> Result<Sender, ConfigError> {
    Ok(Sender {
        install_id,
        interval_seconds: settings.interval_seconds()?,
        snapshot_interval_seconds: settings.snapshot_interval_seconds()?,
    })
}

fn start_logging(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
