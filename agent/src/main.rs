//! Measures one machine and reports to Infra-Watch: as a daemon that pushes or is read, or once on standard output.

mod asked;
mod clock;
mod command_line;
mod commands;
mod config;
mod daemon;
mod facts;
mod files;
mod gzip;
mod measure;
mod push;
mod report;
mod serve;
mod spool;
mod state;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tracing::level_filters::LevelFilter;

use command_line::{Command, CommandLine};
use commands::Outcome;
use config::{LogFormat, LogLevel, Settings};

fn main() -> ExitCode {
    // First of all: nothing that speaks TLS may be made before. It fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match start(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even standard error is closed.
            let _ = writeln!(io::stderr(), "error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(line: CommandLine) -> Outcome {
    match &line.command {
        Command::Run(args) => with_settings(args.settings(), async |settings, state_dir, _| {
            commands::run(settings, state_dir).await
        }),
        Command::Serve(args) => with_settings(args.settings(), async |settings, state_dir, _| {
            commands::serve(settings, state_dir).await
        }),
        Command::Report(args) => {
            with_settings(args.settings(), async |settings, state_dir, original| {
                commands::report(settings, state_dir, args, original).await
            })
        }
        Command::Health(args) => with_settings(args.settings(), async |_, state_dir, _| {
            commands::health(state_dir)
        }),
        Command::Prepare(args) => commands::prepare(&args.state_dir, args.owner),
        Command::Config { command } => commands::config(command),
        Command::Completions { shell } => commands::completions(*shell),
        Command::Man { directory } => commands::man(directory),
    }
}

/// Runs what needs the settings of all layers, the state directory and what was to be run over SSH.
fn with_settings(
    (flags, file): (Settings, Option<&Path>),
    work: impl AsyncFnOnce(&Settings, &Path, Option<&str>) -> Outcome,
) -> Outcome {
    let environment = config::environment();
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
    let original = config::original_command(&environment);
    let outcome = runtime.block_on(work(&settings, &state_dir, original));
    // A snapshot that is being taken keeps nobody waiting.
    runtime.shutdown_background();
    outcome
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
