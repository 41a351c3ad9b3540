#!/usr/bin/env bash
# Writes openapi/openapi.json from the code; with `--check BINARY`, only says whether it is stale.
set -euo pipefail
cd "$(dirname "$0")/.."
document=openapi/openapi.json
# Beside the document, so that moving it there is atomic.
new=$(mktemp openapi/.openapi.XXXXXX)
trap 'rm -f "$new"' EXIT

if [[ ${1:-} == --check ]]; then
    "$2" openapi >"$new"
    if ! diff --unified "$document" "$new"; then
        echo "$document is stale: run make openapi and commit it" >&2
        exit 1
    fi
else
    cargo run --quiet --locked --package infra-watch -- openapi >"$new"
    chmod 644 "$new"
    mv "$new" "$document"
fi
