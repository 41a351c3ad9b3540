#!/usr/bin/env bash
# Everything that a release consists of, in target/release-files: `make release`, once the dashboard is there.
#   release.sh           builds the binaries, packages, archives, the chart, lists of what is inside (SBOM), and checksums
#   release.sh --check   does it twice, the binaries in another directory, and compares every hash
set -euo pipefail
cd "$(dirname "$0")/.."
step=scripts/step.sh
version=$(scripts/version.sh)
output=target/release-files

give_up() {
    printf 'no release: %s\n' "$1" >&2
    exit 1
}

[[ -z $(git status --porcelain) ]] || give_up "the tree differs from the last commit: git status"
grep -qE "^## \[?${version//./\\.}\]?( |$)" CHANGELOG.md ||
    give_up "CHANGELOG.md has no section '## $version': name what is under 'Unreleased' so, or set another version in Cargo.toml"
for tool in cargo-deb cargo-generate-rpm cargo-cyclonedx; do
    command -v "$tool" >/dev/null || give_up "$tool is missing: scripts/need.sh packages release"
done
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# no_paths: nothing in the binaries says where they were built.
no_paths() {
    local found
    found=$(strings target/static/*/infra-watch* | grep -F -e "$PWD/" -e "$HOME/" -e "${CARGO_HOME:-$HOME/.cargo}/" | head -n 5 || true)
    [[ -z $found ]] || give_up "paths of this machine are in the binaries: $found"
}

# chart DIRECTORY: the chart as Helm packs it: one folder with its name.
chart() {
    [[ -e charts/infra-watch/Chart.yaml ]] || return 0
    local chart_version
    chart_version=$(sed -n 's/^version: *"\?\([^"]*\)"\?$/\1/p' charts/infra-watch/Chart.yaml)
    git ls-files -z charts/infra-watch |
        LC_ALL=C tar --create --null --verbatim-files-from --files-from=- --transform='s,^charts/,,' --sort=name \
            --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=gnu |
        gzip -9 --no-name >"$1/infra-watch-$chart_version.tgz"
}

# sboms DIRECTORY: what each binary is made of, in CycloneDX. The tool writes beside each Cargo.toml, so it works on a copy.
sboms() {
    local copy architecture
    copy=$(mktemp --directory)
    # shellcheck disable=SC2064 # the directory of now
    trap "rm -rf '$copy'" RETURN
    git archive HEAD | tar --extract --directory "$copy"
    for architecture in x86_64 aarch64; do
        [[ -x target/static/$architecture/infra-watch ]] || continue
        (cd "$copy" && cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
            --target "$architecture-unknown-linux-musl" --override-filename sbom)
        local package
        for package in infra-watch:backend infra-watch-agent:agent; do
            sed "s,$copy,/infra-watch,g" "$copy/${package#*:}/sbom.json" >"$1/${package%:*}-$version-$architecture.cdx.json"
        done
    done
}

# build DIRECTORY: all files of the release.
build() {
    rm -rf "$1"
    mkdir -p "$1"
    $step "static binaries" scripts/static.sh
    no_paths
    $step "packages and archives" scripts/packages.sh --output "$1"
    chart "$1"
    sboms "$1"
    (cd "$1" && LC_ALL=C sha256sum -- * >../SHA256SUMS && mv ../SHA256SUMS .)
}

case ${1:-} in
    '') build "$output" ;;
    --check)
        build "$output"
        # Another place for what cargo builds, from the beginning.
        CARGO_TARGET_DIR=target/again build target/release-again
        diff "$output/SHA256SUMS" target/release-again/SHA256SUMS || give_up "the same commit gave other files"
        rm -rf target/again target/release-again
        ;;
    *) sed -n '2,4s/^# \?//p' "$0" >&2 && exit 2 ;;
esac
ls -l "$output"
cat "$output/SHA256SUMS"
