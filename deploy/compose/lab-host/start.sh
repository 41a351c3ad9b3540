#!/bin/sh
# Starts sshd with a host key that is made once, and stays in the volume.
set -eu
[ -f /home/watch/host-key ] || ssh-keygen -q -t ed25519 -N '' -C lab -f /home/watch/host-key
exec /usr/sbin/sshd -D -e
