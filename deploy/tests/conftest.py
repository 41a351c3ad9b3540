"""What the tests of deployments share: where things are, and a real backend on a port of its own."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"
ENROLLMENT_KEY = "an enrolment key for tests"


def binary(name):
    """The debug build of `infra-watch` or `infra-watch-agent`, as `make test` leaves it."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "debug" / name
    assert path.exists(), f"{path} is not there: cargo build --workspace --bins"
    return path


def wait_until(what, condition, seconds=60):
    """Waits for a condition, and says what of when it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine that nobody signed, and its key."""
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-addext", "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True,
    )
    return files


class Backend:
    """A running backend, spoken to as an admin."""

    def __init__(self, url, process, log):
        self.url, self.process, self.log = url, process, log
        self.token = None

    def call(self, path, body=None, method=None, headers=None):
        """The answer's status, headers and text."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def get(self, path):
        """The JSON of an answer that must be 200."""
        status, _, text = self.call(path)
        assert status == 200, f"{path}: {status} {text}"
        return json.loads(text)

    def login(self, password=PASSWORD):
        status, _, text = self.call("/api/v1/auth/login", {"username": "admin", "password": password})
        assert status == 200, text
        self.token = json.loads(text)["access_token"]
        return self

    def wait_for_host(self, seconds=60):
        """The first host that is up."""
        def up():
            hosts = self.get("/api/v1/hosts")["items"]
            return next((host for host in hosts if host["status"] == "up"), None)
        return wait_until("a host is up", up, seconds)


@pytest.fixture
def start_backend(tmp_path):
    """Starts backends: `start_backend(*arguments)`; each ends with the test."""
    started = []

    def start(*arguments, data_dir=None, listen="127.0.0.1:0"):
        directory = data_dir or tmp_path / f"data-{len(started)}"
        log = tmp_path / f"backend-{len(started)}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "INFRA_WATCH_ADMIN_PASSWORD": PASSWORD,
            "INFRA_WATCH_ENROLLMENT_KEY": ENROLLMENT_KEY,
        }
        command = [binary("infra-watch"), "serve", "--listen", listen, "--data-dir", directory, "--drain", "0s"]
        with open(log, "wb") as out:
            process = subprocess.Popen([*command, *arguments], stderr=out, stdout=out, env=environment)
        started.append(process)

        def address():
            text = log.read_text()
            assert process.poll() is None, text
            found = re.search(r"infra-watch serves.*address=(\S+)", re.sub(r"\x1b\[[0-9;]*m", "", text))
            return found and found.group(1)

        scheme = "https" if "--tls-cert" in arguments else "http"
        return Backend(f"{scheme}://{wait_until('the backend listens', address)}", process, log)

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


@pytest.fixture
def start_agent(tmp_path):
    """Starts agents that push: `start_agent(url, *arguments)`; each ends with the test."""
    started = []

    def start(url, *arguments):
        directory = tmp_path / f"agent-{len(started)}"
        command = [binary("infra-watch-agent"), "run", "--server", url, "--interval", "1s", "--state-dir", directory]
        environment = {"PATH": os.environ["PATH"], "INFRA_WATCH_AGENT_ENROLLMENT_KEY": ENROLLMENT_KEY}
        with open(tmp_path / f"agent-{len(started)}.log", "wb") as out:
            process = subprocess.Popen([*command, *arguments], stderr=out, stdout=out, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


PACKAGES = ("infra-watch", "infra-watch-agent")
VERSION = subprocess.run([ROOT / "scripts/version.sh"], text=True, capture_output=True, check=True).stdout.strip()
needs_packagers = pytest.mark.skipif(
    not (shutil.which("cargo-deb") and shutil.which("cargo-generate-rpm")),
    reason="without cargo-deb and cargo-generate-rpm",
)


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """A directory with the packages and archives of this version and of 99.0.0, made of the debug build in `binaries`."""
    directory = tmp_path_factory.mktemp("packages")
    binaries = directory / "binaries"
    binaries.mkdir()
    for name in PACKAGES:
        subprocess.run(["strip", "-o", binaries / name, binary(name)], check=True)
    for version in (VERSION, "99.0.0"):
        command = [ROOT / "scripts/packages.sh", "--fast", "--binaries", binaries, "--version", version, "--output", directory]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout
    return directory
