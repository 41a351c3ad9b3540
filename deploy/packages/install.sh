#!/bin/sh
# Installs what is in this archive on a system without .deb and .rpm packages. Asks no network.
#   ./install.sh [--backend | --agent] [--destdir DIR]     install, or upgrade; settings and data are never overwritten
#   ./install.sh --uninstall [--destdir DIR]               remove; settings, data and the user stay
# Without --backend and --agent it takes what the archive has; with --destdir it concerns that directory alone.
set -eu

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

what='' destdir='' action=install
while [ $# -gt 0 ]; do
    case $1 in
        --backend) what=infra-watch ;;
        --agent) what=infra-watch-agent ;;
        --uninstall) action=uninstall ;;
        --destdir)
            [ $# -gt 1 ] || fail "--destdir needs a directory"
            destdir=$2
            shift
            ;;
        *)
            sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
    esac
    shift
done
[ -n "$destdir" ] || [ "$(id -u)" = 0 ] || fail "only root can install; --destdir tries it elsewhere"
case $destdir in
    '' | /*) ;;
    *) destdir=$PWD/$destdir ;;
esac
cd "$(dirname "$0")"
if [ -n "$what" ]; then
    [ -f "bin/$what" ] || fail "$what is in an archive of its own"
elif [ -f bin/infra-watch ]; then
    what=infra-watch
else
    what=infra-watch-agent
fi
case $what in
    infra-watch) settings=infra-watch.toml ;;
    *) settings=agent.toml ;;
esac
etc=$destdir/etc/infra-watch

here() { [ -z "$destdir" ]; }
systemd_runs() { here && [ -d /run/systemd/system ]; }

make_user() {
    if getent passwd "$what" >/dev/null; then return; fi
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "/usr/lib/sysusers.d/$what.conf"
    elif command -v useradd >/dev/null; then
        useradd --system --user-group --home-dir "/var/lib/$what" --no-create-home --shell /usr/sbin/nologin "$what"
    else
        addgroup -S "$what"
        adduser -S -D -H -h "/var/lib/$what" -s /sbin/nologin -G "$what" "$what"
    fi
}

# owned MODE USER GROUP…: as install(1), with owners only where there are such users.
owned() {
    mode=$1 user=$2 group=$3
    shift 3
    if here; then install -m "$mode" -o "$user" -g "$group" "$@"; else install -m "$mode" "$@"; fi
}

install_files() {
    sha256sum -c SHA256SUMS >/dev/null || fail "the archive is damaged"

    install -d "$destdir/usr/bin" "$destdir/usr/lib/systemd/system" "$destdir/usr/lib/sysusers.d" "$destdir/usr/lib/tmpfiles.d"
    install -d "$destdir/usr/share/man/man1" "$destdir/usr/share/doc/$what" "$etc"
    # A new file under the old name: what runs keeps the old one.
    install -m 0755 "bin/$what" "$destdir/usr/bin/.$what.new"
    mv "$destdir/usr/bin/.$what.new" "$destdir/usr/bin/$what"
    install -m 0644 "systemd/$what.service" "$destdir/usr/lib/systemd/system/"
    install -m 0644 "systemd/$what.sysusers.conf" "$destdir/usr/lib/sysusers.d/$what.conf"
    install -m 0644 "systemd/$what.tmpfiles.conf" "$destdir/usr/lib/tmpfiles.d/$what.conf"
    install -m 0644 man/* "$destdir/usr/share/man/man1/"
    install -m 0644 doc/* licenses/* "$destdir/usr/share/doc/$what/"
    for place in bash-completion/completions:bash:$what zsh/site-functions:zsh:_$what fish/vendor_completions.d:fish:$what.fish; do
        shell=${place#*:}
        install -d "$destdir/usr/share/${place%%:*}"
        install -m 0644 "completions/${shell%:*}" "$destdir/usr/share/${place%%:*}/${place##*:}"
    done

    if here; then make_user; fi
    owned 0700 "$what" "$what" -d "$destdir/var/lib/$what"
    if [ "$what" = infra-watch ]; then owned 0700 "$what" "$what" -d "$destdir/var/backups/$what"; fi
    if [ -e "$etc/$settings" ]; then
        rm -f "$etc/$settings.new"
        cmp -s "$settings" "$etc/$settings" || install -m 0640 "$settings" "$etc/$settings.new"
    else
        owned 0640 root "$what" "$settings" "$etc/$settings"
    fi
    # The first admin's password, made here so that it is in no log.
    if [ "$what" = infra-watch ] && [ ! -e "$etc/admin-password" ] && [ ! -e "$destdir/var/lib/$what/state.redb" ]; then
        owned 0640 root "$what" /dev/null "$etc/admin-password"
        head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$etc/admin-password"
    fi
}

say_what_is_next() {
    [ ! -e "$etc/$settings.new" ] || echo "$etc/$settings is as it was; the new one is beside it: $settings.new"
    if systemd_runs && systemctl --quiet is-active "$what.service"; then
        echo "$what was started again and is $("/usr/bin/$what" --version)"
    elif [ "$what" = infra-watch ]; then
        echo "next: systemctl enable --now infra-watch"
        echo "then log in on http://127.0.0.1:7420 as admin; the first password is in $etc/admin-password"
    else
        echo "next: 1. set server in $etc/agent.toml"
        echo "      2. install -m 0640 -g infra-watch-agent /dev/stdin $etc/enrollment-key   (paste an enrolment key, Ctrl-D)"
        echo "      3. systemctl enable --now infra-watch-agent"
    fi
}

uninstall() {
    if systemd_runs; then systemctl disable --now "$what.service" || true; fi
    rm -f "$destdir/usr/bin/$what" "$destdir/usr/lib/systemd/system/$what.service"
    rm -f "$destdir/usr/lib/sysusers.d/$what.conf" "$destdir/usr/lib/tmpfiles.d/$what.conf"
    for page in man/*; do rm -f "$destdir/usr/share/man/man1/${page##*/}"; done
    rm -rf "$destdir/usr/share/doc/${what:?}"
    rm -f "$destdir/usr/share/bash-completion/completions/$what" "$destdir/usr/share/zsh/site-functions/_$what"
    rm -f "$destdir/usr/share/fish/vendor_completions.d/$what.fish"
    if systemd_runs; then systemctl daemon-reload; fi
    echo "removed; what stays: $etc, $destdir/var/lib/$what, and the user $what"
}

if [ $action = uninstall ]; then
    uninstall
    exit 0
fi
install_files
if systemd_runs; then
    systemctl daemon-reload
    systemctl try-restart "$what.service"
fi
say_what_is_next
