#!/usr/bin/env bash
# What things cost: `make bench`, once the dashboard is there.
set -euo pipefail
cd "$(dirname "$0")/.."
step=scripts/step.sh
$step "alerts, configuration, ingest, codec, head, seal, query" cargo bench --locked --package infra-watch --bench alerts --bench configuration --bench ingest --bench series
$step "backend and bench, release" cargo build --release --locked --package infra-watch --package infra-watch-bench
release=${CARGO_TARGET_DIR:-target}/release
# More arguments are the bench's, such as --quick.
$step "beside its peers" "$release/infra-watch-bench" --backend "$release/infra-watch" \
    --markdown docs/benchmarks.md --json docs/benchmarks.json "$@"
if [[ -x agent/bench.sh ]]; then $step "agent" agent/bench.sh; fi
