# As %systemd_preun.
name=@package@
if [ "$1" -eq 0 ] && command -v systemctl >/dev/null; then
    systemctl --no-reload disable --now $name.service >/dev/null 2>&1 || :
fi
exit 0
