"""A machine to install on: a copy of this one that systemd boots in a container. What is done to it is gone afterwards."""

import concurrent.futures
import ctypes
import os
import pathlib
import shutil
import subprocess

from conftest import Backend, wait_until

# Of setns(2): the thread goes into a network namespace.
CLONE_NEWNET = 0x4000_0000


def why_not():
    """Why there can be no such machine here, if so."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    if list(pathlib.Path("/var/lib/dpkg/info").glob("infra-watch*.list")):
        return "Infra-Watch is installed on this machine, and so on its copy"
    missing = [tool for tool in ("systemd-nspawn", "systemctl", "dpkg") if not shutil.which(tool)]
    if missing:
        return f"without {', '.join(missing)}"
    may_mount = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    return "this root may not mount anything" if may_mount.returncode else None


class Machine:
    """This system under an overlay in memory, with a network of its own; services of this system do not start there."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.memory, self.root = self.directory / "memory", self.directory / "root"
        self.log = self.directory / "console.log"
        self.process = self.leader = self.network = None

    def __enter__(self):
        for directory in (self.memory, self.root):
            directory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3g", "tmpfs", self.memory], check=True)
        try:
            self.mount()
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def mount(self):
        upper, work = self.memory / "upper", self.memory / "work"
        upper.mkdir()
        work.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", self.root], check=True)
        # Nothing starts but what systemd needs, and nothing of Infra-Watch is there.
        for leftover in [*self.root.glob("etc/systemd/system/*.wants"), *self.root.glob("etc/rc?.d")]:
            shutil.rmtree(leftover)
        for path in self.root.glob("var/lib/infra-watch*"):
            shutil.rmtree(path)
        shutil.rmtree(self.path("/etc/infra-watch"), ignore_errors=True)
        # Images of containers forbid packages to start services with it.
        self.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)

    def boot(self):
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
                   "--link-journal=no", "--kill-signal=SIGRTMIN+3", "--directory", self.root]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")

        def leader():
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            return children.read_text().split()

        self.leader = wait_until("the container has a first process", leader)[0]

        def is_up():
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            return self.run("systemctl", "is-active", "multi-user.target", check=False) == "active"

        wait_until("the machine is up", is_up, 120)

        def enter():
            with open(f"/proc/{self.leader}/ns/net") as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")

        # Namespaces belong to threads: this one speaks to the machine's services.
        self.network = concurrent.futures.ThreadPoolExecutor(1, initializer=enter)

    def __exit__(self, *_):
        if self.network:
            self.network.shutdown()
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for mount in (self.root, self.memory):
            if mount.is_mount():
                subprocess.run(["umount", mount], check=True)

    def run(self, *command, stdin="", check=True):
        """What a command prints, errors too; it must succeed unless `check` is false."""
        enter = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        done = subprocess.run([*enter, *map(str, command)], input=stdin, text=True, env=environment, timeout=300,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout.strip()

    def path(self, path):
        """Where a file of the machine is seen from here."""
        return self.root / path.lstrip("/")

    def exists(self, path):
        return os.path.lexists(self.path(path))

    def stat(self, path):
        """Mode and owner: `640 root infra-watch`."""
        return self.run("stat", "--format=%a %U %G", path)

    def show(self, unit, name):
        """One property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit)

    def is_active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def wait_for(self, unit):
        """Waits until a service runs; if it does not, its log says why."""
        try:
            wait_until(f"{unit} runs", lambda: self.is_active(unit), 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal(unit)}") from None

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "--unit", unit)

    def backend(self):
        return MachineBackend(self)


class MachineBackend(Backend):
    """The backend that runs on a machine."""

    def __init__(self, machine, url="http://127.0.0.1:7420"):
        super().__init__(url, None, None)
        self.machine = machine

    def call(self, *arguments, **named):
        return self.machine.network.submit(super().call, *arguments, **named).result()

    def is_ready(self):
        try:
            return self.call("/readyz")[0] == 200
        except OSError:
            return False
