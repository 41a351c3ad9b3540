//! Made-up notices about a made-up host.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use infra_watch::domain::alert::rule::Severity;
use infra_watch::domain::change::{Change, ChangeKind, ChangeSet, Direction, Disposition};
use infra_watch::domain::notification::{
    Channel, ChannelKind, Content, Notice, Preceding, Told, Transition,
};
use infra_watch::notify::Notifiers;
use uuid::Uuid;

/// When all of it happens: 2027-01-15T08:00:00Z.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Tells a channel of this kind; the error in words.
pub async fn tell(
    notifiers: &Notifiers,
    kind: ChannelKind,
    key: &str,
    content: &Content,
) -> Result<(), String> {
    let channel = Channel {
        channel_id: id(9),
        name: "the team".to_owned(),
        kind,
        created_at: now(),
    };
    let sent = notifiers.send(&channel, key, content, now()).await;
    sent.map_err(|error| error.to_string())
}

/// That the disk is full.
pub fn fires() -> Content {
    content(vec![notice(1, Transition::Firing)])
}

/// A notice about an alert on `web-1`; of the disk that is full on `/var`, when it is the first.
pub fn notice(alert: u128, transition: Transition) -> Notice {
    let is_over = transition == Transition::Resolved;
    let is_disk = alert == 1;
    let told = Told {
        alert_id: id(alert),
        rule_id: id(100 + alert),
        rule_name: if is_disk {
            "Disk above 90 %".to_owned()
        } else {
            format!("Rule {alert}")
        },
        severity: Severity::Critical,
        host_id: id(50),
        host_name: "web-1".to_owned(),
        instance: is_disk.then(|| "/var".to_owned()),
        condition: "disk_usage_percent is above 90 % for 5 min".to_owned(),
        summary: "disk_usage_percent is 97.2 %".to_owned(),
        value: is_disk.then_some(97.2),
        started_at: now() - TimeDelta::minutes(5),
        ended_at: is_over.then(now),
    };
    Notice {
        notice_id: id(1000 + alert),
        channel_id: id(9),
        transition,
        created_at: now() + TimeDelta::seconds(i64::from(is_over)),
        told,
    }
}

/// An upgrade of a package, ten minutes before.
pub fn upgrade(alert: u128) -> Preceding {
    let item = |section: &str, key: &str, before: &str, after: &str, direction| Change {
        section: section.to_owned(),
        key: key.to_owned(),
        kind: ChangeKind::Changed,
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
        direction,
        disposition: Disposition::Drift,
    };
    let set = ChangeSet {
        change_set_id: id(70),
        detected_at: now() - TimeDelta::minutes(10),
        from_snapshot_id: id(69),
        items: vec![
            item("environment", "DB_PASSWORD", "hmac:01", "hmac:02", None),
            item(
                "packages",
                "dpkg/openssl:amd64",
                "3.0.13",
                "3.0.14",
                Some(Direction::Upgrade),
            ),
        ],
    };
    Preceding {
        alert_id: id(alert),
        change_sets: vec![set],
    }
}

pub fn content(notices: Vec<Notice>) -> Content {
    Content::Notices {
        notices,
        held_back: 0,
        preceding: Vec::new(),
    }
}
