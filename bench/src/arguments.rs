//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Loads the same telemetry into Infra-Watch, Prometheus and VictoriaMetrics, asks them the same questions and kills
/// them at the same moments. It talks to 127.0.0.1 only, ends only what it started, and removes what it wrote.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Hosts that post live
    #[arg(long, default_value_t = 200)]
    pub hosts: usize,
    /// Hours of live posts, one a host every 30 s
    #[arg(long, default_value_t = 24.0)]
    pub hours: f64,
    /// The first so many hosts have a longer history, loaded in bulk
    #[arg(long, default_value_t = 50)]
    pub long_hosts: usize,
    /// Hours of that history, the live ones included; Infra-Watch takes a week
    #[arg(long, default_value_t = 164.0)]
    pub long_hours: f64,
    /// Connections, with one post under way on each
    #[arg(long, default_value_t = 200)]
    pub connections: usize,
    /// What is measured; what is not on PATH is left out
    #[arg(long, value_delimiter = ',', default_values = ["infra-watch", "prometheus", "victoria-metrics"])]
    pub targets: Vec<Name>,
    /// Infra-Watch's binary
    #[arg(long, default_value = "target/release/infra-watch")]
    pub backend: PathBuf,
    /// How often a question is asked in a row
    #[arg(long, default_value_t = 50)]
    pub runs: usize,
    /// How often all questions are gone through
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// How often each is killed in the middle of posts, at most 5; 0 leaves it out
    #[arg(long, default_value_t = 5)]
    pub kills: usize,
    /// Hosts of the fleet that posts to Infra-Watch at its true pace; 0 leaves it out
    #[arg(long, default_value_t = 10_000)]
    pub fleet_hosts: usize,
    /// How long it does
    #[arg(long, default_value_t = 120)]
    pub fleet_seconds: u64,
    /// Its connections; one a host, as far as the limit of open files allows, if absent
    #[arg(long)]
    pub fleet_connections: Option<usize>,
    /// Seed of the data
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Small sizes in place of all the others, to try it in a minute
    #[arg(long)]
    pub quick: bool,
    /// Write all figures there
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with the table there
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Keep Infra-Watch's data there, as it is before it is killed
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// A target's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Our own backend.
    InfraWatch,
    /// Prometheus.
    Prometheus,
    /// VictoriaMetrics, single node.
    VictoriaMetrics,
}

impl Arguments {
    /// The arguments with what `--quick` says.
    pub fn settled(mut self) -> Self {
        if self.quick {
            self.hosts = 40;
            self.hours = 1.0;
            self.long_hosts = 10;
            self.long_hours = 12.0;
            self.connections = 40;
            self.runs = 10;
            self.rounds = 2;
            self.kills = 1;
            self.fleet_hosts = 500;
            self.fleet_seconds = 10;
        }
        self.long_hosts = self.long_hosts.min(self.hosts);
        self
    }
}
