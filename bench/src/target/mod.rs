//! What is measured: Infra-Watch and its peers, behind one interface.

mod infra_watch;
mod peer;
mod site;

use std::ops::Range;
use std::time::Duration;

use anyhow::Result;

pub use infra_watch::InfraWatch;
pub use peer::{Peer, Product};
pub use site::Site;

use crate::load::client::Client;
use crate::question::{Points, Question};
use crate::wire::Wire;

/// What a store does by and by, done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// What came in is put into its lasting form.
    Seal,
    /// The lasting form is made smaller.
    Repack,
    /// Aggregates are made for long ranges.
    Rollup,
}

/// A store that takes telemetry and answers questions.
pub trait Target {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Its version, as it prints it.
    fn version(&self) -> Result<String>;

    /// Where it lives.
    fn site(&self) -> &Site;

    /// Where it lives, to start and to end it.
    fn site_mut(&mut self) -> &mut Site;

    /// Starts it and says how long it took to get ready.
    fn start(&mut self) -> Result<Duration>;

    /// Makes these hosts known before they post; they follow those that are known.
    fn introduce(&mut self, hosts: Range<usize>) -> Result<()>;

    /// How its hosts post.
    fn wire(&self) -> Box<dyn Wire>;

    /// Bytes on disk of the samples, and of all else.
    fn disk(&self) -> Result<Disk>;

    /// Does a job at once and returns the bytes on disk after it; nothing where there is no such job.
    fn run(&mut self, job: Job) -> Result<Option<Disk>>;

    /// A client that may ask questions.
    fn client(&self) -> Result<Client>;

    /// The path of a question about data that ends at `last_at`.
    fn path(&self, question: Question, host: usize, last_at: i64) -> String;

    /// The answer to a question out of its body.
    fn points(&self, question: Question, body: &[u8]) -> Result<Points>;

    /// The path of raw samples of a host's first gauge: `from` inclusive, `to` exclusive.
    fn samples_path(&self, host: usize, from: i64, to: i64) -> String;
}

/// Bytes on disk.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// Of the samples.
    pub series_bytes: u64,
    /// Of what else there is.
    pub state_bytes: u64,
}
