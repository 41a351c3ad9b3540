"""What docs/operations.md tells an operator to do, done."""

import json
import re
import subprocess

from conftest import ROOT, binary, wait_until

NEW_PASSWORD = "another passphrase here"


def stop(backend):
    backend.process.terminate()
    backend.process.wait(30)


def test_a_forgotten_password(start_backend, tmp_path):
    stop(start_backend(data_dir=tmp_path / "data"))
    command = [binary("infra-watch"), "user", "set-password", "admin", "--data-dir", tmp_path / "data"]
    subprocess.run(command, input=f"{NEW_PASSWORD}\n", text=True, check=True)
    start_backend(data_dir=tmp_path / "data").login(NEW_PASSWORD)


def test_tokens_are_rotated_and_the_host_stays(start_backend, start_agent, tmp_path):
    data = tmp_path / "data"
    backend = start_backend(data_dir=data).login()
    start_agent(backend.url)
    host = backend.wait_for_host()

    def is_heard_since(backend, moment):
        hosts = backend.get("/api/v1/hosts")["items"]
        assert [known["host_id"] for known in hosts] == [host["host_id"]]
        return hosts[0]["last_seen_at"] > moment

    # The host's token is revoked: with an enrolment key the agent comes back by itself.
    status, _, text = backend.call(f"/api/v1/hosts/{host['host_id']}/token", method="POST")
    assert status in (200, 201), text
    revoked_at = backend.get("/api/v1/audit")["items"][0]["at"]
    wait_until("the agent is back", lambda: is_heard_since(backend, revoked_at))

    # The signing key is gone: everybody's tokens end, the agent comes back as the same host.
    stop(backend)
    (data / "jwt_secret").unlink()
    (data / "ssh_key").rename(tmp_path / "old_ssh_key")
    again = start_backend(listen=backend.url.removeprefix("http://"), data_dir=data)
    again.token = backend.token
    assert again.call("/api/v1/hosts")[0] == 401
    again.login()
    started_at = again.get("/api/v1/system")["started_at"]
    wait_until("the agent is back", lambda: is_heard_since(again, started_at))
    assert (data / "ssh_key").read_text() != (tmp_path / "old_ssh_key").read_text()


def test_a_rehearsed_restore(start_backend, start_agent, tmp_path):
    backups, passphrase = tmp_path / "backups", tmp_path / "passphrase"
    backups.mkdir()
    passphrase.write_text("what opens a backup")
    data = tmp_path / "data"
    backend = start_backend("--backup-dir", backups, "--backup-keep", "1", "--backup-passphrase-file", passphrase,
                            data_dir=data).login()
    start_agent(backend.url)
    host = backend.wait_for_host()

    # Made now and again, each in a second of its own: the newest is kept, and nobody else may read it.
    made = []

    def makes_another():
        if backend.call("/api/v1/system/jobs/backup/run", method="POST")[0] != 200:
            return False
        made.append(max(path.name for path in backups.iterdir()))
        return True

    for _ in range(2):
        wait_until("a backup", makes_another)
    [kept] = backups.iterdir()
    assert kept.name == made[-1] and made[0] < made[1]
    assert kept.suffix == ".age" and kept.stat().st_mode & 0o777 == 0o600
    _, _, text = backend.call("/metrics")
    assert float(re.search(r"^infra_watch_last_backup_timestamp_seconds (\S+)$", text, re.MULTILINE).group(1)) > 0

    # The whole thing moves: the same address, the old tokens, and the agent goes on.
    stop(backend)
    data.rename(tmp_path / "before")
    restore = [binary("infra-watch"), "restore", kept, "--data-dir", data]
    assert subprocess.run([*restore, "--passphrase-file", ROOT / "Makefile"]).returncode == 1
    subprocess.run([*restore, "--passphrase-file", passphrase], check=True)
    again = start_backend(listen=backend.url.removeprefix("http://"), data_dir=data)
    again.token = backend.token
    started_at = again.get("/api/v1/system")["started_at"]
    wait_until("the agent goes on", lambda: again.get("/api/v1/hosts")["items"][0]["last_seen_at"] > started_at)
    assert [known["host_id"] for known in again.get("/api/v1/hosts")["items"]] == [host["host_id"]]
    enrolled = [entry for entry in again.get("/api/v1/audit")["items"] if entry["action"].startswith("host.enroll")]
    assert len(enrolled) == 1


def test_a_damaged_store_is_refused_and_left(start_backend, tmp_path):
    data = tmp_path / "data"
    stop(start_backend(data_dir=data))
    for name in ["state.redb", "series.redb"]:
        whole = (data / name).read_bytes()
        for damaged in [whole[:len(whole) // 2], None]:
            (data / name).unlink()
            if damaged is not None:
                (data / name).write_bytes(damaged)
            refused = subprocess.run(
                [binary("infra-watch"), "serve", "--listen", "127.0.0.1:0", "--data-dir", data],
                capture_output=True, text=True, timeout=60)
            assert refused.returncode == 1
            assert "the store is damaged" in refused.stderr, refused.stderr
            if damaged is not None:
                assert (data / name).read_bytes() == damaged
            else:
                assert not (data / name).exists()
        (data / name).write_bytes(whole)
    start_backend(data_dir=data).login()


def test_a_viewers_token_reads_the_metrics_and_no_more(start_backend):
    backend = start_backend().login()
    status, _, text = backend.call("/api/v1/api-tokens", {"name": "prometheus", "role": "viewer"})
    assert status == 201, text
    backend.token = json.loads(text)["token"]
    assert backend.call("/metrics")[0] == 200
    assert backend.call("/api/v1/audit")[0] == 403
