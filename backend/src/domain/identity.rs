//! Is it the same machine? A copy of a VM has the install id and the token of its original.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host::Host;
use super::report::Facts;

/// Most machines that are set aside for one host.
pub const MAX_SET_ASIDE: usize = 16;

/// A machine that reports with the identity of another one, and is not let in until an admin decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Identifier, UUIDv7.
    pub set_aside_id: Uuid,
    /// What it says of itself.
    pub machine: Machine,
    /// When it first tried to report.
    pub first_seen_at: DateTime<Utc>,
    /// When it last did, to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// Whether an admin chose another machine over it: then it stays aside, also while the host is silent.
    #[serde(default)]
    pub is_decided: bool,
}

/// By what a machine is told from its copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The system's machine id; a careless copy has the same.
    pub machine_id: String,
    /// Changes with each start, and never comes back.
    pub boot_id: String,
    /// Host name.
    pub hostname: String,
    /// IP addresses.
    pub addresses: Vec<String>,
}

impl From<&Facts> for Machine {
    fn from(facts: &Facts) -> Self {
        Self {
            machine_id: facts.machine_id.clone(),
            boot_id: facts.boot_id.clone(),
            hostname: facts.hostname.clone(),
            addresses: facts.addresses.clone(),
        }
    }
}

impl Machine {
    /// Whether these are its ids.
    pub fn is_same(&self, machine_id: &str, boot_id: &str) -> bool {
        self.machine_id == machine_id && self.boot_id == boot_id
    }
}

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The host as it is known, or after a new start, or what took its place while it was silent.
    Host,
    /// Another machine, while the host itself is heard.
    Newcomer,
    /// The host itself: what is known of it came from another machine in the meantime.
    Returned,
}

/// Judges by the ids in a report. `is_heard`: whether the host has reported lately, so that what has other ids cannot be
/// in its place.
pub fn judge(host: &Host, facts: &Facts, is_heard: bool) -> Verdict {
    let differs = |left: &str, right: &str| !left.is_empty() && !right.is_empty() && left != right;
    let is_set_aside = |known: &SetAside| {
        known.machine.is_same(&facts.machine_id, &facts.boot_id) && (known.is_decided || is_heard)
    };
    if host.set_aside.iter().any(is_set_aside) {
        return Verdict::Newcomer;
    }
    if differs(&host.facts.machine_id, &facts.machine_id) {
        return if is_heard {
            Verdict::Newcomer
        } else {
            Verdict::Host
        };
    }
    let has_returned = differs(&host.facts.boot_id, &facts.boot_id)
        && host.previous_boot_id.as_ref() == Some(&facts.boot_id);
    if has_returned && is_heard {
        Verdict::Returned
    } else {
        Verdict::Host
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::tests::host;

    #[test]
    fn copies_and_new_starts() {
        let facts = |machine: &str, boot: &str| Facts {
            machine_id: machine.to_owned(),
            boot_id: boot.to_owned(),
            ..Facts::default()
        };
        let known = Host {
            facts: facts("m1", "b2"),
            previous_boot_id: Some("b1".to_owned()),
            set_aside: [("b8", false), ("b9", true)]
                .map(|(boot, is_decided)| SetAside {
                    set_aside_id: Uuid::nil(),
                    machine: Machine::from(&facts("m1", boot)),
                    first_seen_at: DateTime::UNIX_EPOCH,
                    last_seen_at: DateTime::UNIX_EPOCH,
                    is_decided,
                })
                .to_vec(),
            ..host("web-1")
        };
        let check = |machine, boot, is_heard, expect| {
            assert_eq!(
                judge(&known, &facts(machine, boot), is_heard),
                expect,
                "{machine} {boot} {is_heard}"
            );
        };
        check("m1", "b2", true, Verdict::Host);
        check("m1", "b3", true, Verdict::Host);
        check("m1", "", true, Verdict::Host);
        check("", "b2", true, Verdict::Host);
        check("m2", "b3", true, Verdict::Newcomer);
        check("m2", "b3", false, Verdict::Host);
        check("m1", "b1", true, Verdict::Returned);
        check("m1", "b1", false, Verdict::Host);
        check("m1", "b8", true, Verdict::Newcomer);
        check("m1", "b8", false, Verdict::Host);
        check("m1", "b9", false, Verdict::Newcomer);
    }
}
