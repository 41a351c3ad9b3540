# As %systemd_postun_with_restart. Data stay: rpm knows no purge.
if command -v systemctl >/dev/null; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    [ "$1" -eq 0 ] || systemctl try-restart @package@.service >/dev/null 2>&1 || :
fi
exit 0
