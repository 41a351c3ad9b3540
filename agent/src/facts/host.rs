//! The host's own facts: names, system, addresses, size.

use std::path::Path;

use super::os_release::pretty_name;
use crate::measure::{cpu, memory, network, read_text};

/// What the host says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Host name.
    pub hostname: String,
    /// The system's machine id, for telling clones apart; empty if it has none.
    pub machine_id: String,
    /// Changes with each start of the machine.
    pub boot_id: String,
    /// The operating system's name for people.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor architecture.
    pub architecture: String,
    /// Addresses by which others may reach it.
    pub addresses: Vec<String>,
    /// Number of processors.
    pub cpu_count: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// Longest of each text that the contract takes, in characters.
const MAX_HOSTNAME_CHARS: usize = 253;
const MAX_TEXT_CHARS: usize = 256;
const MAX_ARCHITECTURE_CHARS: usize = 64;
/// Most addresses that the contract takes.
const MAX_ADDRESSES: usize = 256;

impl Host {
    /// Reads the facts of the system whose root directory is `root`. What cannot be read is empty: facts never fail.
    pub fn read(root: &Path) -> Self {
        let uname = rustix::system::uname();
        let first_of = |paths: &[&str]| paths.iter().find_map(|path| read_text(&root.join(path)));
        let hostname = clean(&uname.nodename().to_string_lossy(), MAX_HOSTNAME_CHARS);
        let os = first_of(&["etc/os-release", "usr/lib/os-release"])
            .and_then(|text| pretty_name(&text))
            .unwrap_or_else(|| uname.sysname().to_string_lossy().into_owned());
        let cpu_count = first_of(&["proc/stat"])
            .map(|text| cpu::count(&text))
            .unwrap_or_default();
        let memory = first_of(&["proc/meminfo"]).and_then(|text| memory::parse(&text));
        let mut addresses = network::addresses();
        addresses.truncate(MAX_ADDRESSES);
        let text = |paths: &[&str]| clean(&first_of(paths).unwrap_or_default(), MAX_TEXT_CHARS);
        Self {
            hostname: if hostname.is_empty() {
                "localhost".to_owned()
            } else {
                hostname
            },
            machine_id: text(&["etc/machine-id", "var/lib/dbus/machine-id"]),
            boot_id: text(&["proc/sys/kernel/random/boot_id"]),
            os: clean(&os, MAX_TEXT_CHARS),
            kernel: clean(&uname.release().to_string_lossy(), MAX_TEXT_CHARS),
            architecture: clean(&uname.machine().to_string_lossy(), MAX_ARCHITECTURE_CHARS),
            addresses,
            cpu_count: u32::try_from(cpu_count).unwrap_or(u32::MAX),
            memory_bytes: memory
                .map(|memory| memory.total_bytes())
                .unwrap_or_default(),
        }
    }
}

/// Text without control characters, cut to what the contract takes.
fn clean(text: &str, max_chars: usize) -> String {
    text.trim()
        .chars()
        .filter(|character| !character.is_control())
        .take(max_chars)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/debian-12-vm");
        let host = Host::read(&root);
        assert_eq!(host.os, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!((host.cpu_count, host.memory_bytes), (2, 24_684_084 * 1024));
        assert_eq!(host.machine_id, "");
        assert!(!host.hostname.is_empty() && !host.kernel.is_empty());
    }

    #[test]
    fn texts_are_made_harmless() {
        let check = |text, expect| assert_eq!(clean(text, 5), expect, "{text:?}");
        check("web-1\n", "web-1");
        check(" a\u{1b}[b\0 ", "a[b");
        check(
            "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
            "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
        );
    }
}
