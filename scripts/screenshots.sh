#!/usr/bin/env bash
# Writes docs/screenshots: `make screenshots`, once the dashboard and the tools are there.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p docs/screenshots
cargo test --locked --package infra-watch --test browser_configuration -- --ignored --exact screenshots
ls -l docs/screenshots
