# As %systemd_post: whether a service starts by itself is the system's policy (presets), not ours.
name=@package@
etc=/etc/infra-watch
if [ "$1" -eq 1 ]; then
    install -d -m 0700 -o $name -g $name /var/lib/$name
    if [ $name = infra-watch ]; then
        install -d -m 0700 -o $name -g $name /var/backups/$name
    fi
    # The first admin's password, made here so that it is in no log.
    if [ $name = infra-watch ] && [ ! -e $etc/admin-password ] && [ ! -e /var/lib/$name/state.redb ]; then
        install -m 0640 -o root -g $name /dev/null $etc/admin-password
        head -c 18 /dev/urandom | base64 | tr '+/' '-_' >$etc/admin-password
    fi
fi
if command -v systemctl >/dev/null; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    [ "$1" -ne 1 ] || systemctl --no-reload preset $name.service >/dev/null 2>&1 || :
fi
exit 0
