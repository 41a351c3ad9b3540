#!/usr/bin/env bash
# What things cost: `make bench`, once the dashboard is there.
set -euo pipefail
cd "$(dirname "$0")/.."
step=scripts/step.sh
$step "encoding and parsing" cargo bench --locked --package infra-watch --bench ingest
$step "posts end to end" cargo bench --locked --package infra-watch --bench load
if [[ -x agent/bench.sh ]]; then $step "agent" agent/bench.sh; fi
