# Before the files come: some of them belong to the group.
name=@package@
getent group $name >/dev/null || groupadd --system $name
getent passwd $name >/dev/null ||
    useradd --system --gid $name --home-dir /var/lib/$name --no-create-home --shell /usr/sbin/nologin $name
exit 0
