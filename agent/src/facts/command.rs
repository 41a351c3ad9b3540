//! Runs a tool of the system: fixed arguments, a clean environment, bounded in time and output.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;

/// Where tools are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most that a tool may print, in bytes.
const MAX_OUTPUT_BYTES: usize = 32 << 20;
/// Most that is kept of what a tool says on standard error, in bytes.
const MAX_COMPLAINT_BYTES: usize = 4 << 10;
/// Most of that which goes into an error, in characters.
const MAX_REASON_CHARS: usize = 200;
/// How often it is looked whether a tool that has said all has also ended.
const ENDING: Duration = Duration::from_millis(5);

/// Why a tool gave nothing.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It is not installed.
    #[error("{program} is not installed")]
    Missing {
        /// The tool.
        program: &'static str,
    },
    /// The system refused.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The tool.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long and was ended.
    #[error("{program} did not end within {} s", within.as_secs())]
    TimedOut {
        /// The tool.
        program: &'static str,
        /// What it had.
        within: Duration,
    },
    /// It printed too much and was ended.
    #[error("{program} printed more than {} MiB", MAX_OUTPUT_BYTES >> 20)]
    TooLong {
        /// The tool.
        program: &'static str,
    },
    /// It ended with an error.
    #[error("{program} failed ({status}): {reason}")]
    Failed {
        /// The tool.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The first line that it complained with.
        reason: String,
    },
}

/// What a tool gave.
#[derive(Debug)]
pub struct Output {
    program: &'static str,
    status: ExitStatus,
    stdout: Vec<u8>,
    complaint: String,
}

impl Output {
    /// The exit status; none after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// What it printed, if it succeeded; what is not UTF-8 is replaced.
    pub fn text(self) -> Result<String, CommandError> {
        if self.status.success() {
            Ok(self.text_anyway())
        } else {
            Err(self.failed())
        }
    }

    /// What it printed, however it ended.
    pub fn text_anyway(self) -> String {
        String::from_utf8(self.stdout)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// What it said on standard error.
    pub fn complaint(&self) -> &str {
        &self.complaint
    }

    /// The error that this end is.
    pub fn failed(self) -> CommandError {
        let lines = self.complaint.lines().map(str::trim);
        let reason = lines.filter(|line| !line.is_empty()).take(1);
        CommandError::Failed {
            program: self.program,
            status: self.status,
            reason: reason
                .flat_map(|line| line.chars().take(MAX_REASON_CHARS))
                .collect(),
        }
    }
}

/// Runs `program` and waits for its end, at most `within`.
pub fn run<A: AsRef<OsStr>>(
    program: &'static str,
    arguments: &[A],
    within: Duration,
) -> Result<Output, CommandError> {
    let failed = |source| CommandError::Run { program, source };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what it starts ends with it.
        .process_group(0);
    let child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CommandError::Missing { program },
        _ => failed(source),
    })?;
    let mut running = Running(child);
    let deadline = Instant::now() + within;
    let (Some(stdout), Some(stderr)) = (running.0.stdout.take(), running.0.stderr.take()) else {
        return Err(failed(io::ErrorKind::BrokenPipe.into()));
    };
    let mut pipes = [Pipe::new(stdout.into()), Pipe::new(stderr.into())];
    loop {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else {
            return Err(CommandError::TimedOut { program, within });
        };
        if pipes.iter().all(|pipe| pipe.file.is_none()) {
            if let Some(status) = running.0.try_wait().map_err(failed)? {
                let [stdout, complaint] = pipes.map(|pipe| pipe.content);
                let complaint = String::from_utf8_lossy(&complaint).into_owned();
                return Ok(Output {
                    program,
                    status,
                    stdout,
                    complaint,
                });
            }
            wait(&mut [], left.min(ENDING)).map_err(failed)?;
            continue;
        }
        read_what_is_there(&mut pipes, left).map_err(failed)?;
        if pipes[0].content.len() > MAX_OUTPUT_BYTES {
            return Err(CommandError::TooLong { program });
        }
        pipes[1].content.truncate(MAX_COMPLAINT_BYTES);
    }
}

/// A child that does not outlive its run: neither does what it started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended this very moment; then there is nothing to end.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

struct Pipe {
    /// None when it is at its end.
    file: Option<File>,
    content: Vec<u8>,
}

impl Pipe {
    fn new(descriptor: OwnedFd) -> Self {
        Self {
            file: Some(descriptor.into()),
            content: Vec::new(),
        }
    }
}

fn read_what_is_there(pipes: &mut [Pipe; 2], at_most: Duration) -> io::Result<()> {
    let mut asked = Vec::with_capacity(2);
    let files = pipes.iter().filter_map(|pipe| pipe.file.as_ref());
    asked.extend(files.map(|file| PollFd::new(file, PollFlags::IN)));
    wait(&mut asked, at_most)?;
    let ready: Vec<bool> = asked
        .iter()
        .map(|asked| !asked.revents().is_empty())
        .collect();
    let mut ready = ready.into_iter();
    let mut buffer = [0; 16 << 10];
    for pipe in pipes {
        let Some(file) = &mut pipe.file else { continue };
        if ready.next() != Some(true) {
            continue;
        }
        // A pipe that is ready gives what it has without waiting.
        match file.read(&mut buffer) {
            Ok(0) => pipe.file = None,
            Ok(read) => pipe.content.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait(asked: &mut [PollFd<'_>], at_most: Duration) -> io::Result<()> {
    let timeout = Timespec {
        tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    match poll(asked, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str, within: Duration) -> Result<Output, CommandError> {
        run("sh", &["-c", script], within)
    }

    #[test]
    fn a_tool_says_all_and_sees_nothing_of_ours() {
        let text = shell("echo out; echo complaint >&2; env | sort", SOON)
            .unwrap()
            .text()
            .unwrap();
        assert!(text.starts_with("out\nLC_ALL=C\n"), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
        let long = shell("head -c 300000 /dev/zero", SOON).unwrap();
        assert_eq!((long.code(), long.stdout.len()), (Some(0), 300_000));
    }

    #[test]
    fn ends_that_are_errors() {
        let check = |result: Result<Output, CommandError>, expect: &str| {
            let error = result.and_then(Output::text).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check(
            shell("echo; echo 'no such luck' >&2; exit 3", SOON),
            "sh failed (exit status: 3): no such luck",
        );
        check(
            run::<&str>("no-such-tool", &[], SOON),
            "no-such-tool is not installed",
        );
        let start = Instant::now();
        check(
            shell("sleep 60 & sleep 60", Duration::from_millis(50)),
            "sh did not end within 0 s",
        );
        check(
            shell("exec >&- 2>&-; sleep 60", Duration::from_millis(50)),
            "sh did not end within 0 s",
        );
        check(shell("cat /dev/zero", SOON), "sh printed more than 32 MiB");
        assert!(start.elapsed() < SOON);
    }
}
