//! An agent's report in JSON: parsed straight into checked types, then handed to the domain.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::parse::{ParseError, parse};
use super::scalar::{
    Dictionary, Lines, List, MetricName, Nullable, Number, Sha256Hex, Text, Whole,
};
use crate::domain;
use crate::domain::report::{Point as DomainPoint, SeriesKey};

/// Most series in one report.
pub const MAX_SERIES: usize = 500;
/// Most points in one report: a week at 10 s and some.
pub const MAX_POINTS: usize = 100_000;
/// Most sections of a snapshot.
pub const MAX_SECTIONS: usize = 16;
/// Most keys of a section: hosts with 20,000 packages exist.
pub const MAX_SECTION_KEYS: usize = 20_000;
/// Longest value of a section, in characters: the text of a small file.
pub const MAX_VALUE_CHARS: usize = 16_384;

/// Most names of environment variables.
pub const MAX_ENVIRONMENT_NAMES: usize = 2_000;

/// A string of at most 1 KiB from a host.
type Name = Text<0, 1024>;

/// What a host says of itself.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct HostFacts {
    /// The agent's identity; for an agent's own host it may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_id: Option<Uuid>,
    /// Host name.
    pub hostname: Text<1, 253>,
    /// The system's machine id.
    pub machine_id: Text<0, 256>,
    /// Changes with each start of the machine.
    pub boot_id: Text<0, 256>,
    /// The operating system's name for people.
    pub os: Name,
    /// `linux` and the like.
    pub os_family: Text<0, 64>,
    /// Kernel release.
    pub kernel: Text<0, 256>,
    /// Processor architecture.
    pub architecture: Text<0, 64>,
    /// IP addresses.
    pub addresses: List<Text<0, 64>, 256>,
    /// Number of processors.
    pub cpu_count: Whole<0, 65_536>,
    /// Bytes of memory.
    pub memory_bytes: Whole<0, 9_007_199_254_740_991>,
}

/// Names one series of the report.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ReportSeries {
    /// Metric name; one outside the catalogue is kept as a custom gauge.
    pub metric: MetricName,
    /// Which of several, such as a mount point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Text<1, 256>>,
}

/// One moment: a value, or `null`, for each of the report's series.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ReportPoint {
    /// Unix seconds.
    pub at: i64,
    /// As many as the report has series.
    pub values: List<Nullable<Number>, MAX_SERIES>,
}

/// A section that could not be collected.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct FailedSection {
    /// The section's name.
    pub section: Text<1, 64>,
    /// What the collector said.
    pub error: Name,
}

/// A host's configuration at one moment.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Snapshot {
    /// When the host took it.
    pub taken_at: DateTime<Utc>,
    /// Section → key → value.
    pub sections: Dictionary<
        Text<1, 64>,
        Dictionary<Text<1, 1024>, Lines<MAX_VALUE_CHARS>, MAX_SECTION_KEYS>,
        MAX_SECTIONS,
    >,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_sections: Option<List<FailedSection, MAX_SECTIONS>>,
}

/// What one host sends: its measurements, and at times its facts and its configuration.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Report {
    /// Names this report in logs.
    pub report_id: Uuid,
    /// The agent's version.
    pub agent_version: Text<1, 64>,
    /// When the agent sent it.
    pub sent_at: DateTime<Utc>,
    /// Seconds between two measurements.
    pub interval_seconds: Whole<1, 86_400>,
    /// Seconds between two snapshots.
    pub snapshot_interval_seconds: Whole<1, 31_536_000>,
    /// What the host says of itself; absent when nothing of it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostFacts>,
    /// The series that each point has a value for.
    pub series: List<ReportSeries, MAX_SERIES>,
    /// The moments measured, in any order.
    pub points: List<ReportPoint, MAX_POINTS>,
    /// Hash of the snapshot's sections as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_hash: Option<Sha256Hex>,
    /// The snapshot, when its hash is new or it is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
}

/// What became of the report's snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum SnapshotOutcome {
    /// It was new and is kept.
    Stored,
    /// It is the one that is known.
    Unchanged,
    /// Its hash is new: send the snapshot with the next report.
    Wanted,
    /// The report had none.
    None,
}

/// A point that was refused.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct RejectedPoint {
    /// Unix seconds, as sent.
    pub at: i64,
    /// Why, in words.
    pub reason: String,
}

/// What became of a report; sent only when all of it is on disk.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ReportOutcome {
    /// Values that are now kept.
    pub accepted: u64,
    /// Values that were there already.
    pub duplicates: u64,
    /// Points that were refused.
    pub rejected: Vec<RejectedPoint>,
    /// What became of the snapshot.
    pub snapshot: SnapshotOutcome,
}

/// A report whose parts do not fit together: the path of the field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    /// Path, such as `points[3].values`.
    pub field: String,
    /// What is wrong, in words.
    pub message: &'static str,
}

impl From<ReportSeries> for SeriesKey {
    fn from(series: ReportSeries) -> Self {
        Self {
            metric: series.metric.0,
            instance: series.instance.map(|text| text.0),
        }
    }
}

impl Report {
    /// Reads a report from its JSON.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(bytes: &[u8]) -> Result<domain::report::Report, ParseError> {
        let report: Self = parse(bytes)?;
        report.into_domain().map_err(|error| ParseError::Field {
            field: error.field,
            message: error.message.to_owned(),
        })
    }

    /// Checks what single fields cannot say, and hands the report to the domain.
    pub fn into_domain(self) -> Result<domain::report::Report, ShapeError> {
        let shape_error = |field: String, message| ShapeError { field, message };
        let series: Vec<SeriesKey> = self.series.0.into_iter().map(SeriesKey::from).collect();
        let mut sorted: Vec<&SeriesKey> = series.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(shape_error("series".to_owned(), "names a series twice"));
        }
        let wrong = self
            .points
            .0
            .iter()
            .position(|point| point.values.0.len() != series.len());
        if let Some(index) = wrong {
            return Err(shape_error(
                format!("points[{index}].values"),
                "must have one value for each series",
            ));
        }
        let snapshot = self.snapshot.map(Snapshot::into_domain);
        let declared = self.snapshot_hash.map(|hash| hash.0);
        let computed = snapshot
            .as_ref()
            .map(|snapshot| domain::snapshot::hash(&snapshot.sections));
        if declared.is_some() && computed.is_some() && declared != computed {
            let message = "is not the SHA-256 of the canonical JSON of snapshot.sections";
            return Err(shape_error("snapshot_hash".to_owned(), message));
        }
        let environment = snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.sections.get("environment"));
        if environment.is_some_and(|names| names.len() > MAX_ENVIRONMENT_NAMES) {
            let field = "snapshot.sections.environment".to_owned();
            return Err(shape_error(field, "must have at most 2000 keys"));
        }
        Ok(domain::report::Report {
            report_id: self.report_id,
            install_id: self.host.as_ref().and_then(|host| host.install_id),
            agent_version: self.agent_version.0,
            sent_at: self.sent_at,
            // Both are bounded far below u32::MAX by their types.
            interval_seconds: u32::try_from(self.interval_seconds.0).unwrap_or(u32::MAX),
            snapshot_interval_seconds: u32::try_from(self.snapshot_interval_seconds.0)
                .unwrap_or(u32::MAX),
            facts: self.host.map(HostFacts::into_domain),
            series,
            points: self
                .points
                .0
                .into_iter()
                .map(|point| DomainPoint {
                    at: point.at,
                    values: point
                        .values
                        .0
                        .into_iter()
                        .map(|value| value.0.map(|number| number.0))
                        .collect(),
                })
                .collect(),
            snapshot_hash: declared.or(computed),
            snapshot,
        })
    }
}

impl HostFacts {
    fn into_domain(self) -> domain::report::Facts {
        domain::report::Facts {
            hostname: self.hostname.0,
            machine_id: self.machine_id.0,
            boot_id: self.boot_id.0,
            os: self.os.0,
            os_family: self.os_family.0,
            kernel: self.kernel.0,
            architecture: self.architecture.0,
            addresses: self
                .addresses
                .0
                .into_iter()
                .map(|address| address.0)
                .collect(),
            cpu_count: u32::try_from(self.cpu_count.0).unwrap_or_default(),
            memory_bytes: u64::try_from(self.memory_bytes.0).unwrap_or_default(),
        }
    }
}

impl Snapshot {
    fn into_domain(self) -> domain::snapshot::Snapshot {
        let sections = self.sections.0.into_iter().map(|(section, items)| {
            (
                section.0,
                items
                    .0
                    .into_iter()
                    .map(|(key, value)| (key.0, value.0))
                    .collect(),
            )
        });
        domain::snapshot::Snapshot {
            taken_at: self.taken_at,
            sections: sections.collect(),
            failed_sections: self
                .failed_sections
                .map(|failed| failed.0)
                .unwrap_or_default()
                .into_iter()
                .map(|failed| domain::snapshot::FailedSection {
                    section: failed.section.0,
                    error: failed.error.0,
                })
                .collect(),
        }
    }
}
