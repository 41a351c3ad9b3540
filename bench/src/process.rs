//! A server as a process on 127.0.0.1, ended by its id and never outliving the bench.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::pause;
use crate::load::client::Client;
use crate::procfs;

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Longest start: a log of hours is replayed.
const START: Duration = Duration::from_secs(180);
/// Longest orderly end.
const STOP: Duration = Duration::from_secs(60);
/// A server is quiet when it used less than this share of a core.
const QUIET_SHARE: f64 = 0.03;

/// A running server.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it, its output going to a log file, and waits until `path` answers 200.
    pub fn start(
        mut command: Command,
        log: &Path,
        address: SocketAddr,
        path: &str,
    ) -> Result<(Self, Duration)> {
        let output = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let mut process = Self { child };
        loop {
            let answer = Client::new(address, None).get(path);
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok((process, began.elapsed()));
            }
            let has_ended = process.child.try_wait()?.is_some();
            if has_ended || began.elapsed() > START {
                bail!("it does not get ready:\n{}", tail(log));
            }
            pause(LOOK);
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id
            && self.child.try_wait()?.is_none()
        {
            kill_process(id, Signal::TERM)?;
        }
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > STOP {
                return self.kill();
            }
            pause(LOOK);
        }
        Ok(())
    }

    /// Waits until it has done its work in the background; returns the processor seconds of it.
    pub fn settle(&self, quiet: Duration, at_most: Duration) -> Result<f64> {
        let (began, before) = (Instant::now(), procfs::cpu_seconds(self.id())?);
        let (mut last, mut since) = (before, began);
        while since.elapsed() < quiet && began.elapsed() < at_most {
            const SECOND: Duration = Duration::from_secs(1);
            pause(SECOND);
            let now = procfs::cpu_seconds(self.id())?;
            if now - last > QUIET_SHARE {
                since = Instant::now();
            }
            last = now;
        }
        Ok(last - before)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended already cannot be killed.
        drop(self.kill());
    }
}

/// An address whose port is free, below the ports that connections take.
pub fn free_address() -> Result<SocketAddr> {
    let offset = u16::try_from(std::process::id() % 10_000)?;
    (0..10_000_u16)
        .map(|number| SocketAddr::from(([127, 0, 0, 1], 20_000 + (offset + number) % 10_000)))
        .find(|address| TcpListener::bind(address).is_ok())
        .context("there is no free port")
}

/// Bytes that a file or a directory takes on disk.
pub fn allocated_bytes(path: &Path) -> Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        // Servers remove files while they are counted.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += allocated_bytes(&entry?.path())?;
    }
    Ok(bytes)
}

/// What a command prints first, on either stream.
pub fn first_line(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty());
    Ok(line.unwrap_or_default().trim().to_owned())
}

fn tail(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| file.read_to_string(&mut text));
    let lines: Vec<_> = text.lines().rev().take(20).collect();
    match read {
        Ok(_) => lines.into_iter().rev().collect::<Vec<_>>().join("\n"),
        Err(error) => error.to_string(),
    }
}
