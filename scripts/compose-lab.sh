#!/usr/bin/env bash
# What the profiles `lab` and `collector` need of the running backend, as its admin:
#   compose-lab.sh token    a token for the collector, into deploy/compose/secrets (before the profile is started)
#   compose-lab.sh hosts    the two hosts of the lab, with the host keys that they have (after it was)
set -euo pipefail
cd "$(dirname "$0")/.."
secrets=deploy/compose/secrets
server=${INFRA_WATCH_SERVER:-http://127.0.0.1:7420}
compose=${COMPOSE:-docker-compose}

# call PATH, the body on standard input: the answer; what was wrong goes to standard error.
call() {
    local answer
    answer=$(curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
        --config <([[ -z $token ]] || printf 'header = "Authorization: Bearer %s"\n' "$token") --data-binary @- "$server/api/v1$1") ||
        { printf '%s\n' "$answer" >&2 && return 1; }
    printf '%s\n' "$answer"
}

# field NAME: the text of a field, of JSON on standard input.
field() {
    sed --quiet "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

# quoted FILE: its lines as a string of JSON; keys have neither quotes nor backslashes.
quoted() {
    printf '"%s"' "$(awk '{ printf "%s\\n", $0 }' "$1")"
}

token=''
token=$(printf '{"username": "admin", "password": "%s"}' "$(<"$secrets/admin-password")" |
    call /auth/login | field access_token)

case ${1:-} in
    token)
        umask 077
        file=$secrets/collector-token
        printf '{"name": "compose", "selector": {}}' | call /collector-tokens | field token >"$file.new"
        # With owner and mode of the one that compose-secrets.sh made.
        chown --reference "$file" "$file.new"
        chmod --reference "$file" "$file.new"
        mv "$file.new" "$file"
        ;;
    hosts)
        for host in lab-1 lab-2; do
            key=$($compose --profile lab exec -T "$host" ssh-keygen -lf /home/watch/host-key | cut -d ' ' -f 2)
            printf '{"name": "%s", "interval_seconds": 30, "collection": {"kind": "ssh", "mode": "command", "address": "%s",
                "port": 2222, "user": "watch", "host_key": "%s", "state_dir": "/home/watch/state", "private_key": %s}}' \
                "$host" "$host" "$key" "$(quoted "$secrets/ssh-key")" | call /hosts | field host_id
        done
        ;;
    *) echo "usage: compose-lab.sh token|hosts" >&2 && exit 2 ;;
esac
