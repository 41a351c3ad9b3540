#!/bin/sh
# Measures what the static agent costs: size, memory, and processor time of 100 collections, each sent to a real backend.
# Usage: agent/bench.sh [COLLECTIONS]   (default 100, one a second)
# AGENT and BACKEND name other binaries; the backend is taken from target/release, else target/debug.
set -eu
cd "$(dirname "$0")/.."

collections=${1:-100}
target=$(uname -m)-unknown-linux-musl
agent=${AGENT:-target/$target/agent/infra-watch-agent}
backend=${BACKEND:-target/release/infra-watch}
[ -x "$backend" ] || backend=target/debug/infra-watch

if [ -z "${AGENT:-}" ]; then
    cargo build --quiet --profile agent --target "$target" -p infra-watch-agent
fi
if [ ! -x "$backend" ]; then
    echo "there is no backend to send to: run 'make build' first, or set BACKEND" >&2
    exit 1
fi

work=$(mktemp -d)
agent_pid='' backend_pid=''
cleanup() {
    for pid in $agent_pid $backend_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# Waits up to 30 s for a command to succeed.
wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            echo "gave up waiting for: $*" >&2
            cat "$work"/*.log >&2
            exit 1
        fi
        sleep 0.1
    done
}
reports_sent() { grep -c 'report sent' "$work/agent.log" || true; }
has_sent() { [ "$(reports_sent)" -ge "$1" ]; }
# Nanoseconds on a processor, of all threads.
cpu_ns() { cat /proc/"$agent_pid"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
memory_kib() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$agent_pid/smaps_rollup"; }

# One of many ports: that two programs want the same is unlikely, and the backend says so.
port=$((10000 + $(od -An -N2 -tu2 /dev/urandom) % 20000))
key=bench-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
INFRA_WATCH_ENROLLMENT_KEY=$key "$backend" serve --listen 127.0.0.1:"$port" --data-dir "$work/data" \
    >"$work/backend.log" 2>&1 &
backend_pid=$!
wait_for grep ' serves ' "$work/backend.log"
INFRA_WATCH_AGENT_ENROLLMENT_KEY=$key "$agent" run --server "http://127.0.0.1:$port" --interval 1s \
    --state-dir "$work/state" >"$work/agent.log" 2>&1 &
agent_pid=$!

# The first reports pay for the start.
wait_for has_sent 3
first=$(reports_sent) cpu_before=$(cpu_ns)
sleep "$collections"
sent=$(($(reports_sent) - first)) cpu=$(($(cpu_ns) - cpu_before))

awk -v bytes="$(wc -c <"$agent")" -v rss="$(memory_kib Rss)" -v anonymous="$(memory_kib Anonymous)" \
    -v cpu="$cpu" -v sent="$sent" 'BEGIN {
    if (sent < 1) { print "nothing was sent"; exit 1 }
    seconds = cpu / 1e9 / sent * 100
    row = "%-44s %10s   %s\n"
    printf row, "agent, of " sent " collections", "measured", "aim"
    printf row, "binary, MB", sprintf("%.2f", bytes / 1e6), "4"
    printf row, "resident memory, MiB", sprintf("%.2f", rss / 1024), "6"
    printf row, "anonymous memory, MiB", sprintf("%.2f", anonymous / 1024), "2"
    printf row, "CPU-seconds of 100 collections and reports", sprintf("%.4f", seconds), "0.06"
    exit !(bytes <= 4e6 && rss <= 6 * 1024 && anonymous <= 2 * 1024 && seconds <= 0.06)
}'
