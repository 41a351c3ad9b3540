# As %systemd_postun_with_restart. Settings that were changed and data stay: rpm knows no purge.
name=@package@
if command -v systemctl >/dev/null; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    [ "$1" -eq 0 ] || systemctl try-restart $name.service >/dev/null 2>&1 || :
fi
exit 0
