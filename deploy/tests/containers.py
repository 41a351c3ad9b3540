"""What the tests of containers share: a local Docker daemon, if one answers."""

import functools
import json
import pathlib
import platform
import shutil
import subprocess

import pytest
from conftest import ROOT

IMAGES = {"infra-watch": "backend", "infra-watch-agent": "agent"}


def run(*command, **options):
    """The output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def docker(*arguments, **options):
    return run("docker", *arguments, **options)


@functools.cache
def why_not():
    """Why nothing can be done with containers here, if so."""
    if not shutil.which("docker"):
        return "docker is not installed"
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        return "no Docker daemon answers"
    missing = [name for name in IMAGES if not (ROOT / "target/static" / platform.machine() / name).exists()]
    if missing:
        return f"{' and '.join(missing)} not in target/static: make static"
    return None


@functools.cache
def images():
    """Builds the images of target/static; skips the test where that cannot be."""
    if why_not():
        pytest.skip(why_not())
    run("scripts/images.sh")


def inspect(name):
    return json.loads(docker("inspect", name))[0]


def health(container):
    return inspect(container)["State"]["Health"]["Status"]


def published(container, port):
    """The address at which a container's port is reached."""
    [binding] = inspect(container)["NetworkSettings"]["Ports"][f"{port}/tcp"]
    return f"http://{binding['HostIp']}:{binding['HostPort']}"


def dockerfile(folder):
    """The instructions of a Dockerfile: of each stage its name and pairs of keyword and arguments."""
    text = (pathlib.Path(ROOT) / folder / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stages = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            image, _, name = rest.partition(" AS ")
            stages[name or "final"] = [("FROM", image)]
        elif keyword and stages:
            stages[list(stages)[-1]].append((keyword, " ".join(rest.split())))
    return stages
