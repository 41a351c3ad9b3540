#!/usr/bin/env bash
# Writes docs/screenshots: `make screenshots`, once the dashboard and the tools are there.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p docs/screenshots
for test in browser_configuration browser_alerts; do
    cargo test --locked --package infra-watch --test "$test" -- --ignored --exact screenshots
done
ls -l docs/screenshots
