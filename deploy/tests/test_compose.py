"""docker-compose.yml: what holds for every service, that Compose old and new takes it, and, where a Docker daemon answers,
that the agent's host is green."""

import itertools
import os
import re
import shutil
import stat
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, Backend, wait_until
from containers import health, images, run

PROFILES = ("collector", "lab", "mail")
SECRETS = ROOT / "deploy/compose/secrets"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]


def compose(*arguments, profiles=(), project="infra-watch-test", **options):
    chosen = itertools.chain.from_iterable(("--profile", profile) for profile in profiles)
    return run("docker-compose", "--project-name", project, *chosen, *arguments, **options)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_little(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "ipc", "devices"} & service.keys()
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert service["healthcheck"]["test"][0] == "CMD", "images without a shell"
    assert service["restart"] == "unless-stopped" and "max-size" in service["logging"]["options"]
    assert re.search(r":[^/]+$", service["image"]) and not service["image"].endswith(":latest")
    # The user is the image's own, and not root.
    assert service.get("user", "65532:65532") == "65532:65532"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    for need in service.get("depends_on", {}).values():
        assert need == {"condition": "service_healthy"}


def test_profiles():
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "collector": ["collector"],
        "lab-1": ["lab"],
        "lab-2": ["lab"],
        "mail": ["mail"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_files(name):
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|TOKEN|KEY|SECRET", variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    for secret in service.get("secrets", []):
        file = COMPOSE["secrets"][secret]["file"]
        assert file == f"deploy/compose/secrets/{secret}"
        # Not in the repository, and not in what images are built from.
        assert subprocess.run(["git", "check-ignore", "--quiet", file], cwd=ROOT).returncode == 0


def test_volumes():
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, *rest = volume.split(":")
            if source.startswith("/"):
                assert rest[1:] == ["ro"]
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("profiles", [(), *((profile,) for profile in PROFILES), PROFILES], ids="+".join)
def test_docker_compose_takes_it(profiles):
    assert shutil.which("docker-compose"), "apt-get install docker-compose"
    config = yaml.safe_load(compose("config", profiles=profiles))
    in_profile = {
        name for name, service in SERVICES.items() if set(service.get("profiles", profiles)) <= set(profiles)
    }
    assert in_profile <= config["services"].keys()
    assert "/:/host:ro" in config["services"]["agent"]["volumes"]


def test_compose_2_takes_it():
    """By the schema of the Compose specification, as its implementations carry it."""
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


@pytest.fixture
def copy(tmp_path):
    """The repository's part that secrets are made in, somewhere else."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/compose-secrets.sh", tmp_path / "scripts")
    return tmp_path


def test_secrets_are_made_once(copy):
    make = [copy / "scripts/compose-secrets.sh"]
    said = run(*make)
    secrets = copy / "deploy/compose/secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert set(made) == {"admin-password", "collector-token", "enrollment-key", "ssh-key", "ssh-key.pub"}
    for name in ("admin-password", "enrollment-key"):
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", made[name])
        assert made[name] not in said
    assert made["ssh-key.pub"].startswith("ssh-ed25519 ")
    for file in secrets.iterdir():
        found = file.stat()
        if os.getuid() == 0:
            assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65532, 65532, 0o400)
        else:
            assert stat.S_IMODE(found.st_mode) == 0o444
    run(*make)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made


@pytest.fixture
def project():
    """A project of its own, with the ports that docker-compose.yml says; it is removed with the test."""
    images()
    for port in (7420, 8025):
        if re.search(rf":{port}\b", run("ss", "--listening", "--tcp", "--numeric")):
            pytest.skip(f"port {port} is in use")
    is_new = not SECRETS.exists()
    run("scripts/compose-secrets.sh")
    yield
    compose("down", "--volumes", "--timeout", "30", profiles=PROFILES)
    if is_new:
        shutil.rmtree(SECRETS)


def container(service):
    return compose("ps", "--quiet", service, profiles=PROFILES).strip()


def is_healthy(service):
    return health(container(service)) == "healthy"


def test_the_agents_host_is_green(project):
    compose("up", "--detach", "--no-build", timeout=180)
    wait_until("the agent is healthy", lambda: is_healthy("agent"))
    assert is_healthy("backend")
    api = Backend("http://127.0.0.1:7420", None, None).login((SECRETS / "admin-password").read_text())
    host = api.wait_for_host()
    assert host["hostname"] == os.uname().nodename
    assert host["health"] == "green"

    # What is kept is in volumes: a new container has it, and the agent is the same host to it.
    compose("up", "--detach", "--no-build", "--force-recreate", timeout=180)
    wait_until("the backend is healthy", lambda: is_healthy("backend"))
    wait_until("the agent is healthy", lambda: is_healthy("agent"))
    api.login((SECRETS / "admin-password").read_text())
    seen = host["last_seen_at"]

    def has_reported_again():
        hosts = api.get("/api/v1/hosts")["items"]
        assert [one["host_id"] for one in hosts] == [host["host_id"]]
        return hosts[0]["last_seen_at"] > seen

    wait_until("the host reports again", has_reported_again)


def test_the_lab_is_collected(project):
    base = "debian:bookworm-slim"
    if subprocess.run(["docker", "image", "inspect", base], capture_output=True).returncode != 0:
        pytest.skip(f"{base} is not there, and is not pulled in a test")
    compose("build", "lab-1", profiles=["lab"], timeout=300)
    compose("up", "--detach", "--no-build", "backend", "lab-1", "lab-2", profiles=["lab"], timeout=180)
    for service in ("backend", "lab-1", "lab-2"):
        wait_until(f"{service} is healthy", lambda name=service: is_healthy(name))
    environment = {**os.environ, "COMPOSE": "docker-compose --project-name infra-watch-test"}
    run("scripts/compose-lab.sh", "hosts", env=environment)
    run("scripts/compose-lab.sh", "token", env=environment)
    api = Backend("http://127.0.0.1:7420", None, None).login((SECRETS / "admin-password").read_text())

    def are_up():
        hosts = api.get("/api/v1/hosts")["items"]
        return {host["name"] for host in hosts if host["status"] == "up"} == {"lab-1", "lab-2"}

    wait_until("both are up", are_up)

    # Then one of them by the collector, and by nobody else.
    [lab] = [host for host in api.get("/api/v1/hosts")["items"] if host["name"] == "lab-2"]
    path = f"/api/v1/hosts/{lab['host_id']}"
    status, _, text = api.call(path, {"collection": {"kind": "ssh", "collected_by": "collector"}}, method="PATCH")
    assert status == 200, text
    compose("up", "--detach", "--no-build", "collector", profiles=["collector"], timeout=180)
    wait_until("the collector is healthy", lambda: is_healthy("collector"))
    wait_until(
        "the collector has handed in",
        lambda: (found := api.get(path)["collection"]).get("last_collector") == "compose" and not found["failures"],
        seconds=120,
    )
