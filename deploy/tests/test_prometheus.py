"""What is shipped for Prometheus and Grafana, in a real Prometheus that scrapes a real backend over TLS."""

import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import ROOT, free_port, wait_until

EXAMPLES = ROOT / "deploy/prometheus"
DASHBOARD = json.loads((ROOT / "deploy/grafana/infra-watch.json").read_text())
# What Grafana puts in.
VARIABLES = {"$__rate_interval": "1m", "$host": ".*"}


def test_the_alerts_fire_for_what_they_are_there_for():
    subprocess.run(["promtool", "check", "rules", EXAMPLES / "alerts.yml"], check=True)
    subprocess.run(["promtool", "test", "rules", EXAMPLES / "alerts.test.yml"], check=True)
    groups = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"]
    cases = (EXAMPLES / "alerts.test.yml").read_text()
    for rule in (rule for group in groups for rule in group["rules"]):
        assert f'alertname="{rule["alert"]}"' in cases, f"{rule['alert']} is not tried"


class Prometheus:
    def __init__(self, url):
        self.url = url

    def ask(self, path, **query):
        """The data of an answer, or the error."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error

    def query(self, expression):
        return self.ask("query", query=expression)["result"]


@pytest.fixture
def prometheus(tmp_path, certificate, start_backend, start_agent, monkeypatch):
    """Prometheus under the shipped configuration, of which only addresses, files and the interval are others."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    backend = start_backend("--tls-cert", certificate[0], "--tls-key", certificate[1]).login()
    start_agent(backend.url, "--ca-file", certificate[0])
    backend.wait_for_host()
    status, _, text = backend.call("/api/v1/api-tokens", {"name": "prometheus", "role": "viewer"})
    assert status == 201, text
    (tmp_path / "token").write_text(json.loads(text)["token"] + "\n")

    text = (EXAMPLES / "prometheus.yml").read_text()
    for old, new in {
        "watch.example.org": backend.url.removeprefix("https://"),
        "/etc/prometheus/infra-watch-token": str(tmp_path / "token"),
        "# tls_config:": "tls_config:",
        "#   ca_file: /etc/prometheus/infra-watch-ca.crt": f"  ca_file: {certificate[0]}",
        "scrape_interval: 30s": "scrape_interval: 1s",
        "- alerts.yml": f"- {EXAMPLES / 'alerts.yml'}",
    }.items():
        assert old in text, f"{old} is not there"
        text = text.replace(old, new)
    configuration, log = tmp_path / "prometheus.yml", tmp_path / "prometheus.log"
    configuration.write_text(text + "\nglobal: { evaluation_interval: 1s }\n")
    subprocess.run(["promtool", "check", "config", configuration], check=True)

    port = free_port()
    with open(log, "wb") as out:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=out, stderr=out, env={"PATH": os.environ["PATH"]})
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    prometheus.backend = backend

    def has_scraped():
        assert process.poll() is None, log.read_text()
        try:
            # While it starts, it refuses questions.
            urllib.request.urlopen(f"{prometheus.url}/-/ready", timeout=30).close()
        except OSError:
            return False
        return [sample["value"][1] for sample in prometheus.query('up{job="infra-watch"}')] == ["1"]

    try:
        wait_until("Prometheus scrapes the backend", has_scraped)
        yield prometheus
    finally:
        process.terminate()
        process.wait(30)


def expressions():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield f"{panel['title']} {target['refId']}", expression


def test_a_real_prometheus(prometheus):
    # Labels are what the backend says: the mount point, and the backend's jobs.
    disks = prometheus.query("infra_watch_host_disk_usage_percent")
    assert any(disk["metric"]["instance"] == "/" for disk in disks), disks
    assert not any("exported" in label for disk in disks for label in disk["metric"])
    wait_until("a job has run", lambda: prometheus.query('infra_watch_job_runs_total{job="evaluate"}'))

    def rules():
        groups = prometheus.ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_until("each alert was evaluated", lambda: all(rule["health"] == "ok" for rule in rules()), 120)
    firing = [rule["name"] for rule in rules() if rule["state"] == "firing"]
    assert not firing

    # Every question of the dashboard has an answer, and those about what an idle backend has are not empty.
    answers = {title: prometheus.query(expression) for title, expression in expressions()}
    for title in ["Hosts that report A", "Silent hosts A", "Hosts now A", "CPU A", "Disks A", "Who reports A",
                  "Bytes on disk A", "Disk A", "Jobs: how long ago A", "Watched A", "Evaluation B"]:
        assert answers[title], title
    assert answers["Hosts that report A"][0]["value"][1] == "1"
    assert answers["Who reports A"][0]["value"][1] == "1"


def test_the_dashboard_is_one_that_grafana_takes():
    assert DASHBOARD["schemaVersion"] >= 39 and DASHBOARD["uid"] == "infra-watch"
    # Grafana gives what is imported an id of its own.
    assert "id" not in DASHBOARD
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} <= {"row", "stat", "table", "timeseries", "state-timeline"}

    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"] and panel["fieldConfig"]["defaults"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])

    # What is not a variable of Grafana's is one of ours.
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = re.findall(r"\$\{?(\w+)", json.dumps(panels))
    assert {name for name in used if not name.startswith("__")} == variables.keys()


@pytest.mark.parametrize("name", ["deploy/grafana/infra-watch.json", "deploy/prometheus/alerts.yml"])
def test_series_are_documented(name):
    documented = (ROOT / "docs/metrics.md").read_text()
    used = set(re.findall(r"\binfra_watch_\w+", (ROOT / name).read_text()))
    assert used
    for series in used:
        names = {series, re.sub(r"_(bucket|sum|count)$", "", series)}
        assert any(f"`{name}`" in documented for name in names), f"{series} is not in docs/metrics.md"
