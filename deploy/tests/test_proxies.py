"""The example configurations for reverse proxies, each in front of a real backend. Only addresses and paths differ."""

import asyncio
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import uuid

import pytest
import yaml

from conftest import ENROLLMENT_KEY, PASSWORD, ROOT, binary, free_port, wait_until

EXAMPLES = ROOT / "deploy/proxy"
# The proxy dials from 127.0.0.1, which is trusted: people come from elsewhere.
CLIENT = "127.0.0.2"
MIB = 1024 * 1024


def localized(example, certificate, backend_port):
    """An example with this machine's name, certificate and backend in it."""
    text = (EXAMPLES / example).read_text()
    for old, new in {
        "watch.example.org": "localhost",
        "/etc/infra-watch/tls.crt": str(certificate[0]),
        "/etc/infra-watch/tls.key": str(certificate[1]),
        "127.0.0.1:7420": f"127.0.0.1:{backend_port}",
    }.items():
        assert old in text, f"{example}: {old} is not there"
        text = text.replace(old, new)
    return text


def nginx(directory, site, http_port, https_port):
    """nginx with the site in it, as Debian's nginx.conf includes one."""
    for old, new in {"listen 80;": f"listen 127.0.0.1:{http_port};",
                     "listen 443 ": f"listen 127.0.0.1:{https_port} "}.items():
        assert old in site
        site = site.replace(old, new)
    (directory / "site.conf").write_text(site)
    kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr notice;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary} include {directory}/site.conf; }}\n")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return [program, "-e", "stderr", "-p", directory, "-c", directory / "nginx.conf"]


def caddy(directory, site, http_port, https_port):
    """Caddy with the site in it and ports of its own."""
    options = (f"{{\n admin off\n skip_install_trust\n default_bind 127.0.0.1\n http_port {http_port}\n"
               f" https_port {https_port}\n}}\n")
    (directory / "Caddyfile").write_text(options + site)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]


class Proxied:
    """The backend as people reach it: over TLS, through the proxy, from an address that is not the proxy's."""

    def __init__(self, certificate, http_port, https_port):
        self.context = ssl.create_default_context(cafile=certificate[0])
        self.http_port, self.https_port = http_port, https_port
        self.url = f"https://localhost:{https_port}"

    def call(self, method, path, body=None, **headers):
        """The answer with its text."""
        connection = http.client.HTTPSConnection(
            "localhost", self.https_port, timeout=30, context=self.context, source_address=(CLIENT, 0))
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()

    async def status_while_sending(self, path, token, body):
        """The status of an answer that may come, and end the connection, before all of the body is sent."""
        reader, writer = await asyncio.open_connection("localhost", self.https_port, ssl=self.context)
        head = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        writer.write(head.encode() + body)
        status = (await asyncio.wait_for(reader.readline(), 30)).split()[1]
        writer.transport.abort()
        return int(status)

    def login(self, **headers):
        answer, text = self.call(
            "POST", "/api/v1/auth/login", json.dumps({"username": "admin", "password": PASSWORD}), **headers)
        assert answer.status == 200, text
        return answer, json.loads(text)["access_token"]


@pytest.fixture(params=[nginx, caddy], ids=lambda start: start.__name__)
def proxied(request, tmp_path, certificate, start_backend):
    """A backend behind each of the proxies."""
    http_port, https_port = free_port(), free_port()
    backend = start_backend("--trusted-proxies", "127.0.0.1/32", "--public-url", f"https://localhost:{https_port}")
    site = localized({nginx: "nginx.conf", caddy: "Caddyfile"}[request.param], certificate, backend.url.split(":")[-1])
    directory = tmp_path / "proxy"
    directory.mkdir()
    log = directory / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            request.param(directory, site, http_port, https_port), stdout=out, stderr=out,
            env={"PATH": os.environ["PATH"], "HOME": str(directory)})
    proxied = Proxied(certificate, http_port, https_port)
    proxied.backend = backend

    def answers():
        assert process.poll() is None, log.read_text()
        try:
            return proxied.call("GET", "/readyz")[0].status == 200
        except OSError:
            return False

    try:
        wait_until(f"{request.param.__name__} answers", answers)
        yield proxied
    finally:
        process.terminate()
        process.wait(30)


def test_login(proxied):
    answer, token = proxied.login(X_Forwarded_For="203.0.113.9")

    cookie = answer.getheader("Set-Cookie")
    assert cookie.startswith("infra_watch_refresh=")
    assert {"Secure", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert answer.msg.get_all("Strict-Transport-Security") == ["max-age=31536000"]

    refreshed, text = proxied.call("POST", "/api/v1/auth/refresh", Cookie=cookie.split(";")[0])
    assert refreshed.status == 200, text

    # Whose address is in the audit log: neither the proxy's nor the one that the client claims.
    _, text = proxied.call("GET", "/api/v1/audit", Authorization=f"Bearer {token}")
    entries = [entry for entry in json.loads(text)["items"] if entry["action"] == "session.create"]
    assert [entry["address"] for entry in entries] == [CLIENT]


def test_plain_http_is_sent_to_tls(proxied):
    connection = http.client.HTTPConnection("localhost", proxied.http_port, timeout=30)
    connection.request("GET", "/hosts?status=down")
    answer = connection.getresponse()
    assert answer.status == 308
    location = re.sub(r":\d+/", "/", answer.getheader("Location"))
    assert location == "https://localhost/hosts?status=down"
    connection.close()


def test_bodies(proxied):
    """As much as the backend takes reaches it; more is refused with the status that makes agents send less."""
    _, token = proxied.login()
    machine = {"install_id": str(uuid.uuid4()), "machine_id": "0" * 32, "hostname": "web-1", "agent_version": "1.0.0"}
    answer, text = proxied.call(
        "POST", "/api/v1/agent/enroll", json.dumps(machine), Authorization=f"Bearer {ENROLLMENT_KEY}")
    assert answer.status == 201, text
    host_token = json.loads(text)["token"]

    def is_read(path, token, megabytes):
        body = json.dumps({"reason": "x" * int(megabytes * MIB)})
        answer, text = proxied.call("POST", path, body, Authorization=f"Bearer {token}")
        return answer.status == 422 and answer.getheader("Content-Type").startswith("application/problem+json")

    def is_refused(path, token, megabytes):
        return asyncio.run(proxied.status_while_sending(path, token, b"x" * int(megabytes * MIB))) == 413

    assert is_read("/api/v1/drift/approve", token, 3.9)
    assert is_refused("/api/v1/drift/approve", token, 4.1)
    assert is_read("/api/v1/agent/reports", host_token, 0.99)
    assert is_refused("/api/v1/agent/reports", host_token, 1.01)


def test_a_backup_flows_through(proxied, certificate, tmp_path):
    proxied.backend.login()
    status, _, text = proxied.backend.call("/api/v1/api-tokens", {"name": "backup", "role": "admin"})
    assert status == 201, text
    (tmp_path / "token").write_text(json.loads(text)["token"])
    backup = tmp_path / "infra-watch.backup"
    subprocess.run([binary("infra-watch"), "backup", backup, "--server", proxied.url, "--ca-file", certificate[0],
                    "--token-file", tmp_path / "token"], check=True)
    subprocess.run([binary("infra-watch"), "restore", backup, "--data-dir", tmp_path / "restored"], check=True)


def test_connections_to_the_backend_are_kept(proxied):
    port = proxied.backend.url.split(":")[-1]
    backend = f"0100007F:{int(port):04X}"

    def connections():
        """Those to the backend, also those that ended a moment ago."""
        lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        return sum(backend in line.split()[1:3] for line in lines)

    before = connections()
    for _ in range(20):
        assert proxied.call("GET", "/livez")[0].status == 200
    # Each kept one has two ends.
    assert connections() - before <= 8


def test_an_agent_comes_up(proxied, certificate, start_agent):
    start_agent(proxied.url, "--ca-file", certificate[0])
    proxied.backend.login().wait_for_host()


def test_traefik_is_complete(certificate):
    """Traefik is not in Debian: its example is read, not tried."""
    rules = yaml.safe_load(localized("traefik.yaml", certificate, 7420))
    http, router = rules["http"], rules["http"]["routers"]["infra-watch"]
    assert router["rule"] == "Host(`localhost`)"
    assert set(router["middlewares"]) <= http["middlewares"].keys()
    balancer = http["services"][router["service"]]["loadBalancer"]
    assert balancer["serversTransport"] in http["serversTransports"]
    assert balancer["servers"] == [{"url": "http://127.0.0.1:7420"}]
