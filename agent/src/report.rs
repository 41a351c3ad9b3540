//! Builds the Report that every way of running sends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroU64};

use chrono::DateTime;
use infra_watch_client::types;
use infra_watch_client::types::error::ConversionError;
use uuid::Uuid;

use crate::facts::{Host, Snapshot};
use crate::measure::{Measurement, Series};

/// The agent's version, in each report.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Most series in one report, of the contract.
pub const MAX_SERIES: usize = 500;

/// What stays the same from report to report.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Who this agent is; none if that can be kept nowhere.
    pub install_id: Option<Uuid>,
    /// Seconds between two measurements.
    pub interval_seconds: NonZeroU32,
    /// Seconds between two snapshots.
    pub snapshot_interval_seconds: NonZeroU32,
}

/// What a report says of the snapshot.
#[derive(Clone, Copy, Debug)]
pub enum Mention<'a> {
    /// Nothing.
    Nothing,
    /// Its hash.
    Hash(&'a str),
    /// All of it.
    Whole(&'a Snapshot),
}

impl Sender {
    /// The report of these points, sent at `now` (Unix seconds). An error says which text the contract refuses.
    pub fn report(
        &self,
        columns: Columns,
        host: Option<&Host>,
        mention: Mention<'_>,
        now: i64,
    ) -> Result<types::Report, ConversionError> {
        Ok(types::Report {
            report_id: Uuid::now_v7(),
            agent_version: AGENT_VERSION.try_into()?,
            sent_at: DateTime::from_timestamp(now, 0).unwrap_or_default(),
            interval_seconds: NonZeroU64::from(self.interval_seconds),
            snapshot_interval_seconds: NonZeroU64::from(self.snapshot_interval_seconds),
            host: host.map(|host| self.host_facts(host)).transpose()?,
            series: columns.series,
            points: columns.points,
            snapshot_hash: match mention {
                Mention::Nothing => None,
                Mention::Hash(hash) => Some(hash.to_owned()),
                Mention::Whole(snapshot) => Some(snapshot.hash.clone()),
            },
            snapshot: match mention {
                Mention::Whole(snapshot) => Some(snapshot_of(snapshot)?),
                _ => None,
            },
        })
    }

    fn host_facts(&self, host: &Host) -> Result<types::HostFacts, ConversionError> {
        let addresses: Result<Vec<_>, _> = host
            .addresses
            .iter()
            .map(|address| address.parse())
            .collect();
        Ok(types::HostFacts {
            install_id: self.install_id,
            hostname: host.hostname.as_str().try_into()?,
            machine_id: host.machine_id.as_str().try_into()?,
            boot_id: host.boot_id.as_str().try_into()?,
            os: host.os.as_str().try_into()?,
            os_family: std::env::consts::OS.try_into()?,
            kernel: host.kernel.as_str().try_into()?,
            architecture: host.architecture.as_str().try_into()?,
            addresses: addresses?,
            cpu_count: i64::from(host.cpu_count),
            memory_bytes: i64::try_from(host.memory_bytes).unwrap_or(i64::MAX),
        })
    }
}

/// What an agent says when it enrols.
pub fn enrollment(install_id: Uuid, host: &Host) -> Result<types::Enroll, ConversionError> {
    Ok(types::Enroll {
        install_id,
        machine_id: host.machine_id.as_str().try_into()?,
        hostname: host.hostname.as_str().try_into()?,
        agent_version: AGENT_VERSION.try_into()?,
    })
}

fn snapshot_of(snapshot: &Snapshot) -> Result<types::Snapshot, ConversionError> {
    let mut sections = HashMap::with_capacity(snapshot.sections.len());
    for (name, section) in &snapshot.sections {
        let values = section
            .iter()
            .map(|(key, value)| Ok((key.clone(), value.as_str().try_into()?)));
        let values: Result<_, ConversionError> = values.collect();
        sections.insert(name.clone(), values?);
    }
    let failed = snapshot.failed.iter().map(|(section, error)| {
        Ok(types::FailedSection {
            section: section.as_str().try_into()?,
            error: error.as_str().try_into()?,
        })
    });
    let failed: Result<Vec<_>, ConversionError> = failed.collect();
    Ok(types::Snapshot {
        taken_at: DateTime::from_timestamp(snapshot.taken_at, 0).unwrap_or_default(),
        sections,
        failed_sections: Some(failed?).filter(|failed| !failed.is_empty()),
    })
}

/// Points as a report has them: all series, in the order in which they first appear, and each point's value for each.
#[derive(Debug, Default)]
pub struct Columns {
    /// What was measured.
    pub series: Vec<types::ReportSeries>,
    /// When, and one value for each series.
    pub points: Vec<types::ReportPoint>,
}

impl Columns {
    /// Of measurements.
    pub fn of(points: &[Measurement]) -> Result<Self, ConversionError> {
        Self::collect(points.iter().map(|point| {
            let samples = point.samples.iter();
            (
                point.at,
                samples.map(|sample| (sample.series(), sample.value)),
            )
        }))
    }

    /// Of points, each with its time and with series and value of all that was measured.
    pub fn collect<'a, P, S>(points: P) -> Result<Self, ConversionError>
    where
        P: Iterator<Item = (i64, S)> + Clone,
        S: Iterator<Item = (Series<'a>, Option<f64>)>,
    {
        let mut series = Vec::new();
        let mut places = BTreeMap::new();
        for (name, _) in points.clone().flat_map(|(_, samples)| samples) {
            if let Entry::Vacant(vacant) = places.entry(name) {
                vacant.insert(series.len());
                series.push(series_of(name)?);
            }
        }
        let points = points.map(|(at, samples)| {
            let mut values = vec![None; series.len()];
            for (name, value) in samples {
                if let Some(place) = places.get(&name) {
                    values[*place] = value.filter(|value| value.is_finite());
                }
            }
            types::ReportPoint { at, values }
        });
        let points = points.collect();
        Ok(Self { series, points })
    }
}

fn series_of((metric, instance): Series<'_>) -> Result<types::ReportSeries, ConversionError> {
    Ok(types::ReportSeries {
        metric: metric.to_owned(),
        instance: instance.map(TryInto::try_into).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;

    fn sample(metric: &'static str, instance: Option<&str>, value: f64) -> Sample {
        Sample {
            metric: metric.into(),
            instance: instance.map(str::to_owned),
            value: Some(value),
        }
    }

    #[test]
    fn points_become_columns() {
        let points = [
            Measurement {
                at: 1,
                samples: vec![sample("load1", None, 0.5), sample("disk", Some("/"), 1.0)],
            },
            Measurement {
                at: 2,
                samples: vec![
                    sample("disk", Some("/data"), 2.0),
                    sample("disk", Some("/"), 3.0),
                ],
            },
            Measurement {
                at: 3,
                samples: vec![sample("load1", None, f64::NAN)],
            },
        ];
        let sender = Sender {
            install_id: None,
            interval_seconds: NonZeroU32::MIN,
            snapshot_interval_seconds: NonZeroU32::MIN,
        };
        let report = |points| {
            let columns = Columns::of(points).unwrap();
            let report = sender.report(columns, None, Mention::Nothing, 7).unwrap();
            serde_json::to_value(report).unwrap()
        };
        let empty = report(&[]);
        assert_eq!(empty["series"], serde_json::json!([]));
        let report = report(&points);
        assert_eq!(
            report["series"],
            serde_json::json!([
                { "metric": "load1" },
                { "metric": "disk", "instance": "/" },
                { "metric": "disk", "instance": "/data" },
            ])
        );
        assert_eq!(
            report["points"],
            serde_json::json!([
                { "at": 1, "values": [0.5, 1.0, null] },
                { "at": 2, "values": [null, 3.0, 2.0] },
                { "at": 3, "values": [null, null, null] },
            ])
        );
        assert_eq!(report["sent_at"], "1970-01-01T00:00:07Z");
        assert!(report.get("host").is_none() && report.get("snapshot").is_none());
    }
}
