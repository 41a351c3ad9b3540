#!/usr/bin/env bash
# Names each missing tool with the line that installs it, and installs what it may:
#   need.sh build|static|port|test|check|chart|packages|release…
set -euo pipefail
cd "$(dirname "$0")/.."
missing=0

lacks() { ! command -v "$1" >/dev/null 2>&1; }

# need COMMAND WHAT HOW: WHAT is missing when COMMAND is; HOW installs it.
need() {
    if lacks "$1"; then
        printf 'missing: %s\n    install it with: %s\n' "$2" "$3" >&2
        missing=1
    fi
}

end_if_missing() { ((missing == 0)) || exit 1; }

build() {
    need cargo "Rust (cargo)" "curl https://sh.rustup.rs -sSf | sh"
    need cc "a C compiler (cc)" "sudo apt-get install gcc libc6-dev"
    need node "Node.js (node)" "sudo apt-get install nodejs"
    need npm "npm" "sudo apt-get install npm"
    end_if_missing
    local target=wasm32-unknown-unknown
    if [[ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]]; then
        need rustup "Rust's target $target" "your system's package of Rust for $target, or rustup: curl https://sh.rustup.rs -sSf | sh"
        end_if_missing
        rustup target add "$target"
    fi
}

port() {
    local listen=${INFRA_WATCH_LISTEN:-127.0.0.1:7420}
    if (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null; then
        printf '%s is in use: end what listens there, or choose another: INFRA_WATCH_LISTEN=127.0.0.1:7430 make run\n' "$listen" >&2
        exit 1
    fi
}

# debian WHY PACKAGE…: Debian's packages, installed by root, asked for otherwise.
debian() {
    local why=$1
    shift
    if (($# == 0)); then return; fi
    if [[ $(id -u) != 0 ]] || lacks apt-get; then
        printf 'missing for %s: %s\n    install with: sudo apt-get install %s\n' "$why" "$*" "$*" >&2
        exit 1
    fi
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# Static binaries: compilers for their C parts, and Rust's targets.
static() {
    local packages=() target
    if lacks musl-gcc; then packages+=(musl-tools); fi
    if lacks aarch64-linux-gnu-gcc; then packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross); fi
    debian "static binaries" "${packages[@]}"
    for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
        [[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]] || rustup target add "$target"
    done
}

test_tools() {
    local packages=()
    if lacks chromium; then packages+=(chromium); fi
    if lacks chromedriver; then packages+=(chromium-driver); fi
    if lacks python3 || ! python3 -c 'import ensurepip' 2>/dev/null; then packages+=(python3-venv); fi
    # A real database of rpm is built for the agent's tests.
    if lacks rpmbuild; then packages+=(rpm); fi
    # Hosts that are collected over SSH; its directory is not in everybody's PATH.
    if lacks sshd && [[ ! -x /usr/sbin/sshd ]]; then packages+=(openssh-server); fi
    # The examples of reverse proxies and of Prometheus are really run; nginx is not in everybody's PATH either.
    if lacks nginx && [[ ! -x /usr/sbin/nginx ]]; then packages+=(nginx-light); fi
    if lacks caddy; then packages+=(caddy); fi
    if lacks prometheus; then packages+=(prometheus); fi
    if lacks openssl; then packages+=(openssl); fi
    # Packages are checked, and installed on a machine that systemd boots.
    if lacks lintian; then packages+=(lintian); fi
    if lacks systemd-nspawn; then packages+=(systemd-container); fi
    # Agents for another processor are run.
    if lacks qemu-aarch64; then packages+=(qemu-user); fi
    # docker-compose.yml is read by the oldest that it is for.
    if lacks docker-compose; then packages+=(docker-compose); fi
    debian "the tests" "${packages[@]}"
}

# venv NAME FOLDER: what the tests in FOLDER need of Python, in an environment of its own.
venv() {
    local venv=target/$1 wanted=$2/requirements.txt
    if cmp --silent "$wanted" "$venv/installed.txt"; then return; fi
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$venv/installed.txt"
}

# What makes .deb and .rpm. Half optimised: compiling them takes longer than their work.
packagers() {
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
    if lacks cargo-deb; then cargo install cargo-deb --version 3.8.0 --locked; fi
    if lacks cargo-generate-rpm; then cargo install cargo-generate-rpm --version 0.21.1 --locked; fi
}

release_tools() {
    if lacks cargo-cyclonedx; then cargo install cargo-cyclonedx --version 0.5.9 --locked; fi
}

check_tools() {
    if lacks cargo-deny; then cargo install cargo-deny --version 0.20.2 --locked; fi
}

for what in "$@"; do
    case $what in
        build) build ;;
        static) static ;;
        port) port ;;
        test)
            test_tools
            packagers
            venv schemathesis backend/tests/schemathesis
            venv smtp backend/tests/smtp
            venv deploy deploy/tests
            ;;
        check) check_tools ;;
        chart) venv deploy deploy/tests ;;
        packages) packagers ;;
        release) release_tools ;;
        *) echo "usage: need.sh build|static|port|test|check|chart|packages|release…" >&2 && exit 2 ;;
    esac
done
