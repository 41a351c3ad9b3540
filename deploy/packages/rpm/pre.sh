# Before the files come: some of them belong to the group.
getent group @package@ >/dev/null || groupadd --system @package@
getent passwd @package@ >/dev/null ||
    useradd --system --gid @package@ --home-dir /var/lib/@package@ --no-create-home --shell /usr/sbin/nologin @package@
exit 0
