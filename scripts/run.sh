#!/usr/bin/env bash
# Runs the backend and an agent for this machine until Ctrl-C: `make run`, once both are built.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077
listen=${INFRA_WATCH_LISTEN:-127.0.0.1:7420}
url=http://$listen
bin=${CARGO_TARGET_DIR:-target}/release
data=data
password=$data/first-password
key=$data/enrollment-key
mkdir -p "$data"

# secret FILE: makes a random secret, once.
secret() {
    [[ -s $1 ]] || head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$1"
}

pids=()
# shellcheck disable=SC2329 # the trap calls it
stop() {
    trap - EXIT INT TERM HUP
    if ((${#pids[@]})); then
        printf '\nstopping\n'
        kill "${pids[@]}" 2>/dev/null || true
        wait "${pids[@]}" 2>/dev/null || true
    fi
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

# give_up LOG MESSAGE: ends with a message and the end of a log.
give_up() {
    printf '%s; the end of %s:\n' "$2" "$1" >&2
    tail -n 15 "$1" >&2
    exit 1
}

# Only a first start takes the first password.
[[ -e $data/state.redb ]] || secret "$password"
secret "$key"
settings=(INFRA_WATCH_ENROLLMENT_KEY_FILE="$key")
[[ ! -s $password ]] || settings+=(INFRA_WATCH_ADMIN_PASSWORD_FILE="$password")

echo "starting the backend (log: $data/backend.log)"
env "${settings[@]}" "$bin/infra-watch" serve --listen "$listen" --data-dir "$data" --drain 0s 2>"$data/backend.log" &
backend=$!
pids+=("$backend")
until "$bin/infra-watch" health --server "$url" >/dev/null 2>&1; do
    kill -0 "$backend" 2>/dev/null || give_up "$data/backend.log" "the backend ended"
    sleep 0.2
done

echo "starting the agent (log: $data/agent.log)"
"$bin/infra-watch-agent" run --server "$url" --enrollment-key-file "$key" --interval 10s --state-dir "$data/agent" \
    >"$data/agent.log" 2>&1 &
agent=$!
pids+=("$agent")

echo "waiting until this machine is up"
login=unknown
if [[ -s $password ]]; then
    status=0
    node scripts/wait-until-up.mjs "$url" "$password" & wait $! || status=$?
    case $status in
        0) login=valid ;;
        # The password was changed in the meantime.
        3) ;;
        *) give_up "$data/agent.log" "this machine is not up after a minute" ;;
    esac
fi

printf '\n  Infra-Watch   %s\n' "$url"
if [[ $login == valid ]]; then
    printf '  login         admin / %s   (the first password, kept in %s)\n' "$(<"$password")" "$password"
else
    printf '  login         as you set it; a new password: %s user set-password admin, while this is stopped\n' "$bin/infra-watch"
fi
printf '  Ctrl-C        ends backend and agent\n\n'

wait -n "$backend" "$agent" || true
if kill -0 "$backend" 2>/dev/null; then give_up "$data/agent.log" "the agent ended"; fi
give_up "$data/backend.log" "the backend ended"
