#!/usr/bin/env bash
# Every test: `make test`, once the dashboard and the tools are there.
set -euo pipefail
cd "$(dirname "$0")/.."
step=scripts/step.sh

# Binaries too: tests start the real backend and the real agent.
$step "build" cargo build --locked --workspace --tests --bins
if command -v cargo-nextest >/dev/null; then
    $step "tests" cargo nextest run --locked --workspace
else
    $step "tests" cargo test --locked --workspace --tests
fi
# Of both processors: the other one's runs under qemu.
scripts/static.sh infra-watch-agent
$step "deployments" target/deploy/bin/pytest --quiet deploy/tests
