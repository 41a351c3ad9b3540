//! Prometheus and VictoriaMetrics: remote write in, PromQL out.

use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Disk, Job, Site, Target};
use crate::data::{METRICS, host_name};
use crate::load::client::Client;
use crate::process::{allocated_bytes, first_line};
use crate::question::{Points, Question, SIX, TOP};
use crate::wire::{RemoteWrite, Wire};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Prometheus.
    Prometheus,
    /// VictoriaMetrics, single node.
    VictoriaMetrics,
}

/// A peer.
pub struct Peer {
    product: Product,
    site: Site,
}

impl Peer {
    /// A peer that lives in a directory.
    pub fn new(product: Product, directory: PathBuf) -> Result<Self> {
        Ok(Self {
            product,
            site: Site::new(directory)?,
        })
    }

    fn instant(&self, query: &str, at: i64) -> String {
        let (query, cache) = (encoded(query), self.without_cache());
        format!("/api/v1/query?query={query}&time={at}{cache}")
    }

    fn range(&self, query: &str, from: i64, to: i64, step: i64) -> String {
        let (query, cache) = (encoded(query), self.without_cache());
        format!("/api/v1/query_range?query={query}&start={from}&end={to}&step={step}{cache}")
    }

    /// VictoriaMetrics keeps answers and moves ranges to fit them, unless it is told not to.
    fn without_cache(&self) -> &'static str {
        match self.product {
            Product::Prometheus => "",
            Product::VictoriaMetrics => "&nocache=1",
        }
    }

    /// A snapshot holds the head as blocks, too: what the data takes once it is all in blocks.
    fn snapshot(&self) -> Result<Disk> {
        let mut client = self.client()?;
        let answer = client.post("/api/v1/admin/tsdb/snapshot", "")?.json()?;
        let name = answer["data"]["name"].as_str().context("no snapshot")?;
        let directory = self.site.data().join("snapshots").join(name);
        let series_bytes = allocated_bytes(&directory)?;
        std::fs::remove_dir_all(directory)?;
        Ok(Disk {
            series_bytes,
            state_bytes: 0,
        })
    }

    fn merge(&self) -> Result<Disk> {
        let mut client = self.client()?;
        client.get("/internal/force_flush")?;
        client.get("/internal/force_merge")?;
        let (quiet, at_most) = (Duration::from_secs(3), Duration::from_secs(120));
        self.site.process()?.settle(quiet, at_most)?;
        self.disk()
    }
}

impl Target for Peer {
    fn name(&self) -> &'static str {
        match self.product {
            Product::Prometheus => "prometheus",
            Product::VictoriaMetrics => "victoria-metrics",
        }
    }

    fn version(&self) -> Result<String> {
        let flag = match self.product {
            Product::Prometheus => "--version",
            Product::VictoriaMetrics => "-version",
        };
        let said = first_line(Command::new(self.name()).arg(flag))?;
        if !said.is_empty() {
            return Ok(said);
        }
        // Debian's VictoriaMetrics does not know its own version.
        let mut package = Command::new("dpkg-query");
        package.args([
            "--show",
            "--showformat",
            "${Package} ${Version}",
            self.name(),
        ]);
        let said = first_line(&mut package);
        Ok(said.unwrap_or_else(|_| format!("{}, of unknown version", self.name())))
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn site_mut(&mut self) -> &mut Site {
        &mut self.site
    }

    fn start(&mut self) -> Result<Duration> {
        let (data, address) = (self.site.data(), self.site.address);
        let data = data.display();
        let mut command = Command::new(self.name());
        match self.product {
            Product::Prometheus => {
                let config = self.site.directory.join("prometheus.yml");
                std::fs::write(&config, "global:\n  scrape_interval: 30s\n")?;
                command
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.tsdb.path={data}"))
                    .arg(format!("--web.listen-address={address}"))
                    .args(["--storage.tsdb.retention.time=400d", "--log.level=warn"])
                    .args([
                        "--web.enable-remote-write-receiver",
                        "--web.enable-admin-api",
                    ]);
                self.site.start(command, "/-/ready")
            }
            Product::VictoriaMetrics => {
                command
                    .arg(format!("-storageDataPath={data}"))
                    .arg(format!("-httpListenAddr={address}"))
                    .args(["-retentionPeriod=12", "-loggerLevel=WARN"])
                    .arg("-search.maxPointsPerTimeseries=100000");
                self.site.start(command, "/health")
            }
        }
    }

    fn introduce(&mut self, _hosts: Range<usize>) -> Result<()> {
        Ok(())
    }

    fn wire(&self) -> Box<dyn Wire> {
        Box::new(RemoteWrite::new(self.site.address))
    }

    fn disk(&self) -> Result<Disk> {
        Ok(Disk {
            series_bytes: allocated_bytes(&self.site.data())?,
            state_bytes: 0,
        })
    }

    fn run(&mut self, job: Job) -> Result<Option<Disk>> {
        match (job, self.product) {
            (Job::Seal, Product::Prometheus) => self.snapshot().map(Some),
            (Job::Seal, Product::VictoriaMetrics) => self.merge().map(Some),
            (Job::Repack | Job::Rollup, _) => Ok(None),
        }
    }

    fn client(&self) -> Result<Client> {
        Ok(Client::new(self.site.address, None))
    }

    fn path(&self, question: Question, host: usize, last_at: i64) -> String {
        let window = question.window(last_at);
        let cpu = METRICS[0].name;
        let selector = format!("{{host=\"{}\"}}", host_name(host));
        // Both ends of a range count in Prometheus, so ranges end one second before the next tick.
        let (end, step) = (window.to - 1, window.step_seconds);
        let first = window.from + step - 1;
        const DAY: &str = "86400s";
        let day_end = window.from + 86_399;
        match question {
            Question::RawDay => self.instant(&format!("{cpu}{selector}[{DAY}]"), day_end),
            Question::SixTrends => {
                let gauges = SIX.map(|gauge| {
                    let name = METRICS[gauge].name;
                    let average = format!("avg_over_time({name}{selector}[300s])");
                    format!(r#"label_replace({average},"metric","{name}","","")"#)
                });
                self.range(&gauges.join(" or "), first, end, step)
            }
            Question::WeekMax => self.range(
                &format!("max_over_time({cpu}{selector}[3600s])"),
                first,
                end,
                step,
            ),
            Question::Latest => self.instant(cpu, last_at),
            Question::Top => {
                let query = format!("topk({TOP},avg_over_time({cpu}[{DAY}]))");
                self.instant(&query, day_end)
            }
        }
    }

    fn points(&self, question: Question, body: &[u8]) -> Result<Points> {
        let answer: Value = serde_json::from_slice(body)?;
        let series = answer["data"]["result"].as_array().context("no result")?;
        let mut points = Points::new();
        for one in series {
            let label = match question {
                Question::RawDay | Question::WeekMax => None,
                Question::SixTrends => one["metric"]["metric"].as_str(),
                Question::Latest | Question::Top => one["metric"]["host"].as_str(),
            };
            let named = points
                .entry(label.unwrap_or(METRICS[0].name).to_owned())
                .or_default();
            let pairs = one["values"].as_array().map(Vec::as_slice);
            for pair in pairs.unwrap_or(std::slice::from_ref(&one["value"])) {
                let at = pair[0].as_f64().context("no time")?.round() as i64;
                let at = match question {
                    Question::RawDay => at,
                    Question::Latest | Question::Top => 0,
                    Question::SixTrends | Question::WeekMax => {
                        at + 1 - question.window(0).step_seconds
                    }
                };
                let value = pair[1].as_str().context("no value")?.parse()?;
                named.insert(at, value);
            }
        }
        Ok(points)
    }

    fn samples_path(&self, host: usize, from: i64, to: i64) -> String {
        let (cpu, name) = (METRICS[0].name, host_name(host));
        let query = format!("{cpu}{{host=\"{name}\"}}[{}s]", to - from);
        self.instant(&query, to - 1)
    }
}

/// Percent-encodes all but letters, digits and what is harmless.
fn encoded(query: &str) -> String {
    let mut text = String::new();
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
