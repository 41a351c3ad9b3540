#!/usr/bin/env bash
# Secrets for docker-compose.yml, each made once and then kept: `make compose-secrets`.
#   deploy/compose/secrets is 0700, so no other user of this machine gets in. Docker shows the files to containers as they
#   are here, and there user 65532 reads them: root gives them to that user (0400), others can only let everybody read
#   who gets through the directory (0444).
set -euo pipefail
cd "$(dirname "$0")/.."
directory=deploy/compose/secrets

umask 077
mkdir -p "$directory"
chmod 700 "$directory"

# keep FILE: FILE as containers may read it.
keep() {
    if [[ $(id -u) == 0 ]]; then
        chown 65532:65532 "$1"
        chmod 400 "$1"
    else
        chmod 444 "$1"
    fi
    printf 'made %s\n' "$1"
}

# 192 bits, in letters that need no quoting anywhere.
for name in admin-password enrollment-key; do
    file=$directory/$name
    [[ ! -s $file ]] || continue
    head --bytes 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >"$file"
    keep "$file"
done

# The key that logs in to hosts of the lab, and to those of the collector.
file=$directory/ssh-key
if [[ ! -s $file ]]; then
    command -v ssh-keygen >/dev/null ||
        { printf 'missing: ssh-keygen\n    install it with: sudo apt-get install openssh-client\n' >&2 && exit 1; }
    rm -f "$file" "$file.pub"
    ssh-keygen -q -t ed25519 -N '' -C infra-watch -f "$file"
    keep "$file"
    keep "$file.pub"
fi

# A token is the running backend's to give (compose-lab.sh token); Compose wants the file to be there.
file=$directory/collector-token
if [[ ! -e $file ]]; then
    : >"$file"
    keep "$file"
fi

printf 'The first login: user admin, and the password in %s\n' "$directory/admin-password"
