//! Numbers of this machine: each source is a pure function from text to numbers and a thin reader around it.

pub mod cpu;
pub mod disk_io;
pub mod disk_space;
pub mod load;
pub mod memory;
pub mod network;
pub mod process;
mod rate;
mod source;
pub mod uptime;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use cpu::CpuTimes;
use disk_space::DiskSpace;
use rate::Rates;
use source::{Reader, SourceError, Sources};

pub use source::read_text;

/// Most instances of one metric: with these a host stays below the contract's 500 series.
const MAX_INSTANCES: usize = 64;
/// Longest name of an instance that the contract takes, in characters.
const MAX_INSTANCE_CHARS: usize = 256;

/// One number at one moment; without a value it was looked for and could not be said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Name in the catalogue of metrics, the unit in it.
    pub metric: Cow<'static, str>,
    /// Which of several, such as a mount point.
    pub instance: Option<String>,
    /// What was measured.
    pub value: Option<f64>,
}

/// What names a series: a metric, and which of several.
pub type Series<'a> = (&'a str, Option<&'a str>);

impl Sample {
    /// The series that it belongs to.
    pub fn series(&self) -> Series<'_> {
        (self.metric.as_ref(), self.instance.as_deref())
    }
}

/// Everything that was measured in one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Unix seconds.
    pub at: i64,
    /// In a stable order: by source, then by instance.
    pub samples: Vec<Sample>,
}

/// Measures the machine again and again, and remembers the counters that rates are made of.
pub struct Meter {
    root: PathBuf,
    reader: Reader,
    sources: Sources,
    cpu: Option<CpuTimes>,
    network: Rates,
    disk_io: Rates,
    disk_space: DiskSpace,
}

impl Meter {
    /// A meter of the system whose root directory is `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            reader: Reader::default(),
            sources: Sources::default(),
            cpu: None,
            network: Rates::default(),
            disk_io: Rates::default(),
            disk_space: DiskSpace::default(),
        }
    }

    /// Measures all there is. A source that fails is left out, and said once; `now` is monotonic.
    pub fn measure(&mut self, now: Instant) -> Vec<Sample> {
        let mut samples = Vec::with_capacity(32);
        let outcome = self.cpu(&mut samples);
        self.sources.note("cpu", outcome);
        let outcome = self.memory(&mut samples);
        self.sources.note("memory", outcome);
        let outcome = self.load(&mut samples);
        self.sources.note("load", outcome);
        let outcome = self.uptime(&mut samples);
        self.sources.note("uptime", outcome);
        let outcome = self.processes(&mut samples);
        self.sources.note("processes", outcome);
        let outcome = self.disk_space(&mut samples);
        self.sources.note("disk space", outcome);
        let outcome = self.disk_io(now, &mut samples);
        self.sources.note("disk input and output", outcome);
        let outcome = self.network(now, &mut samples);
        self.sources.note("network", outcome);
        samples
    }

    fn cpu(&mut self, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        let times = self.reader.parse(&self.root, "proc/stat", cpu::parse)?;
        let before = self.cpu.replace(times);
        let usage = before.and_then(|before| cpu::usage_percent(before, times));
        samples.push(single("cpu_usage_percent", usage));
        Ok(())
    }

    fn memory(&mut self, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        let memory = self
            .reader
            .parse(&self.root, "proc/meminfo", memory::parse)?;
        samples.push(single("memory_usage_percent", Some(memory.usage_percent())));
        samples.push(single(
            "swap_usage_percent",
            Some(memory.swap_usage_percent()),
        ));
        Ok(())
    }

    fn load(&mut self, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        let load = self.reader.parse(&self.root, "proc/loadavg", load::parse)?;
        let metrics = ["load1", "load5", "load15"];
        samples.extend(
            metrics
                .into_iter()
                .zip(load)
                .map(|(metric, load)| single(metric, Some(load))),
        );
        Ok(())
    }

    fn uptime(&mut self, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        let seconds = self
            .reader
            .parse(&self.root, "proc/uptime", uptime::parse)?;
        samples.push(single("uptime_seconds", Some(seconds)));
        Ok(())
    }

    fn processes(&mut self, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        let count = process::count(&self.root.join("proc"))?;
        samples.push(single("process_count", Some(f64::from(count))));
        Ok(())
    }

    fn disk_space(&mut self, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        const MOUNTS: &str = "proc/self/mountinfo";
        if self.reader.has_changed(MOUNTS) {
            let table = self.reader.text(&self.root, MOUNTS)?;
            self.disk_space.choose(&self.root, table);
        }
        let usages = self.disk_space.usages(&self.root);
        samples.extend(each("disk_usage_percent", usages));
        Ok(())
    }

    fn disk_io(&mut self, now: Instant, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        let counters = self
            .reader
            .parse(&self.root, "proc/diskstats", disk_io::parse)?;
        let rates = self.disk_io.step(now, counters);
        let metrics = ["disk_read_bytes_per_second", "disk_write_bytes_per_second"];
        push_pairs(samples, metrics, rates);
        Ok(())
    }

    fn network(&mut self, now: Instant, samples: &mut Vec<Sample>) -> Result<(), SourceError> {
        // The agent's own network namespace: `/proc/net` is a link to `/proc/self/net`.
        let counters = self
            .reader
            .parse(&self.root, "proc/net/dev", network::parse)?;
        let rates = self.network.step(now, counters);
        let metrics = [
            "network_receive_bytes_per_second",
            "network_transmit_bytes_per_second",
        ];
        push_pairs(samples, metrics, rates);
        Ok(())
    }
}

fn single(metric: &'static str, value: Option<f64>) -> Sample {
    Sample {
        metric: Cow::Borrowed(metric),
        instance: None,
        value,
    }
}

/// One metric of several instances; an instance whose name the contract refuses is left out.
fn each(
    metric: &'static str,
    values: impl IntoIterator<Item = (String, Option<f64>)>,
) -> impl Iterator<Item = Sample> {
    let metric = Cow::Borrowed(metric);
    values
        .into_iter()
        .filter(|(instance, _)| is_instance(instance))
        .take(MAX_INSTANCES)
        .map(move |(instance, value)| Sample {
            metric: metric.clone(),
            instance: Some(instance),
            value,
        })
}

fn push_pairs(
    samples: &mut Vec<Sample>,
    [first, second]: [&'static str; 2],
    rates: Vec<(String, [Option<f64>; 2])>,
) {
    samples.extend(each(
        first,
        rates
            .iter()
            .map(|(instance, rate)| (instance.clone(), rate[0])),
    ));
    samples.extend(each(
        second,
        rates
            .into_iter()
            .map(|(instance, rate)| (instance, rate[1])),
    ));
}

fn is_instance(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= MAX_INSTANCE_CHARS
        && !name.chars().any(char::is_control)
}

/// A percentage of two decimals: more would be noise, and the store packs decimals well.
fn percent(part: u64, whole: u64) -> f64 {
    two_decimals(part as f64 / whole as f64 * 100.0)
}

fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name)
    }

    fn value(samples: &[Sample], metric: &str, instance: Option<&str>) -> Option<f64> {
        samples
            .iter()
            .find(|sample| sample.metric == metric && sample.instance.as_deref() == instance)
            .unwrap_or_else(|| panic!("{metric} {instance:?} was not measured"))
            .value
    }

    #[test]
    fn a_machine_is_measured_whole() {
        let start = Instant::now();
        let mut meter = Meter::new(&fixture("debian-12-vm"));
        let first = meter.measure(start);
        assert_eq!(value(&first, "cpu_usage_percent", None), None);
        assert_eq!(
            value(&first, "disk_write_bytes_per_second", Some("vda")),
            None
        );
        assert_eq!(value(&first, "process_count", None), Some(3.0));

        meter.root = fixture("debian-12-vm.later");
        meter.reader = Reader::default();
        let second = meter.measure(start + Duration::from_secs(5));
        let check = |metric, instance, expect| {
            assert_eq!(value(&second, metric, instance), Some(expect), "{metric}");
        };
        check("cpu_usage_percent", None, 41.89);
        check("swap_usage_percent", None, 0.0);
        check("process_count", None, 1.0);
        check("disk_read_bytes_per_second", Some("vda"), 25_434_522.0);
        check("disk_write_bytes_per_second", Some("vda"), 14_808_678.0);
        check("network_receive_bytes_per_second", Some("eth0"), 0.0);
        assert_eq!(first.len(), second.len());
    }

    #[test]
    fn one_bad_source_loses_no_other() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(
            root.path().join("proc/loadavg"),
            "0.50 0.25 0.125 1/82 14308\n",
        )
        .unwrap();
        std::fs::write(root.path().join("proc/stat"), "nonsense\n").unwrap();
        let mut meter = Meter::new(root.path());
        for _ in 0..2 {
            let samples = meter.measure(Instant::now());
            assert_eq!(value(&samples, "load15", None), Some(0.13));
            assert!(
                samples
                    .iter()
                    .all(|sample| sample.metric != "cpu_usage_percent")
            );
        }
    }

    #[test]
    fn instances() {
        let check = |name: &str, expect| assert_eq!(is_instance(name), expect, "{name:?}");
        check("/srv/my data", true);
        check("/srv/\u{fc}ber", true);
        check("/srv/line\nbreak", false);
        check("", false);
        check(&"x".repeat(256), true);
        check(&"x".repeat(257), false);
        let many = (0..100).map(|index| (format!("eth{index}"), None));
        assert_eq!(each("x", many).count(), MAX_INSTANCES);
    }
}
