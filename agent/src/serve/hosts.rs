//! Under which names the endpoint may be asked: a page in a browser that lets its own name point to this machine (DNS
//! rebinding) must get nothing.

use std::net::IpAddr;

/// Stands for any name.
const ANY: &str = "*";

/// The names that are allowed beside those that this machine has anyway.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// In lower case, without ports.
    names: Vec<String>,
    is_any: bool,
}

impl Hosts {
    /// Allows these names; a port behind one is no part of it, and `*` allows all.
    pub fn new(names: &[String]) -> Self {
        Self {
            names: names.iter().map(|name| name_of(name)).collect(),
            is_any: names.iter().any(|name| name == ANY),
        }
    }

    /// Whether a request for `host` may be answered by a machine of this name, on a connection to the address `local`.
    pub fn allow(&self, host: &str, hostname: &str, local: IpAddr) -> bool {
        let name = name_of(host);
        if let Ok(address) = name.parse::<IpAddr>() {
            let address = address.to_canonical();
            if address.is_loopback() || address == local.to_canonical() {
                return true;
            }
        }
        self.is_any
            || name == "localhost"
            || name == name_of(hostname)
            || self.names.contains(&name)
    }
}

/// Name or address in `host` or `host:port`, in lower case, without brackets and without a dot at the end.
fn name_of(host: &str) -> String {
    let host = host.trim();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => match host.split_once(':') {
            // With more colons it is an address of IPv6.
            Some((name, port)) if !port.contains(':') => name,
            _ => host,
        },
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], local: &str, cases: &[(&str, bool)]) {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let hosts = Hosts::new(&allowed);
        for (host, expect) in cases {
            assert_eq!(
                hosts.allow(host, "web-1.example.org", local.parse().unwrap()),
                *expect,
                "{host} with {allowed:?} at {local}"
            );
        }
    }

    #[test]
    fn names_of_this_machine() {
        check(
            &[],
            "127.0.0.1",
            &[
                ("127.0.0.1:7421", true),
                ("127.0.0.1", true),
                ("127.8.9.1:7421", true),
                ("[::1]:7421", true),
                ("::1", true),
                ("localhost:7421", true),
                ("LocalHost.", true),
                ("web-1.example.org:7421", true),
                ("WEB-1.example.org", true),
                ("web-1", false),
                ("evil.example", false),
                ("localhost.evil.example", false),
                ("127.0.0.1.evil.example", false),
                ("127.0.0.1@evil.example", false),
                ("10.0.0.5:7421", false),
                ("*", false),
                ("", false),
            ],
        );
    }

    #[test]
    fn the_address_that_was_reached() {
        check(
            &[],
            "10.0.0.5",
            &[
                ("10.0.0.5:7421", true),
                ("10.0.0.6:7421", false),
                ("127.0.0.1", true),
                ("[::ffff:10.0.0.5]:7421", true),
            ],
        );
        check(
            &[],
            "::ffff:10.0.0.5",
            &[("10.0.0.5:7421", true), ("10.0.0.6", false)],
        );
        check(
            &[],
            "2001:db8::5",
            &[("[2001:db8::5]:7421", true), ("[2001:db8::6]", false)],
        );
    }

    #[test]
    fn names_that_are_allowed() {
        check(
            &["Agent.internal:7421", "10.9.9.9"],
            "10.0.0.5",
            &[
                ("agent.internal:80", true),
                ("10.9.9.9:7421", true),
                ("other.internal", false),
            ],
        );
        check(&["*"], "10.0.0.5", &[("whatever.example:1", true)]);
    }
}
