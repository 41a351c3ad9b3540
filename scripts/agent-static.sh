#!/usr/bin/env bash
# Static agents for x86_64 and aarch64: `make agent-static`.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in musl-gcc:musl-tools aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu; do
    if ! command -v "${tool%%:*}" >/dev/null; then
        printf 'missing: %s\n    install it with: sudo apt-get install %s\n' "${tool%%:*}" "${tool#*:}" >&2
        exit 1
    fi
done
export CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
    [[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]] || rustup target add "$target"
    scripts/step.sh "agent for $target" \
        cargo build --locked --profile agent --target "$target" --package infra-watch-agent
    ls -l "${CARGO_TARGET_DIR:-target}/$target/agent/infra-watch-agent"
done
