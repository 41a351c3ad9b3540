//! Builds the Report that every way of running sends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroU64};

use chrono::DateTime;
use infra_watch_client::types;
use infra_watch_client::types::error::ConversionError;
use uuid::Uuid;

use crate::facts::{Host, Snapshot};
use crate::measure::{Measurement, Sample};

/// The agent's version, in each report.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

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
        points: &[Measurement],
        host: Option<&Host>,
        mention: Mention<'_>,
        now: i64,
    ) -> Result<types::Report, ConversionError> {
        let (series, points) = columns(points)?;
        Ok(types::Report {
            report_id: Uuid::now_v7(),
            agent_version: AGENT_VERSION.try_into()?,
            sent_at: DateTime::from_timestamp(now, 0).unwrap_or_default(),
            interval_seconds: NonZeroU64::from(self.interval_seconds),
            snapshot_interval_seconds: NonZeroU64::from(self.snapshot_interval_seconds),
            host: host.map(|host| self.host_facts(host)).transpose()?,
            series,
            points,
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

/// All series of the points, in the order in which they first appear, and each point's value for each of them.
fn columns(
    points: &[Measurement],
) -> Result<(Vec<types::ReportSeries>, Vec<types::ReportPoint>), ConversionError> {
    let mut series = Vec::new();
    let mut places = BTreeMap::new();
    for sample in points.iter().flat_map(|point| &point.samples) {
        if let Entry::Vacant(vacant) = places.entry(key(sample)) {
            vacant.insert(series.len());
            series.push(series_of(sample)?);
        }
    }
    let points = points.iter().map(|point| {
        let mut values = vec![None; series.len()];
        for sample in &point.samples {
            if let Some(place) = places.get(&key(sample)) {
                values[*place] = sample.value.filter(|value| value.is_finite());
            }
        }
        types::ReportPoint {
            at: point.at,
            values,
        }
    });
    let points = points.collect();
    Ok((series, points))
}

fn key(sample: &Sample) -> (&str, Option<&str>) {
    (sample.metric.as_ref(), sample.instance.as_deref())
}

fn series_of(sample: &Sample) -> Result<types::ReportSeries, ConversionError> {
    Ok(types::ReportSeries {
        metric: sample.metric.clone().into_owned(),
        instance: sample
            .instance
            .as_deref()
            .map(TryInto::try_into)
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let report =
            serde_json::to_value(sender.report(&points, None, Mention::Nothing, 7).unwrap())
                .unwrap();
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
        assert!(
            sender
                .report(&[], None, Mention::Nothing, 7)
                .unwrap()
                .series
                .is_empty()
        );
    }
}
