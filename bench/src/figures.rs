//! What was measured, target by target: the shape of the JSON file.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::statistics::percentile;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it began, RFC 3339.
    pub began_at: String,
    /// The machine it ran on.
    pub machine: Machine,
    /// What was loaded.
    pub data: DataSize,
    /// A fleet at its true pace, of Infra-Watch alone.
    pub fleet: Option<Fleet>,
    /// Each target's figures.
    pub targets: Vec<Figures>,
    /// Targets that were left out, and why.
    pub left_out: BTreeMap<String, String>,
}

/// The machine.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Processor.
    pub cpu: String,
    /// How many of them.
    pub cores: usize,
    /// Memory.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// Load averages before and after, over 1, 5 and 15 minutes.
    pub load_average: [String; 2],
}

/// What was loaded.
#[derive(Debug, Serialize)]
pub struct DataSize {
    pub hosts: usize,
    pub live_hours: f64,
    pub long_hosts: usize,
    /// Hours of the long history, live ones included.
    pub long_hours: f64,
    pub samples: usize,
    pub live_posts: usize,
    /// Posts in flight, one on each connection.
    pub connections: usize,
    /// Answers behind each percentile of a question.
    pub answers_per_question: usize,
}

/// One target.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    pub name: String,
    pub version: String,
    pub live: Option<Live>,
    /// Stages in order, each with what it takes on disk.
    pub disk: Vec<DiskFigure>,
    /// Answers after sealing.
    pub sealed: Vec<Asked>,
    /// Answers after repacking and rolling up.
    pub rolled_up: Vec<Asked>,
    pub crash: Option<Crash>,
    /// What must not be.
    pub errors: Vec<String>,
}

/// Live posts, as fast as they are answered.
#[derive(Debug, Serialize)]
pub struct Live {
    pub posts: u64,
    pub wall_seconds: f64,
    pub posts_per_second: f64,
    pub server_cpu_seconds: f64,
    pub cpu_us_per_post: f64,
    pub samples_per_cpu_second: f64,
    /// Processor seconds of what the server still had to do afterwards.
    pub settling_cpu_seconds: f64,
    pub latency_ms: Latency,
    pub peak_resident_bytes: u64,
    pub statuses: BTreeMap<u16, u64>,
    pub reconnects: u64,
    pub load_average: String,
}

/// Percentiles of how long answers took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    /// Of these milliseconds.
    pub fn of(mut milliseconds: Vec<f64>) -> Self {
        let mut at = |percent| percentile(&mut milliseconds, percent).unwrap_or_default();
        Self {
            p50: at(50.0),
            p99: at(99.0),
            max: at(100.0),
        }
    }
}

/// Bytes on disk at a stage.
#[derive(Debug, Serialize)]
pub struct DiskFigure {
    pub stage: String,
    pub series_bytes: u64,
    pub bytes_per_sample: f64,
    /// What is kept beside the samples.
    pub state_bytes: u64,
}

/// A question and how fast it was answered.
#[derive(Debug, Serialize)]
pub struct Asked {
    pub question: String,
    pub latency_ms: Latency,
    pub server_cpu_ms: f64,
    pub answer_bytes: usize,
    pub path: String,
}

/// Kills in the middle of posts.
#[derive(Debug, Serialize)]
pub struct Crash {
    pub kills: usize,
    pub ready_ms: Vec<f64>,
    pub median_ready_ms: f64,
    pub acknowledged_posts: usize,
    pub lost_posts: usize,
}

/// A fleet at its true pace.
#[derive(Debug, Serialize)]
pub struct Fleet {
    pub hosts: usize,
    pub connections: usize,
    pub seconds: f64,
    pub enrollments_per_second: f64,
    pub posts: u64,
    pub cpu_percent_of_a_core: f64,
    pub peak_resident_bytes: u64,
    pub final_resident_bytes: u64,
    /// From the moment that a post was due to its answer.
    pub latency_ms: Latency,
    pub statuses: BTreeMap<u16, u64>,
    pub failures: u64,
    pub load_average: String,
}
