"""Releases: one version everywhere, refusals, the same bytes twice, and the archives' install script."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from conftest import PACKAGES as NAMES
from conftest import ROOT, VERSION, binary, needs_packagers


def test_one_version():
    """Binaries, chart and changelog speak of the version in Cargo.toml."""
    for name in NAMES:
        said = subprocess.run([binary(name), "--version"], text=True, capture_output=True, check=True).stdout
        assert said == f"{name} {VERSION}\n"
    chart = ROOT / "charts/infra-watch/Chart.yaml"
    if chart.exists():
        assert yaml.safe_load(chart.read_text())["appVersion"] == VERSION
    newest = re.search(r"(?m)^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text())[1]
    assert newest in ("Unreleased", VERSION)


@pytest.fixture
def clone(tmp_path):
    """A clone of the last commit."""
    subprocess.run(["git", "clone", "--quiet", "--no-local", "--depth=1", f"file://{ROOT}", tmp_path / "clone"], check=True)
    return tmp_path / "clone"


def refusal(clone):
    done = subprocess.run([clone / "scripts/release.sh"], text=True, capture_output=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def test_what_is_not_ready_is_not_released(clone):
    changelog = clone / "CHANGELOG.md"
    changelog.write_text(changelog.read_text() + "\nnot committed\n")
    assert "the tree differs" in refusal(clone)
    changelog.write_text("# Changelog\n\n## 0.0.1\n\n## Unreleased\n")
    author = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *author, "commit", "--quiet", "--all", "--message=Test"], cwd=clone, check=True)
    assert f"no section '## {VERSION}'" in refusal(clone)


@needs_packagers
def test_the_same_commit_gives_the_same_files(packages, tmp_path):
    """Whatever the time, the time zone, the umask and the ages of the files."""
    for path in (ROOT / "deploy").rglob("*.service"):
        os.utime(path, (0, 0))
    command = [ROOT / "scripts/packages.sh", "--fast", "--binaries", packages / "binaries", "--output", tmp_path]
    environment = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
    subprocess.run(command, env=environment, umask=0o077, stdout=subprocess.DEVNULL, check=True)
    made = [path for path in tmp_path.iterdir() if path.is_file()]
    assert len(made) == 6, made
    for path in made:
        assert path.read_bytes() == (packages / path.name).read_bytes(), path.name


@needs_packagers
@pytest.mark.parametrize("name", NAMES)
def test_install_script(packages, tmp_path, name):
    """Into a directory: everything in its place, settings never overwritten, all but them gone afterwards."""
    folder = f"{name}-{VERSION}-{os.uname().machine}"
    subprocess.run(["tar", "--extract", "--file", packages / f"{folder}.tar.gz"], cwd=tmp_path, check=True)
    root, script = tmp_path / "root", tmp_path / folder / "install.sh"
    settings = root / "etc/infra-watch" / ("agent.toml" if name == "infra-watch-agent" else "infra-watch.toml")

    def install(*arguments):
        # A relative directory is that of the caller.
        done = subprocess.run([script, "--destdir", "root", *arguments], cwd=tmp_path, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout

    def modes():
        return {str(path.relative_to(root)): f"{path.stat().st_mode & 0o7777:o}" for path in root.rglob("*")}

    code, said = install()
    assert code == 0 and "systemctl enable --now" in said, said
    there = modes()
    assert there[f"usr/bin/{name}"] == "755"
    for path in (f"lib/systemd/system/{name}.service", f"lib/sysusers.d/{name}.conf", f"lib/tmpfiles.d/{name}.conf",
                 f"share/man/man1/{name}.1.gz", f"share/doc/{name}/LICENSE-MIT", f"share/doc/{name}/changelog.gz",
                 f"share/bash-completion/completions/{name}", f"share/zsh/site-functions/_{name}",
                 f"share/fish/vendor_completions.d/{name}.fish"):
        assert there[f"usr/{path}"] == "644"
    assert there[str(settings.relative_to(root))] == "640"
    assert there[f"var/lib/{name}"] == "700"
    assert there.get("etc/infra-watch/admin-password") == (None if name == "infra-watch-agent" else "640")
    subprocess.run([root / "usr/bin" / name, "config", "check", settings], check=True, stdout=subprocess.DEVNULL)

    # Again, over settings that were changed.
    settings.write_text("# ours\n")
    code, said = install()
    assert code == 0 and f"{settings.name}.new" in said, said
    assert settings.read_text() == "# ours\n"

    code, said = install("--uninstall")
    assert code == 0, said
    left = [path for path in modes() if (root / path).is_file()]
    assert not [path for path in left if not path.startswith("etc/")], left
    assert settings.read_text() == "# ours\n" and (root / "var/lib" / name).is_dir()

    # A damaged archive, and one that holds something else.
    other = "--agent" if name == "infra-watch" else "--backend"
    code, said = install(other)
    assert code == 1 and "archive of its own" in said
    with open(tmp_path / folder / "bin" / name, "ab") as file:
        file.write(b"x")
    shutil.rmtree(root)
    code, said = install()
    assert code == 1 and "damaged" in said
    assert not root.exists()
