#!/usr/bin/env bash
# .deb, .rpm and archives of backend and agent in target/packages: `make packages`, once `make static` has left the binaries.
#   packages.sh [--binaries DIR] [--version VERSION] [--output DIR] [--fast]
# Without --binaries it takes target/static/<arch> of each architecture that is there; with it, binaries of this machine's.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

binaries='' version=$(scripts/version.sh) output=target/packages is_fast=''
while (($#)); do
    case $1 in
        --binaries) binaries=$2 && shift 2 ;;
        --version) version=$2 && shift 2 ;;
        --output) output=$2 && shift 2 ;;
        --fast) is_fast=yes && shift ;;
        *) sed -n '2,4s/^# \?//p' "$0" >&2 && exit 2 ;;
    esac
done
# A pre-release comes before its release: 1.0.0~rc.1.
sorted_version=${version/-/\~}

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

# prepare PACKAGE: everything in a package that is the same for all architectures.
prepare() {
    local package=$1 to=$stage/$1 run
    run=$(from "$host")/$package
    mkdir -p "$to"/{man,completions,doc,licenses,systemd}
    cp deploy/systemd/"$package".* "$to/systemd"
    cp LICENSE* "$to/licenses"
    "$run" man "$to/man"
    gzip -9 --no-name "$to"/man/*
    local shell
    for shell in bash zsh fish; do "$run" completions "$shell" >"$to/completions/$shell"; done

    "$run" config default >"$to/settings.toml"
    if [[ $package == infra-watch ]]; then
        set_key "$to/settings.toml" data_dir /var/lib/infra-watch
        set_key "$to/settings.toml" admin_password_file /etc/infra-watch/admin-password
    else
        set_key "$to/settings.toml" state_dir /var/lib/infra-watch-agent
        set_key "$to/settings.toml" enrollment_key_file /etc/infra-watch/enrollment-key
    fi
    "$run" config check "$to/settings.toml" >/dev/null

    cp docs/install.md "$to/doc"
    gzip -9 --no-name --stdout CHANGELOG.md >"$to/doc/changelog.gz"
    printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$package" "$sorted_version" \
        "$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' backend/Cargo.toml)" \
        "$(LC_ALL=C date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")" | gzip -9 --no-name >"$to/changelog.Debian.gz"
    cargo xtask licences "$package" >"$to/doc/third-party.txt"

    local file
    for file in deploy/packages/rpm/*.sh deploy/packages/deb/lintian-overrides; do
        sed "s/@package@/$package/g" "$file" >"$to/$(basename "$file")"
    done
}

# archive PACKAGE ARCHITECTURE: what install.sh needs, for systems without such packages.
archive() {
    local package=$1 name=$1-$version-$2 settings=agent.toml
    [[ $package != infra-watch ]] || settings=infra-watch.toml
    local parent=$stage/archives to=$stage/archives/$name
    mkdir -p "$to/bin"
    cp -r "$stage/$package"/{man,completions,doc,licenses,systemd} "$to"
    cp "$stage/$package/$package" "$to/bin"
    cp "$stage/$package/settings.toml" "$to/$settings"
    cp deploy/packages/install.sh "$to"
    (cd "$to" && find . -type f -printf '%P\0' | LC_ALL=C sort --zero-terminated | xargs --null sha256sum >../sums && mv ../sums SHA256SUMS)
    LC_ALL=C tar --directory "$parent" --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX --format=gnu "$name" | gzip "-$([[ -n $is_fast ]] && echo 1 || echo 9)" --no-name >"$output/$name.tar.gz"
}

for package in infra-watch infra-watch-agent; do prepare "$package"; done

for architecture in "${architectures[@]}"; do
    for package in infra-watch:backend infra-watch-agent:agent; do
        folder=${package#*:} package=${package%:*}
        install -m 755 "$(from "$architecture")/$package" "$stage/$package/$package"
        find "$stage/$package" -exec touch --date "@$SOURCE_DATE_EPOCH" {} +
        cargo deb --quiet --no-build --no-strip --locked --package "$package" --target "$architecture-unknown-linux-musl" \
            ${is_fast:+--fast} --deb-version "$sorted_version-1" --output "$output"
        cargo generate-rpm --package "$folder" --arch "$architecture" --set-metadata "version = \"$sorted_version\"" \
            --payload-compress "$([[ -n $is_fast ]] && echo none || echo zstd)" --output "$output"
        archive "$package" "$architecture"
    done
done
