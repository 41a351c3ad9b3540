//! Traffic of the interfaces from `/proc/net/dev`, and the machine's addresses.

use std::net::IpAddr;

use super::rate::Counters;

/// Beginnings of the names of interfaces that are one end of a pipe inside this machine: their traffic is counted
/// at the other end, and they come and go with containers and guests.
const INNER: &[&str] = &[
    "veth",
    "cali",
    "lxc",
    "tap",
    "vnet",
    "ifb",
    "dummy",
    "fwpr",
    "fwln",
    "fwbr",
    "tunl",
    "sit",
    "ip6tnl",
    "kube-ipvs",
    "nodelocaldns",
];

/// Bytes received and sent of every interface that leads somewhere and was used once.
pub fn parse(text: &str) -> Option<Counters> {
    let mut lines = text.lines();
    lines.next()?.contains("Receive").then_some(())?;
    let mut counters = Counters::new();
    for line in lines.skip(1) {
        let (name, numbers) = line.split_once(':')?;
        let mut numbers = numbers.split_ascii_whitespace();
        let received: u64 = numbers.next()?.parse().ok()?;
        let sent: u64 = numbers.nth(7)?.parse().ok()?;
        let name = name.trim();
        if is_reported(name) && received + sent > 0 {
            counters.push((name.to_owned(), [received, sent]));
        }
    }
    Some(counters)
}

fn is_reported(name: &str) -> bool {
    name != "lo" && !INNER.iter().any(|prefix| name.starts_with(prefix))
}

/// The addresses by which others may reach this machine, in a stable order: IPv4 first.
pub fn addresses() -> Vec<String> {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else {
        return Vec::new();
    };
    let mut addresses: Vec<IpAddr> = networks
        .iter()
        .filter(|(name, _)| name.to_str().is_some_and(is_reported))
        .flat_map(|(_, network)| network.ip_networks().iter().map(|network| network.addr))
        .filter(|address| is_reachable(*address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
        .into_iter()
        .map(|address| address.to_string())
        .collect()
}

fn is_reachable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces() {
        let check = |text, expect: &[(&str, [u64; 2])]| {
            let found = parse(text).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|(name, pair)| (name.as_str(), *pair))
                .collect();
            assert_eq!(found, expect);
        };
        check(
            include_str!("../../tests/fixtures/debian-12-vm/proc/net/dev"),
            &[("eth0", [466_736_605, 1_086_442])],
        );
        check(
            "Inter-| Receive | Transmit\n face |bytes\n  br0: 5 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0\nveth1:9 0 0 0 0 0 0 0 9 0\n",
            &[("br0", [5, 7])],
        );
        assert_eq!(parse(""), None);
        assert_eq!(parse("Inter-| Receive\n face\n eth0: 5 x\n"), None);
    }

    #[test]
    fn reachable_addresses() {
        let check = |address: &str, expect| {
            assert_eq!(is_reachable(address.parse().unwrap()), expect, "{address}");
        };
        check("10.0.0.5", true);
        check("2001:db8::5", true);
        check("fd00::5", true);
        check("127.0.0.1", false);
        check("169.254.1.1", false);
        check("fe80::1", false);
        check("::1", false);
        check("0.0.0.0", false);
    }
}
