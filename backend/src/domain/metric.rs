//! The catalogue of metrics: name, unit and meaning of each that Infra-Watch's own agent sends.

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, `^[a-z][a-z0-9_]{0,63}$`, the unit in it.
    pub name: &'static str,
    /// Unit, in UCUM as OpenTelemetry writes it: `%`, `By/s`, `s`, `1`.
    pub unit: &'static str,
    /// What the instance is, where there is one.
    pub instance: Option<&'static str>,
    /// One sentence.
    pub description: &'static str,
}

/// Every metric that the agent measures by itself; others are kept as custom gauges.
pub const CATALOG: &[Metric] = &[
    metric(
        "cpu_usage_percent",
        "%",
        None,
        "Time that the processors were not idle, of all processors together.",
    ),
    metric(
        "memory_usage_percent",
        "%",
        None,
        "Memory that is not available for new work, of all memory.",
    ),
    metric("swap_usage_percent", "%", None, "Swap in use, of all swap."),
    metric(
        "disk_usage_percent",
        "%",
        Some("mount point"),
        "Space used, of the space that users may fill, as df says it.",
    ),
    metric(
        "load1",
        "1",
        None,
        "Mean number of runnable or blocked tasks over 1 minute.",
    ),
    metric(
        "load5",
        "1",
        None,
        "Mean number of runnable or blocked tasks over 5 minutes.",
    ),
    metric(
        "load15",
        "1",
        None,
        "Mean number of runnable or blocked tasks over 15 minutes.",
    ),
    metric(
        "uptime_seconds",
        "s",
        None,
        "Time since the machine started.",
    ),
    metric(
        "network_receive_bytes_per_second",
        "By/s",
        Some("interface"),
        "Bytes received, per second.",
    ),
    metric(
        "network_transmit_bytes_per_second",
        "By/s",
        Some("interface"),
        "Bytes sent, per second.",
    ),
    metric(
        "disk_read_bytes_per_second",
        "By/s",
        Some("device"),
        "Bytes read from the device, per second.",
    ),
    metric(
        "disk_write_bytes_per_second",
        "By/s",
        Some("device"),
        "Bytes written to the device, per second.",
    ),
    metric("process_count", "1", None, "Number of processes."),
];

const fn metric(
    name: &'static str,
    unit: &'static str,
    instance: Option<&'static str>,
    description: &'static str,
) -> Metric {
    Metric {
        name,
        unit,
        instance,
        description,
    }
}

/// The catalogue's entry for `name`.
pub fn find(name: &str) -> Option<&'static Metric> {
    CATALOG.iter().find(|metric| metric.name == name)
}

/// The unit of `name`; a custom gauge has none that we know.
pub fn unit(name: &str) -> &'static str {
    find(name).map_or("1", |metric| metric.unit)
}

/// Whether `name` is well-formed: `^[a-z][a-z0-9_]{0,63}$`.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && name.len() <= 64
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |name: &str, expect| assert_eq!(is_name(name), expect, "{name}");
        check("cpu_usage_percent", true);
        check("load1", true);
        check(&"a".repeat(64), true);
        check(&"a".repeat(65), false);
        check("", false);
        check("1load", false);
        check("Load", false);
        check("cpu-usage", false);
        check("cpu usage", false);
        assert!(CATALOG.iter().all(|metric| is_name(metric.name)));
    }
}
