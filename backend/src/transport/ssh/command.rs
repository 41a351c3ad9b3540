//! A command on a host: what it printed, what it said, and how it ended, all bounded.

use bytes::Bytes;
use russh::{ChannelMsg, Sig};

use super::session::{Session, words as ssh_words};
use crate::domain::collection::{Failure, SshTarget, Step, Want};
use crate::transport::Visit;
use crate::transport::bounded::{Budget, Intake};
use crate::transport::words::quoted;

/// What is kept of standard error, in bytes; what is shown is shorter.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Longest quote of standard error, in characters.
const MAX_QUOTE_CHARS: usize = 200;
/// Number of the stream that is standard error.
const STANDARD_ERROR: u32 = 1;
/// What a shell says of a command that may not be run.
const NOT_EXECUTABLE: u32 = 126;
/// What a shell says of a command that is not there.
const NOT_FOUND: u32 = 127;

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Status(u32),
    Signal(String),
    /// Nobody knows: the connection went away first.
    Lost,
}

/// A command that ended.
pub struct Ended {
    pub output: Intake,
    pub end: End,
    errors: Vec<u8>,
}

impl Ended {
    /// How it ended, in words, when it was not well.
    pub fn complaint(&self) -> Option<String> {
        let how = match &self.end {
            End::Status(0) => return None,
            End::Status(status) => format!("the command ended with status {status}"),
            End::Signal(signal) => format!("the command was ended by signal {signal}"),
            End::Lost => "the connection was lost before the command ended".to_owned(),
        };
        let said = String::from_utf8_lossy(&self.errors);
        let said = quoted(&said, MAX_QUOTE_CHARS);
        Some(if said.is_empty() {
            how
        } else {
            format!("{how}: {said}")
        })
    }

    /// What the agent printed.
    ///
    /// # Errors
    /// When it did not end well, or printed nothing.
    pub fn report(self, agent_path: &str) -> Result<Bytes, Failure> {
        match self.complaint() {
            None => self.output.finish(),
            Some(complaint) => {
                let hint = match self.end {
                    End::Status(NOT_FOUND) => format!("; is the agent installed at {agent_path}?"),
                    End::Status(NOT_EXECUTABLE) => format!("; may the user run {agent_path}?"),
                    _ => String::new(),
                };
                Err(Failure::new(Step::Agent, complaint + &hint))
            }
        }
    }
}

/// Runs a command line with this on its standard input.
///
/// # Errors
/// When it cannot be run, or prints too much.
pub async fn run(
    session: &Session,
    line: &str,
    input: Bytes,
    budget: &Budget,
) -> Result<Ended, Failure> {
    let channel = session.channel().await?;
    let lost = |error: russh::Error| {
        let reason = format!("running a command failed: {}", ssh_words(&error));
        Failure::new(Step::Agent, reason)
    };
    channel.exec(true, line).await.map_err(lost)?;
    let (mut reading, writing) = channel.split();
    // Who never reads its input must not keep us from reading its output.
    let write = async {
        writing.data_bytes(input).await?;
        writing.eof().await?;
        std::future::pending::<Result<(), russh::Error>>().await
    };
    let read = async {
        let mut ended = Ended {
            output: budget.intake(),
            end: End::Lost,
            errors: Vec::new(),
        };
        // The status may come before the end of the output.
        while let Some(message) = reading.wait().await {
            match message {
                ChannelMsg::Data { data } => ended.output.take(&data).await?,
                ChannelMsg::ExtendedData { data, ext } if ext == STANDARD_ERROR => {
                    let left = MAX_ERROR_BYTES.saturating_sub(ended.errors.len());
                    let taken = data.len().min(left);
                    ended.errors.extend_from_slice(&data[..taken]);
                }
                ChannelMsg::ExitStatus { exit_status } => ended.end = End::Status(exit_status),
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    ended.end = End::Signal(signal(&signal_name));
                }
                ChannelMsg::Failure => {
                    return Err(Failure::new(
                        Step::Agent,
                        "the host refuses to run commands",
                    ));
                }
                ChannelMsg::Close => break,
                _ => {}
            }
        }
        Ok(ended)
    };
    // Input that was not taken says nothing: how the command ended does.
    tokio::pin!(read);
    tokio::select! {
        ended = &mut read => ended,
        _ = write => read.await,
    }
}

fn signal(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => quoted(name, 20),
        known => format!("{known:?}"),
    }
}

/// Runs the agent that is installed on the host.
///
/// # Errors
/// When it gives no report.
pub async fn report(
    session: &Session,
    target: &SshTarget,
    want: &Want,
    budget: &Budget,
    visit: &mut Visit,
) -> Result<Bytes, Failure> {
    let path = &target.agent_path;
    visit.begin(Step::Agent, format!("running {path}"));
    let line = target.command_line(path, want);
    let ended = run(session, &line, Bytes::new(), budget).await?;
    ended.report(path)
}
