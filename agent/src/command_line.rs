//! The command line.

use std::path::{Path, PathBuf};

use clap::{Arg, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::asked;
use crate::config::{Settings, Size, Span};

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
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Measure at every interval and send to the backend, until SIGTERM or SIGINT
    #[command(after_help = "\
Beside measurements, snapshots of the configuration are sent: installed packages, the operating system,
the names of environment variables (of this process, /etc/environment and /etc/default) with a keyed
hash of each value, and what --files, --files-text and --services add. To see all of it:
infra-watch-agent report --pretty
With --listen and --token-file the endpoint of serve is there beside it.")]
    Run(DaemonArgs),
    /// Measure at every interval and send nothing: a backend comes and reads, until SIGTERM or SIGINT
    #[command(
        after_help = "\
GET /report gives a report as `infra-watch-agent report` prints it, to whoever shows the token as
`Authorization: Bearer …`. With ?since=UNIX it has all points after that moment that are kept (24 h,
at most 4 MiB; what does not fit comes next time), else the newest; with &known_snapshot=HASH it leaves
out a snapshot with that hash. Reading takes nothing away. GET /livez says that the agent lives.",
        mut_arg("server", only_run::<String>),
        mut_arg("enrollment_key", only_run::<String>),
        mut_arg("enrollment_key_file", only_run::<PathBuf>),
        mut_arg("ca_file", only_run::<PathBuf>),
        mut_arg("spool_size", only_run::<Size>),
        mut_arg("spool_age", only_run::<Span>)
    )]
    Serve(DaemonArgs),
    /// Measure once, over one second, and print the report as JSON: exactly what leaves this host
    #[command(after_help = "\
As the forced command of a key (command=\"infra-watch-agent report …\" in authorized_keys) it takes --since
and --known-snapshot from what was asked for over SSH, and nothing else; a key used for anything but
a report is refused. Without a state directory that can be written the report has no install id and
only the names of environment variables.")]
    Report(ReportArgs),
    /// Ask whether the agent of a state directory measures; exits with 1 when it does not. That the backend is away
    /// is no fault of the agent's
    Health(HealthArgs),
    /// Make a state directory and hand it to the user that the agent will run as; one that is used stays as it is
    Prepare(PrepareArgs),
    /// Settings
    Config {
        /// What about them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print what a shell needs to complete commands and options
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the man pages into a directory
    Man {
        /// The directory, which must be there
        directory: PathBuf,
    },
}

/// What about settings.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print a file with every key, explained and commented out
    Default,
    /// Check a file and say what is wrong with it
    Check {
        /// The file
        file: PathBuf,
    },
}

/// Options of what runs on and on.
#[derive(Args)]
pub struct DaemonArgs {
    /// File with settings, in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// All that can be set.
    #[command(flatten)]
    pub settings: Settings,
}

/// Options of one report.
#[derive(Args)]
pub struct ReportArgs {
    /// File with settings, in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Indent the JSON
    #[arg(long)]
    pub pretty: bool,
    /// Directory with this host's identity, made if absent [default: as for run]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Time of the last point that the reader has: one that is not later is not printed
    #[arg(long, value_name = "UNIX", value_parser = asked::since)]
    pub since: Option<i64>,
    /// Hash of the snapshot that the reader has: one with this hash is not printed in whole
    #[arg(long, value_name = "HASH", value_parser = asked::hash)]
    pub known_snapshot: Option<String>,
    /// As for run: where the machine's root directory is
    #[arg(long, value_name = "DIR")]
    pub host_root: Option<PathBuf>,
    /// As for run: variables whose values are printed in plain
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub environment_allow: Option<Vec<String>>,
    /// As for run: files that are watched
    #[arg(long, value_name = "GLOB", num_args = 1.., value_delimiter = ',')]
    pub files: Option<Vec<String>>,
    /// As for run: files that are watched with their text
    #[arg(long, value_name = "GLOB", num_args = 1.., value_delimiter = ',')]
    pub files_text: Option<Vec<String>>,
    /// As for run: systemd's services too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub services: Option<bool>,
}

/// Which directory, and for whom.
#[derive(Args)]
pub struct PrepareArgs {
    /// The state directory
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Numbers of the user and the group that it is for; the group is that of the user if it is left out
    #[arg(long, value_name = "UID[:GID]", value_parser = owner)]
    pub owner: Owner,
}

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

fn owner(text: &str) -> Result<Owner, &'static str> {
    let number = |text: &str| {
        // The last number means "as it is" to the system.
        let number = text.parse().ok().filter(|number| *number != u32::MAX);
        number.ok_or("must be numbers, such as 65532 or 65532:65532")
    };
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    Ok(Owner {
        user: number(user)?,
        group: number(group)?,
    })
}

/// Which agent is asked for.
#[derive(Args)]
pub struct HealthArgs {
    /// File with settings, in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Its state directory [default: as for run]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

impl HealthArgs {
    /// What flags set, and the file that they name.
    pub fn settings(&self) -> (Settings, Option<&Path>) {
        let settings = Settings {
            state_dir: self.state_dir.clone(),
            ..Settings::default()
        };
        (settings, self.config.as_deref())
    }
}

impl DaemonArgs {
    /// What flags set, and the file that they name.
    pub fn settings(&self) -> (Settings, Option<&Path>) {
        (self.settings.clone(), self.config.as_deref())
    }
}

impl ReportArgs {
    /// What flags set, and the file that they name.
    pub fn settings(&self) -> (Settings, Option<&Path>) {
        let settings = Settings {
            state_dir: self.state_dir.clone(),
            host_root: self.host_root.clone(),
            environment_allow: self.environment_allow.clone(),
            files: self.files.clone(),
            files_text: self.files_text.clone(),
            services: self.services,
            ..Settings::default()
        };
        (settings, self.config.as_deref())
    }
}

/// An option that means nothing where nothing is sent: it is not shown, and refused.
fn only_run<T: Clone + Send + Sync + 'static>(option: Arg) -> Arg {
    let refuse = |_: &str| Err::<T, _>("nothing is sent by serve; run sends");
    option.hide(true).value_parser(refuse)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn owners() {
        let check = |text: &str, expect: Option<(u32, u32)>| {
            let found = owner(text).ok().map(|owner| (owner.user, owner.group));
            assert_eq!(found, expect, "{text}");
        };
        check("65532", Some((65_532, 65_532)));
        check("1:0", Some((1, 0)));
        for bad in ["", "root", "1:", ":1", "-1", "4294967295", "1:2:3"] {
            check(bad, None);
        }
    }

    #[test]
    fn serve_sends_nothing() {
        let check = |arguments: &[&str], expect: bool| {
            let all = ["infra-watch-agent"].iter().chain(arguments);
            let is_taken = CommandLine::try_parse_from(all).is_ok();
            assert_eq!(is_taken, expect, "{arguments:?}");
        };
        check(&["run", "--server", "https://a.example"], true);
        check(&["serve", "--interval", "5s", "--token-file", "/t"], true);
        check(&["serve", "--server", "https://a.example"], false);
        check(&["serve", "--spool-size", "64MiB"], false);
    }
}
