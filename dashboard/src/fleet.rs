//! Which hosts the overview shows, and in which order: pure functions over the client's hosts.

use std::cmp::Ordering;
use std::rc::Rc;

use infra_watch_client::types::{Host, HostStatus};
use uuid::Uuid;

use crate::order;

/// How many hosts are in each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reports arrive.
    pub up: usize,
    /// A report is overdue.
    pub late: usize,
    /// Silent for long.
    pub down: usize,
    /// Nothing heard yet.
    pub pending: usize,
    /// Alerts that fire at any of them.
    pub firing: u64,
}

impl Counts {
    /// Counts hosts.
    pub fn of(hosts: &[Host]) -> Self {
        let mut counts = Self::default();
        for host in hosts {
            counts.firing += u64::from(host.firing_alerts);
            match host.status {
                HostStatus::Up => counts.up += 1,
                HostStatus::Late => counts.late += 1,
                HostStatus::Down => counts.down += 1,
                HostStatus::Pending => counts.pending += 1,
            }
        }
        counts
    }

    /// The number of hosts in one status.
    pub fn get(self, status: HostStatus) -> usize {
        match status {
            HostStatus::Up => self.up,
            HostStatus::Late => self.late,
            HostStatus::Down => self.down,
            HostStatus::Pending => self.pending,
        }
    }
}

/// What hosts are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Down before late before pending before up, then the busiest.
    Worst,
    /// Name.
    Name,
    /// Operating system.
    Os,
    /// Processor use.
    Cpu,
    /// Memory use.
    Memory,
    /// The fullest mount.
    Disk,
    /// Time since the machine started.
    Uptime,
    /// When it was last heard.
    LastSeen,
}

impl Column {
    /// Every column with what stands in the address for it.
    const NAMES: [(Self, &str); 8] = [
        (Self::Worst, "worst"),
        (Self::Name, "name"),
        (Self::Os, "os"),
        (Self::Cpu, "cpu"),
        (Self::Memory, "memory"),
        (Self::Disk, "disk"),
        (Self::Uptime, "uptime"),
        (Self::LastSeen, "seen"),
    ];
}

/// An order of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// What counts.
    pub column: Column,
    /// The other way round.
    pub reversed: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self {
            column: Column::Worst,
            reversed: false,
        }
    }
}

impl Sort {
    /// Reads `cpu`, or `-cpu` for the other way round.
    pub fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default();
        let (name, reversed) = text
            .strip_prefix('-')
            .map_or((text, false), |name| (name, true));
        Column::NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map_or_else(Self::default, |(column, _)| Self {
                column: *column,
                reversed,
            })
    }

    /// What stands in the address; nothing for the order that holds without it.
    pub fn query(self) -> Option<String> {
        let name = Column::NAMES
            .iter()
            .find(|(column, _)| *column == self.column)
            .map(|(_, name)| *name)?;
        (self != Self::default()).then(|| format!("{}{name}", if self.reversed { "-" } else { "" }))
    }

    /// The order after a press on a column's head: that column, and the other way round at the second press.
    pub fn pressed(self, column: Column) -> Self {
        Self {
            column,
            reversed: self.column == column && !self.reversed,
        }
    }
}

/// Which hosts are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only hosts in this status.
    pub status: Option<HostStatus>,
    /// Only hosts with this text in their name, labels, system or addresses.
    pub text: String,
    /// Only these hosts, in order.
    pub among: Option<Rc<Vec<Uuid>>>,
}

impl Filter {
    fn admits(&self, host: &Host) -> bool {
        if let Some(among) = &self.among
            && among.binary_search(&host.host_id).is_err()
        {
            return false;
        }
        if self.status.is_some_and(|status| status != host.status) {
            return false;
        }
        let contains = |text: &str, word: &str| text.to_lowercase().contains(word);
        self.text.to_lowercase().split_whitespace().all(|word| {
            contains(&host.name, word)
                || contains(&host.os, word)
                || host.addresses.iter().any(|address| contains(address, word))
                || host
                    .labels
                    .iter()
                    .any(|(name, value)| contains(&format!("{name}={}", value.as_str()), word))
        })
    }
}

/// The places of the hosts that are shown, in order.
pub fn arrange(hosts: &[Host], filter: &Filter, sort: Sort) -> Vec<usize> {
    let mut places: Vec<usize> = (0..hosts.len())
        .filter(|place| filter.admits(&hosts[*place]))
        .collect();
    order::sort(&mut places, &|a, b| compare(&hosts[a], &hosts[b], sort));
    places
}

/// Equal hosts stand in the order of their names, so that nothing jumps.
fn compare(a: &Host, b: &Host, sort: Sort) -> Ordering {
    let ordering = match sort.column {
        Column::Worst => badness(b).cmp(&badness(a)),
        Column::Name => a.name.cmp(&b.name),
        Column::Os => a.os.cmp(&b.os),
        Column::Cpu => descending(a.cpu_usage_percent, b.cpu_usage_percent),
        Column::Memory => descending(a.memory_usage_percent, b.memory_usage_percent),
        Column::Disk => descending(a.disk_usage_percent, b.disk_usage_percent),
        Column::Uptime => descending(a.uptime_seconds, b.uptime_seconds),
        Column::LastSeen => b.last_seen_at.cmp(&a.last_seen_at),
    };
    let ordering = if sort.reversed {
        ordering.reverse()
    } else {
        ordering
    };
    ordering
        .then_with(|| a.name.cmp(&b.name))
        .then_with(|| a.host_id.cmp(&b.host_id))
}

/// Status first; among those that are up, only what is nearly full counts, so that the order stays still.
fn badness(host: &Host) -> (u8, u32) {
    let status = match host.status {
        HostStatus::Down => 3,
        HostStatus::Late => 2,
        HostStatus::Pending => 1,
        HostStatus::Up => 0,
    };
    let fullest = [
        host.cpu_usage_percent,
        host.memory_usage_percent,
        host.disk_usage_percent,
    ]
    .into_iter()
    .flatten()
    .fold(0.0, f64::max);
    (status, if fullest >= FULL_PERCENT { 1 } else { 0 })
}

/// A machine with anything this full stands above its peers.
const FULL_PERCENT: f64 = 90.0;

fn descending(a: Option<f64>, b: Option<f64>) -> Ordering {
    let value = |number: Option<f64>| number.unwrap_or(-1.0);
    value(b).total_cmp(&value(a))
}

#[cfg(test)]
mod tests {
    use infra_watch_client::types;

    use super::*;

    fn host(name: &str, status: &str, cpu: Option<f64>) -> Host {
        let text = "2026-11-23T07:00:00Z";
        let collection = br#"{"kind":"push","is_pushed":true}"#;
        let collection = infra_watch_client::read::<types::Collection>(collection).unwrap();
        let host = Host::builder()
            .host_id(Uuid::nil())
            .name(name)
            .labels(
                [("role".to_owned(), "web".parse().unwrap())]
                    .into_iter()
                    .collect::<std::collections::HashMap<_, _>>(),
            )
            .collection(collection)
            .os("Debian")
            .addresses(vec!["10.0.0.5".to_owned()])
            .status(status.parse::<HostStatus>().unwrap())
            .health(types::HostHealth::Green)
            .last_seen_at(None)
            .snapshot_at(None)
            .uptime_seconds(None)
            .cpu_usage_percent(cpu)
            .memory_usage_percent(None)
            .disk_usage_percent(None)
            .firing_alerts(0_u32)
            .hostname(name)
            .kernel("6.1")
            .architecture("x86_64")
            .cpu_count(2_u32)
            .memory_bytes(0_u64)
            .agent_version("0.1.0")
            .interval_seconds(30_u32)
            .stale_sections(Vec::new())
            .set_aside(Vec::new())
            .enrolled_at(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        host.try_into().unwrap()
    }

    fn fleet() -> Vec<Host> {
        [
            ("b", "up", Some(5.0)),
            ("a", "up", Some(95.0)),
            ("d", "down", None),
            ("c", "late", Some(1.0)),
            ("e", "pending", None),
            ("A", "up", Some(6.0)),
        ]
        .map(|(name, status, cpu)| host(name, status, cpu))
        .into()
    }

    #[test]
    fn order() {
        let check = |sort, expect: &str| {
            let hosts = fleet();
            let names: Vec<&str> = arrange(&hosts, &Filter::default(), Sort::parse(sort))
                .into_iter()
                .map(|place| hosts[place].name.as_str())
                .collect();
            assert_eq!(names.join(""), expect, "{sort:?}");
        };
        check(None, "dceaAb");
        check(Some("cpu"), "aAbcde");
        check(Some("-cpu"), "decbAa");
        check(Some("name"), "Aabcde");
        check(Some("nonsense"), "dceaAb");
    }

    #[test]
    fn filters() {
        let check = |status: Option<&str>, text: &str, expect| {
            let filter = Filter {
                status: status.map(|status| status.parse().unwrap()),
                text: text.to_owned(),
                among: None,
            };
            assert_eq!(
                arrange(&fleet(), &filter, Sort::default()).len(),
                expect,
                "{status:?} {text}"
            );
        };
        check(None, "", 6);
        check(Some("up"), "", 3);
        check(None, "10.0.0 debian", 6);
        check(None, "ROLE=web", 6);
        check(Some("down"), "nothing", 0);
        let among = |ids: &[Uuid]| Filter {
            among: Some(Rc::new(ids.to_vec())),
            ..Filter::default()
        };
        for (filter, expect) in [(among(&[]), 0), (among(&[Uuid::nil()]), 6)] {
            assert_eq!(arrange(&fleet(), &filter, Sort::default()).len(), expect);
        }
    }

    #[test]
    fn addresses_and_presses() {
        let sort = Sort::default().pressed(Column::Cpu);
        assert_eq!(sort.query().as_deref(), Some("cpu"));
        assert_eq!(sort.pressed(Column::Cpu).query().as_deref(), Some("-cpu"));
        assert_eq!(
            Sort::parse(Some("-cpu"))
                .pressed(Column::Cpu)
                .query()
                .as_deref(),
            Some("cpu")
        );
        assert_eq!(Sort::default().query(), None);
        assert_eq!(
            Counts::of(&fleet()),
            Counts {
                up: 3,
                late: 1,
                down: 1,
                pending: 1,
                firing: 0,
            }
        );
    }
}
