#!/usr/bin/env bash
# The tests of what is kept, at full length: `make torture`, before a release.
set -euo pipefail
cd "$(dirname "$0")/.."
step=scripts/step.sh
export CRASH_ROUNDS=${CRASH_ROUNDS:-1000} POWER_CUTS=${POWER_CUTS:-10000} SNAPSHOT_HOSTS=${SNAPSHOT_HOSTS:-100} \
    PULL_SECONDS=${PULL_SECONDS:-120}

$step "build" cargo build --locked --package infra-watch --tests --bins
if command -v cargo-nextest >/dev/null; then
    run=(cargo nextest run --profile torture)
else
    run=(cargo test)
fi
$step "torture" "${run[@]}" --locked --package infra-watch \
    --test crash --test told_after_crash --test power_cut --test full_disk --test clock --test snapshot_size \
    --test pull
