//! What helps people and packages: the file of settings, completions, man pages.

use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Outcome;
use crate::command_line::{CommandLine, ConfigCommand};
use crate::config::{check_file, default_file};

/// `config`: prints the file of settings, or checks one.
pub fn config(command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Default => io::stdout().write_all(default_file().as_bytes())?,
        ConfigCommand::Check { file } => {
            check_file(file)?;
            writeln!(io::stdout(), "{} is valid", file.display())?;
        }
    }
    Ok(())
}

/// `completions`: for one shell, on standard output.
pub fn completions(shell: Shell) -> Outcome {
    let mut command = CommandLine::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    Ok(io::stdout().write_all(&text)?)
}

/// `man`: a page for the agent and one for each subcommand, into a directory.
pub fn man(directory: &Path) -> Outcome {
    Ok(clap_mangen::generate_to(CommandLine::command(), directory)?)
}
