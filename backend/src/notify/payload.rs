//! The body of a webhook: Alertmanager's, version 4, and beside it what changed before.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::text::{description, instance_of};
use super::{Links, NotifyError, changes_before, latest};
use crate::domain::change::{Change, ChangeSet, summary};
use crate::domain::notification::{Content, Notice, Preceding, Told, Transition};
use crate::domain::snapshot::hex;

/// What Alertmanager says for "not yet".
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";
/// Length of a fingerprint, in bytes.
const FINGERPRINT_BYTES: usize = 8;

type Words = BTreeMap<&'static str, String>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
    status: Status,
    receiver: &'a str,
    group_labels: Words,
    common_labels: Words,
    common_annotations: Words,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<Alert<'a>>,
    drift: Vec<Drift<'a>>,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Firing,
    Resolved,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: Status,
    labels: Words,
    annotations: Words,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
    transition: String,
    drift: Vec<Drift<'a>>,
}

/// A change set before an alert.
#[derive(Clone, Serialize)]
struct Drift<'a> {
    host: &'a str,
    host_id: Uuid,
    alert_id: Uuid,
    change_set_id: Uuid,
    detected_at: String,
    summary: String,
    items: &'a [Change],
}

/// The body that tells `receiver` this.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn body(
    receiver: &str,
    content: &Content,
    links: &Links,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, NotifyError> {
    let (alerts, truncated_alerts) = match content {
        Content::Notices {
            notices,
            held_back,
            preceding,
        } => {
            let latest = latest(notices);
            let alerts = latest
                .into_iter()
                .map(|notice| of_notice(notice, preceding, links));
            (alerts.collect(), *held_back)
        }
        Content::Test { by } => {
            let summary = format!("{by} tries this channel; nothing is wrong");
            (vec![by_itself("Test", summary, links, now)], 0)
        }
        Content::Heartbeat => {
            let summary = "Infra-Watch is alive; when this ends, it is not".to_owned();
            (vec![by_itself("Watchdog", summary, links, now)], 0)
        }
    };
    let is_firing = alerts.iter().any(|alert| alert.status == Status::Firing);
    let payload = Payload {
        version: "4",
        group_key: group_key(&alerts),
        truncated_alerts,
        status: if is_firing {
            Status::Firing
        } else {
            Status::Resolved
        },
        receiver,
        group_labels: Words::new(),
        common_labels: common(alerts.iter().map(|alert| &alert.labels)),
        common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
        external_url: links.0.as_deref().unwrap_or_default(),
        drift: alerts
            .iter()
            .flat_map(|alert| alert.drift.clone())
            .collect(),
        alerts,
    };
    serde_json::to_vec(&payload).map_err(|error| NotifyError::Message(error.to_string()))
}

fn of_notice<'a>(notice: &'a Notice, preceding: &'a [Preceding], links: &Links) -> Alert<'a> {
    let told = &notice.told;
    let is_over = notice.transition == Transition::Resolved;
    let mut labels = Words::from([
        ("alertname", told.rule_name.clone()),
        ("severity", told.severity.as_str().to_owned()),
        ("host", told.host_name.clone()),
        ("host_id", told.host_id.to_string()),
        ("rule_id", told.rule_id.to_string()),
    ]);
    labels.extend(told.instance.clone().map(|instance| ("instance", instance)));
    let mut annotations = Words::from([
        ("summary", told.summary.clone()),
        ("description", description(notice)),
        ("alert_id", told.alert_id.to_string()),
    ]);
    annotations.extend(told.value.map(|value| ("value", value.to_string())));
    Alert {
        status: if is_over {
            Status::Resolved
        } else {
            Status::Firing
        },
        labels,
        annotations,
        starts_at: rfc3339(told.started_at),
        ends_at: if is_over {
            rfc3339(told.ended_at.unwrap_or(notice.created_at))
        } else {
            NOT_ENDED.to_owned()
        },
        generator_url: links.alert(told.alert_id).unwrap_or_default(),
        fingerprint: digest([
            told.rule_id.as_bytes().as_slice(),
            told.host_id.as_bytes(),
            instance_of(told).as_bytes(),
        ]),
        transition: notice.transition.key(),
        drift: changes_before(told, preceding)
            .iter()
            .map(|set| drift(told, set))
            .collect(),
    }
}

fn drift<'a>(told: &'a Told, set: &'a ChangeSet) -> Drift<'a> {
    Drift {
        host: &told.host_name,
        host_id: told.host_id,
        alert_id: told.alert_id,
        change_set_id: set.change_set_id,
        detected_at: rfc3339(set.detected_at),
        summary: summary(&set.items),
        items: &set.items,
    }
}

/// An alert of Infra-Watch itself.
fn by_itself<'a>(
    name: &'static str,
    summary: String,
    links: &Links,
    now: DateTime<Utc>,
) -> Alert<'a> {
    Alert {
        status: Status::Firing,
        labels: Words::from([
            ("alertname", name.to_owned()),
            ("severity", "none".to_owned()),
        ]),
        annotations: Words::from([("summary", summary.clone()), ("description", summary)]),
        starts_at: rfc3339(now),
        ends_at: NOT_ENDED.to_owned(),
        generator_url: links.0.clone().unwrap_or_default(),
        fingerprint: digest([name.as_bytes()]),
        transition: Transition::Firing.key(),
        drift: Vec::new(),
    }
}

/// The same for the same alerts, whatever became of them: receivers take what bears it for one incident.
fn group_key(alerts: &[Alert<'_>]) -> String {
    let mut fingerprints: Vec<&str> = alerts.iter().map(|alert| &*alert.fingerprint).collect();
    fingerprints.sort_unstable();
    format!(
        "{{}}:{}",
        digest(fingerprints.into_iter().map(str::as_bytes))
    )
}

/// The words that all share.
fn common<'a>(mut all: impl Iterator<Item = &'a Words>) -> Words {
    let mut common = all.next().cloned().unwrap_or_default();
    for words in all {
        common.retain(|key, word| words.get(key) == Some(word));
    }
    common
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    let bytes: [u8; 32] = digest.finalize().into();
    hex(&bytes[..FINGERPRINT_BYTES])
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
