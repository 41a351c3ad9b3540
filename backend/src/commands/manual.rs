//! `completions` and `man`: what helps people and packages.

use std::io;
use std::path::Path;

use clap_complete::Shell;

use crate::config;

/// What a shell needs to complete commands and options.
pub fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut config::command(), "infra-watch", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes a page for the command and one for each subcommand into a directory.
///
/// # Errors
/// The file system's.
pub fn man(directory: &Path) -> io::Result<()> {
    clap_mangen::generate_to(config::command(), directory)
}
