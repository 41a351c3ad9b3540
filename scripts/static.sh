#!/usr/bin/env bash
# Static binaries: static.sh [x86_64|aarch64]… [infra-watch|infra-watch-agent]… leaves target/static/<arch>/<binary>, all
# of them if nothing is said (`make static`).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=() arches=()
for argument in "$@"; do
    case $argument in
        infra-watch | infra-watch-agent) packages+=("$argument") ;;
        x86_64 | aarch64) arches+=("$argument") ;;
        *) echo "usage: static.sh [x86_64|aarch64]… [infra-watch|infra-watch-agent]…" >&2 && exit 2 ;;
    esac
done
((${#packages[@]})) || packages=(infra-watch-agent infra-watch)
((${#arches[@]})) || arches=(x86_64 aarch64)

# The same bytes wherever they are built: no path of this machine is inside.
rust=() c=()
for place in "$PWD=/infra-watch" "$(realpath -m "${CARGO_TARGET_DIR:-target}")=/infra-watch/target" \
    "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$(rustc --print sysroot)=/rust"; do
    rust+=("--remap-path-prefix=$place")
    c+=("-ffile-prefix-map=$place")
done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${rust[*]}")
export CARGO_ENCODED_RUSTFLAGS
export CFLAGS_x86_64_unknown_linux_musl=${c[*]}

# Debian has no musl for aarch64: C parts are compiled with glibc's headers, which serves as long as nothing of its
# fortification gets in.
export CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc
export CFLAGS_aarch64_unknown_linux_musl="${c[*]} -U_FORTIFY_SOURCE"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld

for arch in "${arches[@]}"; do
    target=$arch-unknown-linux-musl
    for package in "${packages[@]}"; do
        profile=dist
        [[ $package == infra-watch ]] || profile=agent
        scripts/step.sh "$package for $target" \
            cargo build --locked --profile "$profile" --target "$target" --package "$package"
        install -D "${CARGO_TARGET_DIR:-target}/$target/$profile/$package" "target/static/$arch/$package"
        ls -l "target/static/$arch/$package"
    done
done
