"""Images: what their Dockerfiles say, and, where a Docker daemon answers, that they are built, run and watch a host."""

import json
import platform
import re
import stat
import subprocess
import tarfile

import pytest
from conftest import ENROLLMENT_KEY, PASSWORD, ROOT, Backend, wait_until
from containers import IMAGES, docker, dockerfile, health, images, inspect, published, run

BYTES_MAX = {"infra-watch": 40_000_000, "infra-watch-agent": 12_000_000}
CONTEXT_BYTES_MAX = 10_000_000
# What Docker itself puts into every container.
OF_DOCKER = re.compile(r"\.dockerenv|(dev|proc|sys)(/.*)?|etc/(hostname|hosts|mtab|resolv\.conf)")
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "128"]


@pytest.mark.parametrize("name, folder", IMAGES.items())
def test_dockerfiles(name, folder):
    stages = dockerfile(folder)
    base = dict(stages["base"])
    assert base["FROM"] == "scratch"
    assert base["USER"] == "65532:65532"
    assert base["ENTRYPOINT"] == json.dumps([f"/usr/bin/{name}"])
    check = base["HEALTHCHECK"].partition(" CMD ")[2]
    assert json.loads(check) == [f"/usr/bin/{name}", "health"], "the image has no shell"
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in base["LABEL"]

    # Builders without BuildKit build every stage before the target: none of them may pull.
    assert list(stages)[:2] == ["base", "prebuilt"] and list(stages)[-1] == "final"
    for stage in ("prebuilt", "final"):
        assert stages[stage][0] == ("FROM", "base")
        assert {keyword for keyword, _ in stages[stage]} <= {"FROM", "COPY", "VOLUME"}
    for stage in stages.values():
        image = stage[0][1].split()[-1]
        assert image in (*stages, "scratch") or re.search(r":\d", image), f"{image} has no fixed version"


def test_the_context_is_small():
    """What .dockerignore lets through is what is built from, no more."""
    images()
    docker("build", "--tag", "infra-watch-context:test", "--file", "-", ".", input="FROM scratch\nCOPY . /\n")
    try:
        assert inspect("infra-watch-context:test")["Size"] < CONTEXT_BYTES_MAX
        files = listing("infra-watch-context:test")
    finally:
        docker("image", "rm", "infra-watch-context:test")
    assert {"Cargo.lock", "backend/src/main.rs", "scripts/static.sh", "dashboard/package-lock.json"} <= files.keys()
    unwanted = re.compile(r"(target|data|\.git|deploy|docs)/.+|[a-z]+/tests/.+|dashboard/(dist|node_modules)/.+|.*secret.*\.txt")
    assert not [path for path in files if unwanted.fullmatch(path)]


def listing(image):
    """Every entry of an image's root file system, but those of Docker."""
    container = docker("create", image, "-").strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            with tarfile.open(fileobj=export.stdout, mode="r|") as archive:
                entries = {entry.name: entry for entry in archive}
    finally:
        docker("rm", "--volumes", container)
    return {name: entry for name, entry in entries.items() if not OF_DOCKER.fullmatch(name)}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_the_binary_and_no_more(name):
    images()
    assert inspect(f"{name}:local")["Size"] < BYTES_MAX[name]
    entries = listing(f"{name}:local")
    documents = f"usr/share/doc/{name}"
    assert {path for path, entry in entries.items() if not entry.isdir()} == {
        f"usr/bin/{name}",
        "etc/ssl/certs/ca-certificates.crt",
        f"{documents}/LICENSE",
        f"{documents}/LICENSE-APACHE",
        f"{documents}/LICENSE-MIT",
        f"{documents}/third-party.txt",
    }
    owned = {path: oct(stat.S_IMODE(entry.mode)) for path, entry in entries.items() if entry.uid == 65532 and entry.gid == 65532}
    expect = {f"var/lib/{name}": "0o700"}
    if name == "infra-watch":
        expect[f"var/backups/{name}"] = "0o700"
    assert owned == expect
    assert all(entry.uid == entry.gid == 0 for path, entry in entries.items() if path not in owned)


@pytest.fixture
def start():
    """Starts containers, hardened: `start(image, *arguments, command=[])`; each is removed with the test."""
    started = []

    def start(image, *arguments, command=()):
        started.append(docker("run", "--detach", *HARDENED, *arguments, image, *command).strip())
        return started[-1]

    yield start
    for container in started:
        # To be seen when the test fails.
        subprocess.run(["docker", "logs", container])
        docker("rm", "--force", "--volumes", container)


def test_containers_watch_this_machine(start, tmp_path):
    images()
    # Files one by one, as Compose mounts secrets: nobody else gets through the directory.
    secrets = []
    for name, text in (("password", PASSWORD), ("enrollment-key", ENROLLMENT_KEY)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o444)
        secrets += ["--volume", f"{tmp_path / name}:/run/secrets/{name}:ro"]

    backend = start(
        "infra-watch:local",
        *secrets,
        *("--publish", "127.0.0.1::7420"),
        *("--env", "INFRA_WATCH_ADMIN_PASSWORD_FILE=/run/secrets/password"),
        *("--env", "INFRA_WATCH_ENROLLMENT_KEY_FILE=/run/secrets/enrollment-key"),
        *("--health-interval", "1s"),
    )
    wait_until("the backend is healthy", lambda: health(backend) == "healthy")
    url = published(backend, 7420)
    api = Backend(url, None, None).login()

    agent = start(
        "infra-watch-agent:local",
        *secrets,
        *("--network", "host", "--volume", "/:/host:ro"),
        *("--env", f"INFRA_WATCH_AGENT_SERVER={url}"),
        *("--env", "INFRA_WATCH_AGENT_ENROLLMENT_KEY_FILE=/run/secrets/enrollment-key"),
        *("--env", "INFRA_WATCH_AGENT_HOST_ROOT=/host", "--env", "INFRA_WATCH_AGENT_INTERVAL=1s"),
        *("--health-interval", "1s"),
    )
    host = api.wait_for_host()
    wait_until("the agent is healthy", lambda: health(agent) == "healthy")

    # It is this machine that is seen, not the container.
    assert (host["hostname"], host["kernel"], host["health"]) == (platform.node(), platform.release(), "green")
    assert host["os"] == platform.freedesktop_os_release()["PRETTY_NAME"]
    path = f"/api/v1/hosts/{host['host_id']}/snapshots/latest"
    wait_until("its configuration is there", lambda: api.call(path)[0] == 200)
    snapshot = api.get(path)
    packages = {key for key in snapshot["sections"]["packages"] if key.startswith("dpkg/")}
    assert len(packages) == run("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\n").count("ii ")
    assert not snapshot["failed_sections"]
    assert "HOSTNAME" not in snapshot["sections"]["environment"], "the container's own"

    # Both end when they are told to, the backend with all written.
    for container in (agent, backend):
        docker("stop", "--time", "30", container)
        assert inspect(container)["State"]["ExitCode"] == 0


def test_a_container_without_its_host_says_so(start):
    images()
    agent = start("infra-watch-agent:local", "--env", "INFRA_WATCH_AGENT_HOST_ROOT=/host", command=["report"])
    wait_until("it has ended", lambda: inspect(agent)["State"]["Status"] == "exited")
    assert inspect(agent)["State"]["ExitCode"] == 1
    logs = subprocess.run(["docker", "logs", agent], capture_output=True, text=True)
    assert "/host" in logs.stderr and not logs.stdout
