//! Which variables are compared at all.

use crate::glob::matches;

/// What changes without anybody's doing, or says where the agent was started from: never compared, so never sent. `*`
/// stands for any characters.
const NEVER_COMPARED: &[&str] = &[
    // Of shells and terminals.
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "TERM",
    "TERM_*",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "WINDOWID",
    "TMUX",
    "TMUX_PANE",
    "STY",
    // Of the session that started it.
    "SSH_*",
    "SUDO_*",
    "XDG_SESSION_*",
    "DBUS_SESSION_BUS_ADDRESS",
    // What systemd sets anew for each start of a service (`systemd.exec(5)`).
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "SYSTEMD_ACTIVATION_*",
    "MAINPID",
    "MANAGERPID",
    "MANAGERPIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "FDSTORE",
    "CREDENTIALS_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "CACHE_DIRECTORY",
    "LOGS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "SERVICE_RESULT",
    "EXIT_CODE",
    "EXIT_STATUS",
    "TRIGGER_PATH",
    "TRIGGER_TIMER_MONOTONIC_USEC",
    "TRIGGER_TIMER_REALTIME_USEC",
    "TRIGGER_UNIT",
    "MONITOR_EXIT_CODE",
    "MONITOR_EXIT_STATUS",
    "MONITOR_INVOCATION_ID",
    "MONITOR_SERVICE_RESULT",
    "MONITOR_UNIT",
    // This agent's settings.
    "INFRA_WATCH_AGENT_*",
];

/// Whether it is a variable that people set, and not one that comes and goes by itself.
pub fn is_compared(name: &str) -> bool {
    is_name(name) && !is_volatile(name)
}

/// Whether it comes and goes by itself.
pub fn is_volatile(name: &str) -> bool {
    NEVER_COMPARED.iter().any(|pattern| matches(pattern, name))
}

/// Whether a shell or a service manager could have it as a name; dots and dashes are in some of `/etc/default`.
fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_other = |c: char| is_first(c) || c.is_ascii_digit() || matches!(c, '.' | '-');
    name.len() <= 256 && name.starts_with(is_first) && name.chars().all(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared() {
        let check = |name: &str, expect: bool| assert_eq!(is_compared(name), expect, "{name}");
        for name in [
            "PATH",
            "a",
            "_x",
            "A-B.c",
            "DB_PASSWORD",
            "KUBECONFIG",
            "TERMINAL",
            "XDG_DATA_DIRS",
            "LISTEN_ADDRESS",
        ] {
            check(name, true);
        }
        for name in [
            "PWD",
            "_",
            "TERM",
            "SSH_CONNECTION",
            "XDG_SESSION_ID",
            "INVOCATION_ID",
            "LISTEN_FDS",
            "WATCHDOG_USEC",
            "MEMORY_PRESSURE_WATCH",
            "INFRA_WATCH_AGENT_ENROLLMENT_KEY",
            "",
            "1A",
            "A B",
            "A\u{7}",
            "BASH_FUNC_x%%",
            "\u{fc}",
        ] {
            check(name, false);
        }
        check(&"A".repeat(257), false);
    }
}
