//! Where a server lives: a directory, an address, and the process that it is at the time.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Process, free_address};

/// A server's place.
pub struct Site {
    /// Holds its data and its log.
    pub directory: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    process: Option<Process>,
}

impl Site {
    /// A place in a directory that is made.
    pub fn new(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            address: free_address()?,
            process: None,
        })
    }

    /// Its data.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Starts a server here and says how long it took to get ready.
    pub fn start(&mut self, command: Command, ready_path: &str) -> Result<Duration> {
        let log = self.directory.join("server.log");
        let (process, took) = Process::start(command, &log, self.address, ready_path)?;
        self.process = Some(process);
        Ok(took)
    }

    /// The server, which must have been started.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("it is not running")
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("it is not running")?.kill()
    }

    /// Ends it in good order.
    pub fn stop(&mut self) -> Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.stop())
    }
}
