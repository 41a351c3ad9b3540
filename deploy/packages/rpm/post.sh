# As %systemd_post: whether a service starts by itself is the system's policy (presets), not ours.
if [ "$1" -eq 1 ]; then
    install -d -m 0700 -o @package@ -g @package@ /var/lib/@package@
    # The first admin's password, made here so that it is in no log.
    if [ @package@ = infra-watch ] && [ ! -e /etc/infra-watch/admin-password ] && [ ! -e /var/lib/infra-watch/state.redb ]; then
        install -m 0640 -o root -g infra-watch /dev/null /etc/infra-watch/admin-password
        head -c 18 /dev/urandom | base64 | tr '+/' '-_' >/etc/infra-watch/admin-password
    fi
fi
if command -v systemctl >/dev/null; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    [ "$1" -ne 1 ] || systemctl --no-reload preset @package@.service >/dev/null 2>&1 || :
fi
exit 0
