//! Where the backend may dial: what an address is, and whether it is permitted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

/// What an address is to a backend that dials it on somebody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anywhere on the internet.
    Public,
    /// In a network of one's own: RFC 1918, RFC 6598, unique local, site-local.
    Private,
    /// The backend's own machine.
    Loopback,
    /// On the link, where clouds hand out credentials; and their metadata services at other addresses.
    LinkLocal,
    /// Another way to write an IPv4 address, which a gateway on the way may turn into any.
    Translated,
    /// Nobody's: multicast, documentation, benchmarks, discard, Teredo, not yet given out.
    Reserved,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local or a metadata service",
            Self::Translated => "a translated form of an IPv4 address",
            Self::Reserved => "reserved",
        }
    }
}

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// A network by the first and the last segments of its address.
const fn v6(head: [u16; 3], tail: [u16; 3], prefix: u8) -> Ipv6Net {
    let ([a, b, c], [f, g, h]) = (head, tail);
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, f, g, h), prefix)
}

/// Networks of IPv4 that are not public; the first that holds an address counts.
const IPV4: [(Ipv4Net, Kind); 19] = [
    // Alibaba's, Azure's and Oracle's metadata services.
    (v4([100, 100, 100, 200], 32), Kind::LinkLocal),
    (v4([168, 63, 129, 16], 32), Kind::LinkLocal),
    (v4([192, 0, 0, 192], 32), Kind::LinkLocal),
    (v4([169, 254, 0, 0], 16), Kind::LinkLocal),
    // "This network": Linux takes 0.0.0.0 to itself.
    (v4([0, 0, 0, 0], 8), Kind::Loopback),
    (v4([127, 0, 0, 0], 8), Kind::Loopback),
    (v4([10, 0, 0, 0], 8), Kind::Private),
    (v4([172, 16, 0, 0], 12), Kind::Private),
    (v4([192, 168, 0, 0], 16), Kind::Private),
    (v4([100, 64, 0, 0], 10), Kind::Private),
    (v4([192, 0, 0, 0], 24), Kind::Reserved),
    (v4([192, 0, 2, 0], 24), Kind::Reserved),
    (v4([198, 51, 100, 0], 24), Kind::Reserved),
    (v4([203, 0, 113, 0], 24), Kind::Reserved),
    (v4([192, 31, 196, 0], 24), Kind::Reserved),
    (v4([192, 88, 99, 0], 24), Kind::Reserved),
    (v4([198, 18, 0, 0], 15), Kind::Reserved),
    (v4([224, 0, 0, 0], 4), Kind::Reserved),
    (v4([240, 0, 0, 0], 4), Kind::Reserved),
];

/// Networks of IPv6; the first that holds an address counts, and what none holds is reserved.
const IPV6: [(Ipv6Net, Kind); 18] = [
    // Amazon's and Google's metadata services.
    (v6([0xfd00, 0xec2, 0], [0, 0, 0x254], 128), Kind::LinkLocal),
    (v6([0xfd20, 0xce, 0], [0, 0, 0x254], 128), Kind::LinkLocal),
    (v6([0xfe80, 0, 0], [0, 0, 0], 10), Kind::LinkLocal),
    // The unspecified address reaches the machine itself.
    (v6([0, 0, 0], [0, 0, 0], 128), Kind::Loopback),
    (v6([0, 0, 0], [0, 0, 1], 128), Kind::Loopback),
    // IPv4-compatible, IPv4-mapped.
    (v6([0, 0, 0], [0, 0, 0], 96), Kind::Translated),
    (v6([0, 0, 0], [0xffff, 0, 0], 96), Kind::Translated),
    // SIIT's "IPv4-translated", whose ffff stands one segment earlier.
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96),
        Kind::Translated,
    ),
    // NAT64, well-known and local; 6to4.
    (v6([0x64, 0xff9b, 0], [0, 0, 0], 96), Kind::Translated),
    (v6([0x64, 0xff9b, 1], [0, 0, 0], 48), Kind::Translated),
    (v6([0x2002, 0, 0], [0, 0, 0], 16), Kind::Translated),
    (v6([0xfc00, 0, 0], [0, 0, 0], 7), Kind::Private),
    (v6([0xfec0, 0, 0], [0, 0, 0], 10), Kind::Private),
    // Protocol assignments, with Teredo, benchmarks and ORCHID among them; documentation; the direct relays of AS112.
    (v6([0x2001, 0, 0], [0, 0, 0], 23), Kind::Reserved),
    (v6([0x2001, 0xdb8, 0], [0, 0, 0], 32), Kind::Reserved),
    (v6([0x3fff, 0, 0], [0, 0, 0], 20), Kind::Reserved),
    (v6([0x2620, 0x4f, 0x8000], [0, 0, 0], 48), Kind::Reserved),
    (v6([0x2000, 0, 0], [0, 0, 0], 3), Kind::Public),
];

/// What an address is.
pub fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => IPV4
            .iter()
            .find(|(network, _)| network.contains(&address))
            .map_or(Kind::Public, |(_, kind)| *kind),
        IpAddr::V6(address) => IPV6
            .iter()
            .find(|(network, _)| network.contains(&address))
            .map_or(Kind::Reserved, |(_, kind)| *kind),
    }
}

/// What is dialled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Webhooks and mail.
    Notification,
    /// Polls and SSH: the fleet is where private addresses are.
    Collection,
}

/// An address that is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the address {address} is {}{}", kind.words(), remedy(*purpose, *kind))]
pub struct Refusal {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub kind: Kind,
    /// What it was to be dialled for.
    pub purpose: Purpose,
}

/// What an admin may do about a refusal.
fn remedy(purpose: Purpose, kind: Kind) -> &'static str {
    match (purpose, kind) {
        (Purpose::Notification, _) => ": --egress-allow must name it",
        (Purpose::Collection, Kind::Loopback) => ": it needs --allow-private-egress",
        (Purpose::Collection, _) => ", which no host is collected from",
    }
}

/// What the admin permits beyond the internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// Networks that are permitted whatever they are.
    pub allow: Vec<IpNet>,
    /// Whether private networks and the own machine are permitted too, as in labs.
    pub allow_private: bool,
}

impl EgressRules {
    /// Whether an address may be dialled.
    ///
    /// # Errors
    /// With the address and what it is, when it may not.
    pub fn permits(&self, purpose: Purpose, address: IpAddr) -> Result<(), Refusal> {
        let kind = kind(address);
        let is_permitted = match (purpose, kind) {
            (_, Kind::Public) | (Purpose::Collection, Kind::Private) => true,
            (Purpose::Collection, Kind::Loopback) => self.allow_private,
            (Purpose::Collection, _) => false,
            (Purpose::Notification, Kind::Private | Kind::Loopback) => {
                self.allow_private || self.names(address)
            }
            (Purpose::Notification, _) => self.names(address),
        };
        if is_permitted {
            Ok(())
        } else {
            Err(Refusal {
                address,
                kind,
                purpose,
            })
        }
    }

    /// Whether a network of `allow` holds the address. Dialling a mapped one dials the IPv4 address in it, so either
    /// names it.
    fn names(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.allow
            .iter()
            .any(|network| network.contains(&address) || network.contains(&canonical))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let check = |expect: Kind, addresses: &str| {
            for address in addresses.split_whitespace() {
                assert_eq!(kind(address.parse().unwrap()), expect, "{address}");
            }
        };
        check(
            Kind::Public,
            "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
             169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
             223.255.255.255 2000:: 2001:200:: 2606:4700:4700::1111 2a00:1450:4001::200e 3ffe::1",
        );
        check(
            Kind::Private,
            "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 100.64.0.0
             100.127.255.255 fc00:: fd12:3456:789a::1 fdff:ffff:: fec0::1 feff::1",
        );
        check(
            Kind::Loopback,
            "127.0.0.1 127.255.255.255 0.0.0.0 0.1.2.3 ::1 ::",
        );
        check(
            Kind::LinkLocal,
            "169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255 100.100.100.200 168.63.129.16 192.0.0.192
             fe80:: fe80::1 febf::1 fd00:ec2::254 fd20:ce::254",
        );
        check(
            Kind::Translated,
            "::ffff:10.0.0.5 ::ffff:1.1.1.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::10.0.0.5 ::127.0.0.1 ::2
             ::ffff:0:10.0.0.5 64:ff9b::10.0.0.5 64:ff9b::1.1.1.1 64:ff9b:1::10.0.0.5 64:ff9b:1:ffff::1
             2002:0a00:0005::1 2002:7f00:1::",
        );
        check(
            Kind::Reserved,
            "192.0.0.1 192.0.0.255 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 198.18.0.1 198.19.255.255
             224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
             2001:2::1 2001:10::1 2001:1ff::1 2001:db8::1 3fff:fff::1 100::1 100:0:0:1::1 5f00::1 4000::1
             ff02::1 ff0e::1 64:ff9b:2::1 1::1 fe00::1",
        );
    }

    #[test]
    fn what_webhooks_and_mail_may_dial() {
        let check = |allow: &str, allow_private: bool, permitted: &str, refused: &str| {
            let rules = EgressRules {
                allow: allow
                    .split_whitespace()
                    .map(|network| network.parse().unwrap())
                    .collect(),
                allow_private,
            };
            let answers = |addresses: &str, expect: bool| {
                for address in addresses.split_whitespace() {
                    let answer = rules.permits(Purpose::Notification, address.parse().unwrap());
                    assert_eq!(answer.is_ok(), expect, "{allow} {allow_private} {address}");
                }
            };
            answers(permitted, true);
            answers(refused, false);
        };
        check(
            "",
            false,
            "1.1.1.1 2606:4700::1",
            "10.0.0.5 127.0.0.1 ::1 fd12::1 169.254.169.254 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101:: 224.0.0.1",
        );
        check(
            "",
            true,
            "1.1.1.1 10.0.0.5 127.0.0.1 ::1 fd12::1",
            "169.254.169.254 fe80::1 fd00:ec2::254 100.100.100.200 ::ffff:10.0.0.5 ::ffff:1.1.1.1 240.0.0.1",
        );
        check(
            "10.0.0.0/24 169.254.169.254/32 fd12::/16",
            false,
            "10.0.0.5 ::ffff:10.0.0.5 169.254.169.254 fd12::1 1.1.1.1",
            "10.0.1.5 ::ffff:10.0.1.5 169.254.169.253 127.0.0.1 64:ff9b::10.0.0.5 2002:a00:5:: ::10.0.0.5",
        );
        check(
            "::ffff:0:0/96 64:ff9b::/96",
            false,
            "::ffff:10.0.0.5 64:ff9b::10.0.0.5",
            "10.0.0.5 64:ff9b:1::1",
        );
        check("0.0.0.0/0", false, "10.0.0.5 127.0.0.1", "::1 fe80::1");
    }

    #[test]
    fn what_polls_and_ssh_may_dial() {
        let check = |allow_private: bool, addresses: &str, expect: bool| {
            let rules = EgressRules {
                allow: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
                allow_private,
            };
            for address in addresses.split_whitespace() {
                let answer = rules.permits(Purpose::Collection, address.parse().unwrap());
                assert_eq!(answer.is_ok(), expect, "{allow_private} {address}");
            }
        };
        let never = "169.254.169.254 fe80::1 fd00:ec2::254 100.100.100.200 ::ffff:10.0.0.5 ::ffff:169.254.169.254
             64:ff9b::a9fe:a9fe 2002:a00:5:: 224.0.0.1 240.0.0.1";
        for allow_private in [false, true] {
            check(allow_private, "1.1.1.1 10.0.0.5 192.168.1.1 fd12::1", true);
            check(allow_private, "127.0.0.1 ::1 0.0.0.0", allow_private);
            check(allow_private, never, false);
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let say = |purpose, address: &str, expect: &str| {
            let refusal = EgressRules::default()
                .permits(purpose, address.parse().unwrap())
                .unwrap_err();
            assert_eq!(refusal.to_string(), expect);
        };
        say(
            Purpose::Collection,
            "127.0.0.1",
            "the address 127.0.0.1 is loopback: it needs --allow-private-egress",
        );
        say(
            Purpose::Collection,
            "169.254.169.254",
            "the address 169.254.169.254 is link-local or a metadata service, which no host is collected from",
        );
        let check = |address, expect| say(Purpose::Notification, address, expect);
        check(
            "10.0.0.5",
            "the address 10.0.0.5 is private: --egress-allow must name it",
        );
        check(
            "fe80::1",
            "the address fe80::1 is link-local or a metadata service: --egress-allow must name it",
        );
        check(
            "::ffff:8.8.8.8",
            "the address ::ffff:8.8.8.8 is a translated form of an IPv4 address: --egress-allow must name it",
        );
    }
}
