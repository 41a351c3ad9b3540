//! The binary `infra-watch`: settings → command.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use infra_watch::commands::{backup, chain, collect, diff, health, manual, serve, user};
use infra_watch::config::{self, Command, CommandLine, ConfigCommand, ConfigError};

/// Requests make many small things that live briefly and die on another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // The one TLS implementation for outgoing connections; a second call would only say that it is there.
    drop(rustls::crypto::ring::default_provider().install_default());
    let arguments = match config::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(ConfigError::Arguments(error)) if error.use_stderr() && is_diff() => {
            // The usual status for wrong arguments is 2, which here says that something was removed.
            drop(error.print());
            return ExitCode::from(diff::TROUBLE);
        }
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(error) => return fail(&chain(&error), 1),
    };
    let trouble = if is_diff() { diff::TROUBLE } else { 1 };
    match run(arguments).await {
        Ok((output, status)) => match std::io::stdout().write_all(output.as_bytes()) {
            Ok(()) => ExitCode::from(status),
            Err(error) => fail(&error.to_string(), trouble),
        },
        Err(message) => fail(&message, trouble),
    }
}

fn is_diff() -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "diff")
}

/// What to print, and the exit status.
async fn run(arguments: CommandLine) -> Result<(String, u8), String> {
    let text = |error: &dyn Error| chain(error);
    let output = match arguments.command {
        Command::Serve(settings) => serve::run(*settings)
            .await
            .map(|()| String::new())
            .map_err(|error| text(&error)),
        Command::Openapi => Ok(infra_watch::http::document()),
        Command::Diff(arguments) => return diff::run(&arguments).map_err(|error| text(&error)),
        Command::Collect(arguments) => collect::run(*arguments).await.map_err(|error| text(&error)),
        Command::User(arguments) => user::run(arguments).await.map_err(|error| text(&error)),
        Command::Backup(arguments) => backup::back_up(arguments)
            .await
            .map_err(|error| text(&error)),
        Command::Restore(arguments) => backup::restore(arguments)
            .await
            .map_err(|error| text(&error)),
        Command::Completions { shell } => Ok(manual::completions(shell)),
        Command::Man { directory } => manual::man(&directory)
            .map(|()| String::new())
            .map_err(|error| format!("writing man pages into {}: {error}", directory.display())),
        Command::Health(arguments) => health::run(&arguments).await.map(|()| "ready\n".to_owned()),
        Command::Config {
            command: ConfigCommand::Default,
        } => Ok(config::default_file()),
        Command::Config {
            command: ConfigCommand::Check { file },
        } => config::check_file(&file)
            .map(|()| format!("{} is valid\n", file.display()))
            .map_err(|error| text(&error)),
    };
    output.map(|output| (output, 0))
}

fn fail(message: &str, status: u8) -> ExitCode {
    // With nowhere to write, the exit code has to do.
    drop(writeln!(std::io::stderr(), "infra-watch: {message}"));
    ExitCode::from(status)
}
