#!/usr/bin/env bash
# .deb and .rpm of backend and agent in target/packages: `make packages`, once `make static` has left the binaries.
#   packages.sh [--binaries DIR] [--version VERSION] [--output DIR] [--fast]
# Without --binaries it takes target/static/<arch> of each architecture that is there; with it, binaries of this machine's.
set -euo pipefail
cd "$(dirname "$0")/.."

binaries='' version=$(scripts/version.sh) output=target/packages speed=()
while (($#)); do
    case $1 in
        --binaries) binaries=$2 && shift 2 ;;
        --version) version=$2 && shift 2 ;;
        --output) output=$2 && shift 2 ;;
        --fast) speed=(--fast) && shift ;;
        *) sed -n '2,4s/^# \?//p' "$0" >&2 && exit 2 ;;
    esac
done

host=$(uname -m)
if [[ -n $binaries ]]; then
    architectures=("$host")
else
    architectures=()
    for directory in target/static/*/; do
        [[ ! -x $directory/infra-watch ]] || architectures+=("$(basename "$directory")")
    done
    if ((${#architectures[@]} == 0)); then
        echo "target/static has no binaries: run make static, or name a directory with --binaries" >&2
        exit 1
    fi
fi
# from ARCHITECTURE: where its binaries are.
from() { printf '%s' "${binaries:-target/static/$1}"; }

# Every file is as old as the commit, so that the same commit gives the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
stage=target/packages/stage
rm -rf "$stage"
mkdir -p "$output"

# set_key FILE KEY VALUE: sets one key of the settings, which stands there once, commented out or not.
set_key() {
    sed --in-place -E "s|^(# ?)?$2 = .*|$2 = \"$3\"|" "$1"
    if [[ $(grep -c "^$2 = \"$3\"$" "$1") != 1 ]]; then
        echo "the default settings have no single line for $2" >&2
        exit 1
    fi
}

# texts PACKAGE: everything in a package that is the same for all architectures and not in the repository.
texts() {
    local package=$1 to=$stage/$1 run
    run=$(from "$host")/$package
    mkdir -p "$to"/{man,doc,rpm}
    "$run" man "$to/man"
    gzip -9 --no-name "$to"/man/*
    local shell
    for shell in bash zsh fish; do "$run" completions "$shell" >"$to/completions.$shell"; done

    "$run" config default >"$to/settings.toml"
    if [[ $package == infra-watch ]]; then
        set_key "$to/settings.toml" data_dir /var/lib/infra-watch
        set_key "$to/settings.toml" admin_password_file /etc/infra-watch/admin-password
    else
        set_key "$to/settings.toml" state_dir /var/lib/infra-watch-agent
        set_key "$to/settings.toml" enrollment_key_file /etc/infra-watch/enrollment-key
    fi
    "$run" config check "$to/settings.toml"

    gzip -9 --no-name --stdout CHANGELOG.md >"$to/doc/changelog.gz"
    printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$package" "${version/-/\~}" \
        "$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' backend/Cargo.toml)" \
        "$(LC_ALL=C date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")" | gzip -9 --no-name >"$to/doc/changelog.Debian.gz"
    [[ ! -x scripts/licences.sh ]] || scripts/licences.sh >"$to/doc/THIRD-PARTY"

    sed "s/@package@/$package/g" deploy/packages/deb/lintian-overrides >"$to/lintian-overrides"
    local script
    for script in deploy/packages/rpm/*.sh; do
        sed "s/@package@/$package/g" "$script" >"$to/rpm/$(basename "$script")"
    done
}

for package in infra-watch infra-watch-agent; do texts "$package"; done

for architecture in "${architectures[@]}"; do
    for package in infra-watch:backend infra-watch-agent:agent; do
        folder=${package#*:} package=${package%:*}
        install -m 755 "$(from "$architecture")/$package" "$stage/$package/$package"
        cargo deb --quiet --no-build --no-strip --locked --package "$package" --target "$architecture-unknown-linux-musl" \
            "${speed[@]}" --deb-version "${version/-/\~}-1" --output "$output"
        cargo generate-rpm --package "$folder" --arch "$architecture" --set-metadata "version = \"${version/-/\~}\"" \
            ${speed[0]:+--payload-compress gzip} --output "$output"
    done
done
ls -l "$output"/*.{deb,rpm}
