"""The static agents: what they are made of, and that each gives a whole report, the other processor's under qemu."""

import json
import platform
import shutil
import subprocess

import pytest
from conftest import ROOT

ARCHITECTURES = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}
AGENT_BYTES_MAX = 12_000_000


def agent(architecture):
    path = ROOT / "target/static" / architecture / "infra-watch-agent"
    assert path.exists(), f"{path} is not there: scripts/static.sh infra-watch-agent"
    return path


def runner(architecture):
    """What a program of this processor is started with."""
    if architecture == platform.machine():
        return []
    name = f"qemu-{architecture}"
    found = shutil.which(name) or shutil.which(f"{name}-static")
    assert found, f"{name} is not there: apt-get install qemu-user"
    return [found]


def elf(option, path):
    return subprocess.run(["readelf", "--wide", option, path], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_file_is_static_and_small(architecture):
    path = agent(architecture)
    assert path.stat().st_size < AGENT_BYTES_MAX
    assert ARCHITECTURES[architecture] in elf("--file-header", path)
    assert "INTERP" not in elf("--program-headers", path), "it asks for a dynamic loader"
    assert "NEEDED" not in elf("--dynamic", path), "it asks for libraries"
    assert ".debug_info" not in elf("--section-headers", path), "it is not stripped"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_gives_a_whole_report(architecture, tmp_path):
    command = [*runner(architecture), agent(architecture), "report", "--state-dir", tmp_path / "state"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)

    assert report["host"]["architecture"] == architecture
    assert report["host"]["hostname"] == platform.node()
    assert report["host"]["kernel"] == platform.release()
    assert report["host"]["cpu_count"] > 0 and report["host"]["memory_bytes"] > 0
    assert (tmp_path / "state/install-id").read_text().strip() == report["host"]["install_id"]

    names = [(series["metric"], series.get("instance")) for series in report["series"]]
    [point] = report["points"]
    values = dict(zip(names, point["values"], strict=True))
    for metric in ("cpu_usage_percent", "memory_usage_percent", "load1", "uptime_seconds", "process_count"):
        assert values[metric, None] is not None, metric
    assert 0 < values["disk_usage_percent", "/"] < 100

    sections = report["snapshot"]["sections"]
    assert sections["os"]["architecture"] == architecture
    assert "dpkg/base-files:" + {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()] in sections["packages"]
    assert not report["snapshot"].get("failed")
