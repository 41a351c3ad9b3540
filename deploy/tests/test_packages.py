"""The packages, installed on a machine with systemd: first start, enrolment, upgrade, removal, purge."""

import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import PACKAGES as NAMES
from conftest import ROOT, VERSION, needs_packagers, wait_until
from machine import Machine, why_not

# What systemd-analyze says of the units, times ten: no option may be lost unseen.
EXPOSURE = {"infra-watch": 12, "infra-watch-agent": 16}
# Without the triggers of others: the index of all manual pages takes its time.
DPKG = ("dpkg", "--no-triggers")
PASSWORD = "another horse, another battery"

needs_machine = pytest.mark.skipif(bool(why_not()), reason=why_not() or "")


@pytest.mark.parametrize("name", NAMES)
def test_exposure(name):
    """Each unit keeps the hardening it has."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE[name]}"]
    done = subprocess.run([*command, ROOT / f"deploy/systemd/{name}.service"], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def machine(packages, tmp_path):
    with Machine(tmp_path) as machine:
        shutil.copytree(packages, machine.path("/srv/packages"), ignore=shutil.ignore_patterns("binaries"))
        yield machine


def deb(name, version=VERSION):
    """Where the machine has a package."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    return f"/srv/packages/{name}_{version}-1_{architecture}.deb"


def rpm_file(name, version=VERSION):
    return f"/srv/packages/{name}-{version}-1.{os.uname().machine}.rpm"


@needs_packagers
@pytest.mark.skipif(not shutil.which("lintian"), reason="without lintian")
@pytest.mark.parametrize("name", NAMES)
def test_lintian(packages, name):
    # The debug build is no static one.
    ignored = "missing-dependency-on-libc,undeclared-elf-prerequisites"
    command = ["lintian", "--fail-on=error,warning", "--allow-root", f"--suppress-tags={ignored}"]
    file = packages / deb(name).rpartition("/")[2]
    done = subprocess.run([*command, file], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout


@needs_packagers
@needs_machine
def test_deb(machine):
    """The life of both .deb packages, from the first installation to the purge."""
    # The backend starts by itself, and a person gets in with what the installation says.
    said = machine.run(*DPKG, "--install", deb("infra-watch"))
    assert "sudo cat /etc/infra-watch/admin-password" in said
    machine.wait_for("infra-watch")
    backend = machine.backend()
    wait_until("the backend is ready", backend.is_ready)
    assert machine.run("systemctl", "is-enabled", "infra-watch") == "enabled"
    assert machine.stat("/etc/infra-watch/admin-password") == "640 root infra-watch"
    assert machine.stat("/etc/infra-watch/infra-watch.toml") == "640 root infra-watch"
    assert machine.stat("/var/lib/infra-watch") == "700 infra-watch infra-watch"
    assert machine.stat("/var/backups/infra-watch") == "700 infra-watch infra-watch"
    assert machine.stat("/var/lib/infra-watch/state.redb") == "600 infra-watch infra-watch"
    password = machine.run("cat", "/etc/infra-watch/admin-password")
    assert password not in machine.journal("infra-watch")
    backend.login(password)
    key = json.loads(backend.call("/api/v1/enrollment-keys", {"name": "test"})[2])["key"]

    # The agent waits, which is no failure, and says for what.
    said = machine.run(*DPKG, "--install", deb("infra-watch-agent"))
    assert "/etc/infra-watch/enrollment-key" in said
    assert machine.stat("/etc/infra-watch/agent.toml") == "640 root infra-watch-agent"
    assert machine.stat("/var/lib/infra-watch-agent") == "700 infra-watch-agent infra-watch-agent"
    assert machine.show("infra-watch-agent", "ConditionResult") == "no"
    assert machine.show("infra-watch-agent", "ActiveState") == "inactive"

    # What it said, done.
    settings = machine.path("/etc/infra-watch/agent.toml")
    ours = f'server = "{backend.url}"\ninterval = "1s"\nservices = true'
    text, replaced = re.subn(r"(?m)^# server = .*$", ours, settings.read_text())
    assert replaced == 1, settings.read_text()
    settings.write_text(text)
    keep_key = ["install", "-m", "0640", "-g", "infra-watch-agent", "/dev/stdin", "/etc/infra-watch/enrollment-key"]
    machine.run(*keep_key, stdin=key + "\n")
    machine.run("infra-watch-agent", "config", "check", "/etc/infra-watch/agent.toml")
    machine.run("systemctl", "start", "infra-watch-agent")
    machine.wait_for("infra-watch-agent")
    host = backend.wait_for_host()
    is_what_the_machine_is(machine, backend, host)
    units_are_sound(machine)

    # There is a place for backups, and the service may write there.
    drop_in = machine.path("/etc/systemd/system/infra-watch.service.d/backup.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nEnvironment=INFRA_WATCH_BACKUP_DIR=/var/backups/infra-watch\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "infra-watch")
    wait_until("the backend is ready", backend.is_ready)
    assert backend.call("/api/v1/system/jobs/backup/run", method="POST")[0] == 200
    backup = machine.run("find", "/var/backups/infra-watch", "-name", "infra-watch-*.backup")
    assert machine.stat(backup) == "600 infra-watch infra-watch"

    # An upgrade: what was set and kept stays, what runs is new.
    password_is_changed(machine, backend, password)
    before = [machine.show(name, "MainPID") for name in NAMES]
    machine.run(*DPKG, "--install", *(deb(name, "99.0.0") for name in NAMES))
    for name, pid in zip(NAMES, before, strict=True):
        machine.wait_for(name)
        assert machine.show(name, "MainPID") != pid
        assert machine.show(name, "NRestarts") == "0"
        assert machine.run("dpkg-query", "--show", "--showformat=${Version}", name) == "99.0.0-1"
    assert f'server = "{backend.url}"' in settings.read_text()
    assert machine.stat("/etc/infra-watch/infra-watch.toml") == "640 root infra-watch"
    assert machine.stat("/etc/infra-watch/agent.toml") == "640 root infra-watch-agent"
    assert not machine.exists("/etc/infra-watch/admin-password"), "made again"
    is_back(backend, host)

    # Removed: stopped, and nothing of what was set and kept is gone. Installed again, it goes on.
    machine.run(*DPKG, "--remove", *NAMES)
    for name in NAMES:
        assert machine.show(name, "ActiveState") == "inactive"
        assert not machine.exists(f"/usr/lib/systemd/system/{name}.service")
    assert machine.exists("/var/lib/infra-watch/state.redb") and machine.exists("/var/lib/infra-watch-agent/token.json")
    machine.run(*DPKG, "--install", *(deb(name, "99.0.0") for name in NAMES))
    for name in NAMES:
        machine.wait_for(name)
    is_back(backend, host)

    # Purged: only the users and the backup remain.
    shutil.rmtree(drop_in.parent)
    machine.run(*DPKG, "--purge", *NAMES)
    assert machine.exists(backup)
    left = machine.run("find", "/etc", "/var/lib", "/usr", "-path", "*infra-watch*")
    assert not left, left
    assert machine.run("id", "--user", "--name", "infra-watch") == "infra-watch"


@needs_packagers
@needs_machine
def test_rpm(machine):
    """The life of both .rpm packages: scripts, owners, upgrade; removal keeps the data."""
    rpm = ["rpm", "--force-debian", "--dbpath", "/var/lib/rpm", "--nodeps"]
    for name in NAMES:
        requires = machine.run("rpm", "--query", "--requires", "--package", rpm_file(name)).splitlines()
        wanted = [line for line in requires if not line.startswith("rpmlib(")]
        assert {line for line in wanted if not line.startswith("config(")} == {"/bin/sh", "/usr/sbin/useradd"}, requires
    machine.run(*rpm, "--install", *map(rpm_file, NAMES))
    assert machine.stat("/etc/infra-watch/infra-watch.toml") == "640 root infra-watch"
    assert machine.stat("/etc/infra-watch/agent.toml") == "640 root infra-watch-agent"
    assert machine.stat("/etc/infra-watch/admin-password") == "640 root infra-watch"
    for name in NAMES:
        assert machine.stat(f"/var/lib/{name}") == f"700 {name} {name}"
        # Whether it starts by itself is the system's to say; Debian's presets say yes, but nothing starts it now.
        assert machine.run("systemctl", "is-enabled", name) == "enabled"
        assert machine.show(name, "ActiveState") == "inactive"
    machine.run(*rpm, "--verify", *NAMES)

    machine.run("systemctl", "start", *NAMES)
    machine.wait_for("infra-watch")
    backend = machine.backend()
    wait_until("the backend is ready", backend.is_ready)
    backend.login(machine.run("cat", "/etc/infra-watch/admin-password"))
    settings = machine.path("/etc/infra-watch/infra-watch.toml")
    settings.write_text("# ours\n" + settings.read_text())

    pid = machine.show("infra-watch", "MainPID")
    machine.run(*rpm, "--upgrade", *(rpm_file(name, "99.0.0") for name in NAMES))
    machine.wait_for("infra-watch")
    assert machine.show("infra-watch", "MainPID") != pid
    assert settings.read_text().startswith("# ours\n")

    machine.run(*rpm, "--erase", *NAMES)
    assert machine.show("infra-watch", "ActiveState") == "inactive"
    assert machine.exists("/var/lib/infra-watch/state.redb")
    assert not machine.exists("/usr/bin/infra-watch")


def is_what_the_machine_is(machine, backend, host):
    """Nothing of the unit's hardening keeps the agent from seeing what there is."""
    path = f"/api/v1/hosts/{host['host_id']}"
    snapshot = wait_until("a snapshot", lambda: backend.get(f"{path}/snapshots")["items"])[0]
    assert snapshot["failed_sections"] == []
    sections = backend.get(f"{path}/snapshots/{snapshot['snapshot_id']}")["sections"]
    installed = machine.run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\n").splitlines()
    known = [key for key in sections["packages"] if key.startswith("dpkg/")]
    assert len(known) >= sum(state.startswith(("ii", "hi")) for state in installed)
    assert sections["services"]["infra-watch-agent.service"] == "enabled active"
    assert sections["os"]["id"] == "debian" and "PATH" in sections["environment"]

    series = {(one["metric"], one["instance"]): one["latest_value"] for one in backend.get(f"{path}/series")["items"]}
    assert ("disk_usage_percent", "/") in series and ("cpu_usage_percent", None) in series
    # Those of other users too.
    processes = machine.run("ps", "--no-headers", "-eo", "user").splitlines()
    others = sum(user != "infra-watch-agent" for user in map(str.strip, processes))
    assert series[("process_count", None)] >= others / 2


def units_are_sound(machine):
    for name in NAMES:
        said = machine.run("systemd-analyze", "verify", "--man=no", f"{name}.service")
        assert not said, said
        status = machine.run("cat", f"/proc/{machine.show(name, 'MainPID')}/status")
        status = dict(line.split(":\t", 1) for line in status.splitlines())
        assert status["Uid"].split("\t") == [machine.run("id", "--user", name)] * 4
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0


def password_is_changed(machine, backend, password):
    """As the documents advise: another password, and the file with the first is removed."""
    status, _, text = backend.call("/api/v1/auth/password", {"current_password": password, "new_password": PASSWORD})
    assert status == 204, text
    machine.run("rm", "/etc/infra-watch/admin-password")
    backend.login(PASSWORD)


def is_back(backend, host):
    wait_until("the backend is ready", backend.is_ready)
    backend.login(PASSWORD)
    assert backend.wait_for_host()["host_id"] == host["host_id"]
