#!/usr/bin/env bash
# The version of everything here: that of the workspace.
set -euo pipefail
sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml"
