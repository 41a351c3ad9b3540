#!/usr/bin/env bash
# Runs a command under a title and says how long it took: step.sh TITLE COMMAND…
set -euo pipefail
title=$1
shift
printf '\n== %s\n' "$title"
start=$SECONDS
status=0
"$@" || status=$?
if ((status)); then
    printf '== %s: failed after %d s\n' "$title" $((SECONDS - start)) >&2
    exit "$status"
fi
printf '== %s: done in %d s\n' "$title" $((SECONDS - start))
