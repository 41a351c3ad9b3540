#!/usr/bin/env bash
# What a change must pass beside its tests: `make check`.
set -euo pipefail
cd "$(dirname "$0")/.."
step=scripts/step.sh

$step "format" cargo fmt --all --check
$step "clippy" cargo clippy --locked --workspace --all-targets -- --deny warnings
$step "clippy, dashboard for the browser" \
    cargo clippy --locked --package infra-watch-dashboard --target wasm32-unknown-unknown -- --deny warnings
RUSTDOCFLAGS="--deny warnings" $step "documentation" cargo doc --locked --workspace --no-deps
$step "dependencies" cargo deny --log-level error --locked check bans licenses sources
# The same build as for the tests, so that it is made once.
$step "build" cargo build --locked --workspace --tests --bins
$step "openapi.json is what the code says" scripts/openapi.sh --check "${CARGO_TARGET_DIR:-target}/debug/infra-watch"
