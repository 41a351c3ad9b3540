//! An agent that reports at once: a shell script for hosts that SSH servers of tests are.

use serde_json::json;

/// The body of a script that reports as an agent does; each state directory is a host of its own.
pub fn quick_agent() -> String {
    let report = json!({
        "report_id": "ID", "agent_version": "0.1.0", "sent_at": "SENT", "interval_seconds": 30,
        "snapshot_interval_seconds": 3600,
        "host": {
            "install_id": "ID", "hostname": "quick", "machine_id": "ID", "boot_id": "b", "os": "Debian",
            "os_family": "linux", "kernel": "6.1", "architecture": "x86_64", "addresses": [], "cpu_count": 2,
            "memory_bytes": 1024,
        },
        "series": [{ "metric": "cpu_usage_percent" }],
    });
    let report = report.to_string();
    let open = report.strip_suffix('}').unwrap();
    format!(
        "id=$(cat \"$3/id\"); now=$(date +%s); sent=$(date -u +%Y-%m-%dT%H:%M:%SZ)\n\
         echo '{open},' | sed \"s/\\\"ID\\\"/\\\"$id\\\"/g; s/SENT/$sent/\"\n\
         echo \"\\\"points\\\":[{{\\\"at\\\":$now,\\\"values\\\":[1]}}]}}\""
    )
}
