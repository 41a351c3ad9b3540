//! What Linux says of a process and of the machine.

use std::fs;

use anyhow::{Context as _, Result};

/// Clock ticks of `/proc/PID/stat` in a second, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds of a process so far, its own and the system's for it.
pub fn cpu_seconds(process_id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat"))?;
    parse_cpu_seconds(&stat).context("/proc/PID/stat is not understood")
}

/// Most memory that a process ever had resident, in bytes.
pub fn peak_resident_bytes(process_id: u32) -> Result<u64> {
    status_bytes(process_id, "VmHWM")
}

/// Memory that a process has resident, in bytes.
pub fn resident_bytes(process_id: u32) -> Result<u64> {
    status_bytes(process_id, "VmRSS")
}

fn status_bytes(process_id: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process_id}/status"))?;
    parse_status_bytes(&status, name).with_context(|| format!("/proc/PID/status lacks {name}"))
}

fn parse_cpu_seconds(stat: &str) -> Option<f64> {
    // The name may hold anything, spaces and brackets too.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn parse_status_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Load averages over 1, 5 and 15 minutes.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The processor's name.
pub fn cpu_model() -> String {
    value_of("/proc/cpuinfo", "model name")
}

/// All memory of the machine, in bytes.
pub fn memory_bytes() -> u64 {
    let kibibytes = value_of("/proc/meminfo", "MemTotal");
    let kibibytes = kibibytes.trim_end_matches("kB").trim().parse::<u64>();
    kibibytes.unwrap_or_default() * 1024
}

/// The kernel's release.
pub fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

fn value_of(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let value = pairs.find_map(|(key, value)| (key.trim() == name).then_some(value.trim()));
    value.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat =
            "7 (a) b) c) S 1 7 7 0 -1 4194560 900 0 3 0 250 125 9 9 20 0 4 0 100 1000 50 18446744";
        assert_eq!(parse_cpu_seconds(stat), Some(3.75));
        assert_eq!(parse_cpu_seconds("7 (short) S 1"), None);
        assert!(cpu_seconds(std::process::id()).is_ok());
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_status_bytes(status, "VmHWM"), Some(2 << 20));
        assert_eq!(parse_status_bytes(status, "VmRSS"), Some(1 << 20));
        assert_eq!(parse_status_bytes(status, "VmSwap"), None);
    }
}
