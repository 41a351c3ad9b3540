#!/usr/bin/env bash
# Lays out what an image holds: image-root.sh infra-watch|infra-watch-agent x86_64|aarch64 DIRECTORY
#   DIRECTORY/rootfs    goes to /: the binary of target/static, certificates, licences
#   DIRECTORY/owned     goes to /var: empty directories that are written to. The image gives them to its user, and Docker
#                       gives a new volume the owner of what it is mounted over
set -euo pipefail
cd "$(dirname "$0")/.."
(($# == 3)) || { sed -n '2,5s/^# //p' "$0" >&2 && exit 2; }
name=$1 arch=$2 directory=$3

umask 022
rm -rf "$directory"
root=$directory/rootfs
install -D -m 755 "target/static/$arch/$name" "$root/usr/bin/$name"

# Mozilla's list as Debian ships it, without what this machine believes besides.
certificates=$root/etc/ssl/certs/ca-certificates.crt
mkdir -p "${certificates%/*}"
cat /usr/share/ca-certificates/mozilla/*.crt >"$certificates"

licences=$root/usr/share/doc/$name
install -D -m 644 -t "$licences" LICENSE LICENSE-APACHE LICENSE-MIT
cargo xtask licences "$name" >"$licences/third-party.txt"

state=(lib)
[[ $name != infra-watch ]] || state+=(backups)
for folder in "${state[@]}"; do
    install -d "$root/var/$folder"
    install -d -m 700 "$directory/owned/$folder/$name"
done
