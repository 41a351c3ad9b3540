"""The Helm chart, rendered and installed by the real Helm library; the objects are held against Kubernetes' schemas."""

import base64
import copy
import functools
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import helm_python
import kubernetes_validate
import pytest
import yaml

from cluster import Cluster
from conftest import ROOT, binary

CHART = ROOT / "charts" / "infra-watch"
VERSIONS = ["1.27", kubernetes_validate.latest_version()]
# Of operators that bring their own kinds: looked at by hand below.
CUSTOM = {"HTTPRoute", "ServiceMonitor"}
EVERYTHING = {
    "existingSecret": "given",
    "secretKeys": {"jwtSecret": "jwt"},
    "imagePullSecrets": [{"name": "registry"}],
    "publicUrl": "https://watch.example.org",
    "trustedProxies": ["10.42.0.0/16"],
    "config": {"retention_raw": "90d", "egress_allow": ["10.0.0.0/8"], "allow_private_egress": True},
    "tls": {"existingSecret": "tls"},
    "service": {"annotations": {"a": "b"}},
    "ingress": {"enabled": True, "className": "nginx", "annotations": {"a": "b"},
                "tls": [{"secretName": "cert", "hosts": ["watch.example.org"]}]},
    "httpRoute": {"enabled": True, "annotations": {"a": "b"}, "hostnames": ["watch.example.org"],
                  "parentRefs": [{"name": "gateway", "namespace": "gateways"}]},
    "persistence": {"storageClass": "fast", "annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"}, "podLabels": {"team": "ops"}, "priorityClassName": "high",
    "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "ops", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "extraEnv": [{"name": "INFRA_WATCH_LOG", "value": "debug"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "podDisruptionBudget": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "tokenSecret": {"name": "viewer"}},
    "agent": {"podAnnotations": {"a": "b"}, "podLabels": {"team": "ops"}, "priorityClassName": "high",
              "extraEnv": [{"name": "INFRA_WATCH_AGENT_LOG_LEVEL", "value": "debug"}], "config": {"interval": "10s"}},
    "collector": {"enabled": True, "tokenSecret": {"name": "collector"}, "sshKeySecret": {"name": "ssh"},
                  "selector": ["site=lab", "tier=edge"], "podAnnotations": {"a": "b"},
                  "extraEnv": [{"name": "INFRA_WATCH_LOG", "value": "debug"}]},
    "backup": {"enabled": True, "timeZone": "Europe/Berlin", "tokenSecret": {"name": "admin"},
               "passphraseSecret": {"name": "phrase"}, "podAnnotations": {"a": "b"}},
}
AGENTS_ALONE = {
    "backend": {"enabled": False}, "existingSecret": "given",
    "agent": {"server": "https://watch.example.org", "caSecret": {"name": "ca"}},
}
SETS = {
    "defaults": {},
    "everything": EVERYTHING,
    "agents alone": AGENTS_ALONE,
    "a collector alone": {
        "backend": {"enabled": False}, "agent": {"enabled": False},
        "collector": {"enabled": True, "server": "https://watch.example.org", "tokenSecret": {"name": "t"}},
    },
    "no agents": {"agent": {"enabled": False}},
    "nothing is kept": {"persistence": {"enabled": False}},
    "volumes that exist": {
        "persistence": {"existingClaim": "mine"},
        "backup": {"enabled": True, "tokenSecret": {"name": "t"}, "persistence": {"existingClaim": "theirs"}},
    },
    "a closed network": {"networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
    }},
    "stopped": {"replicaCount": 0},
    "others' accounts": {"serviceAccount": {"create": False}, "agent": {"serviceAccount": {"create": False}}},
    "digests": {"image": {"digest": "sha256:" + "a" * 64}, "agent": {"image": {"digest": "sha256:" + "b" * 64}}},
}


@pytest.fixture(scope="module")
def chart():
    with helm_python.Chart.load(CHART) as loaded:
        yield loaded


# Reading the schemas takes longer than using them.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


class Rendered:
    """What Helm makes of the chart with some values."""

    def __init__(self, chart, values=None, name="r"):
        files = chart.render(values or {}, name=name, namespace="n")
        self.notes = files.pop("infra-watch/templates/NOTES.txt")
        self.text = "\n---\n".join(files[name] for name in sorted(files))

    @functools.cached_property
    def objects(self):
        return [found for found in yaml.load_all(self.text, yaml.CSafeLoader) if found]

    def of(self, kind):
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind, ending=""):
        """The one object of a kind whose name ends so."""
        named = [found for found in self.of(kind) if found["metadata"]["name"].endswith(ending)]
        named = named if ending else sorted(named, key=lambda found: len(found["metadata"]["name"]))[:1]
        assert len(named) == 1, f"{kind} …{ending}: {[found['metadata']['name'] for found in self.of(kind)]}"
        return named[0]

    def pods(self):
        """Labels, annotations and spec of each pod, by component."""
        templates = [found["spec"]["template"] for kind in ("StatefulSet", "DaemonSet") for found in self.of(kind)]
        templates += [job["spec"]["jobTemplate"]["spec"]["template"] for job in self.of("CronJob")]
        templates += self.of("Pod")
        return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in templates}

    def container(self, component):
        return self.pods()[component]["spec"]["containers"][0]

    def config(self, ending=""):
        (text,) = self.one("ConfigMap", ending)["data"].values()
        return text


@pytest.fixture
def render(chart):
    return lambda values=None, name="r": Rendered(chart, values, name)


each_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())


def containers(pod):
    return pod["spec"]["containers"] + pod["spec"].get("initContainers", [])


def selects(selector, labels):
    """Whether a label selector means a pod with these labels."""
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        exact = exact and labels.get(rule["key"]) in rule["values"]
    return exact


def selected(rendered, selector):
    return {name for name, pod in rendered.pods().items() if selects(selector, pod["metadata"]["labels"])}


# --- Form ------------------------------------------------------------------------------------------------------------


@each_set
def test_lint_is_clean(values):
    report = helm_python.lint(CHART, values, strict=True)
    assert (report["messages"], report["errors"]) == ([], [])


@each_set
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_what_kubernetes_takes(render, values, version):
    rendered = render(values)
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    assert len(names) == len(set(names))
    for found in rendered.objects:
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, version, strict=True)
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", found["metadata"]["name"])


def test_one_version(chart):
    workspace = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert (chart.metadata["version"], chart.metadata["appVersion"]) == (workspace, workspace)


def test_readme_is_what_values_say():
    subprocess.run([sys.executable, ROOT / "scripts/chart-readme.py", "--check"], check=True)


def test_a_value_without_a_word_is_found():
    """Every value is explained, or lies in one that is explained as a whole."""
    sys.path.insert(0, str(ROOT / "scripts"))
    said = __import__("chart-readme").comments((CHART / "values.yaml").read_text())

    def silent(values, path=()):
        for key, value in values.items():
            here = (*path, key)
            if isinstance(value, dict) and any(other[: len(here)] == here and other != here for other in said):
                yield from silent(value, here)
            elif here not in said:
                yield here

    assert list(silent(yaml.safe_load((CHART / "values.yaml").read_text()))) == []


# --- Security --------------------------------------------------------------------------------------------------------


def breaches(pod):
    """What keeps a pod from Pod Security "restricted", by the points of that standard."""
    spec = pod["spec"]
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for volume in spec.get("volumes", []):
        for kind in set(volume) - {"name"} - allowed:
            yield f"{kind} {volume['name']}"
    outer = spec.get("securityContext", {})
    for container in containers(pod):
        inner, name = container.get("securityContext", {}), container["name"]
        both = {**outer, **inner}
        capabilities = inner.get("capabilities", {})
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name} seccomp"
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield f"{name} root"
        if inner.get("allowPrivilegeEscalation") is not False or inner.get("privileged"):
            yield f"{name} privileges"
        if capabilities.get("drop") != ["ALL"]:
            yield f"{name} keeps capabilities"
        for capability in set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{name} {capability}"
        for port in container.get("ports", []):
            if port.get("hostPort"):
                yield f"{name} host port"
    for field in ("seLinuxOptions", "sysctls", "windowsOptions", "procMount"):
        if field in outer or any(field in container.get("securityContext", {}) for container in containers(pod)):
            yield field


@each_set
def test_pods_are_restricted(render, values):
    for component, pod in render(values).pods().items():
        expected = []
        if component == "agent":
            # All that it needs beyond: what the node is, and a place there for itself.
            expected = ["hostNetwork", "hostPath host", "hostPath state", "state root", "state CHOWN"]
        assert list(breaches(pod)) == expected, component


@each_set
def test_pods_are_narrow(render, values):
    rendered = render(values)
    accounts = {account["metadata"]["name"] for account in rendered.of("ServiceAccount")}
    assert all(account["automountServiceAccountToken"] is False for account in rendered.of("ServiceAccount"))
    for component, pod in rendered.pods().items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["serviceAccountName"] in accounts or values == SETS["others' accounts"]
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (65532, 65532)
        if component != "agent":
            # Else kubelet opens the store's secrets to the group at each start.
            assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert re.fullmatch(r"infra-watch(-agent)?(:\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})", container["image"])


def test_the_agent_sees_the_node_and_writes_in_one_place(render):
    pod = render().pods()["agent"]
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["spec"]["volumes"] if "hostPath" in volume}
    assert paths == {"host": "/", "state": "/var/lib/infra-watch-agent-kubernetes"}
    (agent,), (state,) = pod["spec"]["containers"], pod["spec"]["initContainers"]
    writable = [mount["name"] for mount in agent["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["state"]
    # What has root for a moment sees no more than that.
    assert [mount["name"] for mount in state["volumeMounts"]] == ["state"]
    host = next(mount for mount in agent["volumeMounts"] if mount["name"] == "host")
    assert (host["mountPath"], host["mountPropagation"]) == ("/host", "HostToContainer")
    assert 'host_root = "/host"' in render().config("-agent")
    assert pod["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"
    own = render({"agent": {"hostNetwork": False}}).pods()["agent"]["spec"]
    assert "hostNetwork" not in own and "dnsPolicy" not in own


def test_secrets_stay_in_secrets(render):
    rendered = render()
    (secret,) = rendered.of("Secret")
    assert secret["data"].keys() == {"admin-password", "enrollment-key"}
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for value in secret["data"].values():
        plain = base64.b64decode(value).decode()
        assert re.fullmatch(r"[A-Za-z0-9]{32}", plain)
        for form in (value, plain):
            assert rendered.text.count(form) == (1 if form == value else 0)
            assert form not in rendered.notes
    assert len(set(secret["data"].values())) == 2
    assert render().one("Secret")["data"] != secret["data"]


@each_set
def test_no_literal_secret_in_the_environment(render, values):
    for pod in render(values).pods().values():
        for container in containers(pod):
            for variable in container.get("env", []):
                name = variable["name"]
                is_secret = re.search("SECRET|TOKEN|PASSWORD|KEY|PASSPHRASE", name) and not name.endswith("_FILE")
                assert not is_secret, name
                if name.endswith("_FILE"):
                    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
                    assert str(pathlib.Path(variable["value"]).parent) in paths


def mounted(pod):
    """The keys of Secrets that a pod has, as Secret and key."""
    return {(volume["secret"]["secretName"], item["key"])
            for volume in pod["spec"].get("volumes", []) if "secret" in volume for item in volume["secret"]["items"]}


def test_each_pod_has_its_own_secrets_only(render):
    assert {name: mounted(pod) for name, pod in render(EVERYTHING).pods().items()} == {
        "backend": {("given", "admin-password"), ("given", "enrollment-key"), ("given", "jwt"),
                    ("tls", "tls.crt"), ("tls", "tls.key")},
        "agent": {("given", "enrollment-key"), ("tls", "ca.crt")},
        "collector": {("collector", "token"), ("ssh", "ssh-privatekey"), ("tls", "ca.crt")},
        "backup": {("admin", "token"), ("phrase", "passphrase"), ("tls", "ca.crt")},
        "test": {("tls", "ca.crt")},
    }
    assert mounted(render(AGENTS_ALONE).pods()["agent"]) == {("given", "enrollment-key"), ("ca", "ca.crt")}
    for pod in render(EVERYTHING).pods().values():
        for volume in pod["spec"].get("volumes", []):
            # The files belong to root, and the pods' group is ours.
            assert volume.get("secret", {}).get("defaultMode", 0o440) == 0o440


def files(rendered, pod, container):
    """The files that a container has from Secrets and ConfigMaps, and the text of the latter."""
    texts = {config["metadata"]["name"]: config["data"] for config in rendered.of("ConfigMap")}
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        for item in volume.get("secret", {}).get("items", []):
            yield f"{mount['mountPath']}/{item['path']}", ""
        for key, text in texts.get(volume.get("configMap", {}).get("name"), {}).items():
            yield f"{mount['mountPath']}/{key}", text


@each_set
def test_files_are_where_they_are_looked_for(render, values):
    rendered = render(values)
    for pod in rendered.pods().values():
        for container in containers(pod):
            there = dict(files(rendered, pod, container))
            probe = container.get("livenessProbe", {}).get("exec", {}).get("command", [])
            said = [*container["args"], *probe, *there.values()]
            said += [variable["value"] for variable in container.get("env", [])]
            wanted = set(re.findall(r"/(?:run/secrets|etc/infra-watch)/[^\s\"]+", "\n".join(said)))
            assert wanted == set(there), container["name"]


def test_a_secret_that_exists(render):
    keys = {"adminPassword": "first", "enrollmentKey": "second"}
    rendered = render({"existingSecret": "given", "secretKeys": keys})
    assert rendered.of("Secret") == []
    assert mounted(rendered.pods()["backend"]) == {("given", "first"), ("given", "second")}
    assert mounted(rendered.pods()["agent"]) == {("given", "second")}
    assert "get secret given" in rendered.notes and '"first"' in rendered.notes


@each_set
def test_network_policies(render, values):
    rendered = render(values)
    there = set(rendered.pods())
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in rendered.of("NetworkPolicy")}
    covered = [selected(rendered, policy["podSelector"]) for policy in policies.values()]
    # Each pod is covered by one.
    assert sorted(name for names in covered for name in names) == sorted(there)
    for name, policy in policies.items():
        who = selected(rendered, policy["podSelector"])
        if "backend" in who:
            assert who == {"backend"}
            (rule,) = policy["ingress"]
            assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
            if peers := rule.get("from"):
                ours = [peer["podSelector"] for peer in peers if set(peer) == {"podSelector"}]
                assert [selected(rendered, peer) for peer in ours] == [there]
        else:
            # Nobody is let in.
            assert "Ingress" in policy["policyTypes"] and "ingress" not in policy
    assert render({"networkPolicy": {"enabled": False}}).of("NetworkPolicy") == []


def test_a_closed_network(render):
    rendered = render(SETS["a closed network"])
    policy = rendered.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == SETS["a closed network"]["networkPolicy"]["egress"]
    assert policy["ingress"][0]["from"][1:] == SETS["a closed network"]["networkPolicy"]["from"]
    jobs = rendered.one("NetworkPolicy", "-jobs")["spec"]
    assert selected(rendered, jobs["egress"][0]["to"][0]["podSelector"]) == {"backend"}


# --- What it does ----------------------------------------------------------------------------------------------------


@each_set
def test_selectors_find_the_backend(render, values):
    rendered = render(values)
    if "backend" not in rendered.pods():
        assert rendered.of("Service") == rendered.of("StatefulSet") == rendered.of("Pod") == []
        return
    ports = {port["name"] for port in rendered.container("backend")["ports"]}
    for service in rendered.of("Service"):
        assert selected(rendered, {"matchLabels": service["spec"]["selector"]}) == {"backend"}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in rendered.of("PodDisruptionBudget"):
        assert selected(rendered, budget["spec"]["selector"]) == {"backend"}
    for kind in ("StatefulSet", "DaemonSet"):
        for owner in rendered.of(kind):
            assert len(selected(rendered, owner["spec"]["selector"])) == 1
    headless = rendered.one("Service", "-headless")
    assert headless["spec"]["clusterIP"] == "None"
    assert rendered.one("StatefulSet")["spec"]["serviceName"] == headless["metadata"]["name"]


@pytest.mark.parametrize("scheme", ["HTTP", "HTTPS"])
def test_probes(render, scheme):
    backend = render({"tls": {"existingSecret": "tls"}} if scheme == "HTTPS" else {}).container("backend")
    probes = [backend[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [probe["httpGet"] for probe in probes] == [
        {"path": path, "port": "http", "scheme": scheme} for path in ("/livez", "/readyz", "/livez")
    ]
    assert len({tuple(sorted((key, value) for key, value in probe.items() if key != "httpGet")) for probe in probes}) == 3
    assert probes[0]["periodSeconds"] * probes[0]["failureThreshold"] >= 300
    assert render({"livenessProbe": {"failureThreshold": 9}}).container("backend")["livenessProbe"] == {
        **probes[2], "failureThreshold": 9, "httpGet": {"path": "/livez", "port": "http", "scheme": "HTTP"},
    }
    assert render().container("agent")["livenessProbe"]["exec"]["command"][1] == "health"


def test_tls(render):
    rendered = render({"tls": {"existingSecret": "tls"}, "backup": EVERYTHING["backup"]})
    url = "https://r-infra-watch.n.svc:7420"
    assert f'server = "{url}"' in rendered.config("-agent")
    assert 'ca_file = "/run/secrets/ca/ca.crt"' in rendered.config("-agent")
    assert {"name": "INFRA_WATCH_CA_FILE", "value": "/run/secrets/ca/ca.crt"} in rendered.container("backup")["env"]
    assert url in rendered.container("test")["args"]
    public = render({"tls": {"existingSecret": "tls", "caKey": ""}})
    assert "ca_file" not in public.config("-agent") and "env" not in public.container("test")


def test_ingress(render):
    spec = render(EVERYTHING).one("Ingress")["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == EVERYTHING["ingress"]["tls"]
    (rule,) = spec["rules"]
    service = {"service": {"name": "r-infra-watch", "port": {"number": 7420}}}
    assert rule == {"host": "watch.example.org",
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": service}]}}


def test_http_route(render):
    route = render(EVERYTHING).one("HTTPRoute")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"] == {
        "parentRefs": [{"name": "gateway", "namespace": "gateways"}],
        "hostnames": ["watch.example.org"],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{"name": "r-infra-watch", "port": 7420}],
        }],
    }
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["User-Agent"]}}]
    (rule,) = render({"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}], "rules": [{"filters": filters}]}}).one(
        "HTTPRoute")["spec"]["rules"]
    assert rule["filters"] == filters and "matches" not in rule


def test_service_monitor(render):
    rendered = render(EVERYTHING)
    monitor = rendered.one("ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {
        "port": "https", "path": "/metrics", "interval": "30s", "scrapeTimeout": "10s", "scheme": "https",
        "authorization": {"type": "Bearer", "credentials": {"name": "viewer", "key": "token"}},
        "tlsConfig": {"serverName": "r-infra-watch.n.svc", "ca": {"secret": {"name": "tls", "key": "ca.crt"}}},
        # Names and instances of hosts are theirs.
        "honorLabels": True,
    }
    # The job is called as the alerts of deploy/prometheus call it, on every Service.
    job = monitor["spec"]["jobLabel"]
    assert all(service["metadata"]["labels"][job] == "infra-watch" for service in rendered.of("Service"))
    # One Service, or everything is scraped twice.
    labels = [service["metadata"]["labels"] for service in rendered.of("Service")]
    found = [service for service in labels if selects(monitor["spec"]["selector"], service)]
    assert len(found) == 1
    plain = render({"serviceMonitor": EVERYTHING["serviceMonitor"]}).one("ServiceMonitor")["spec"]["endpoints"][0]
    assert plain["port"] == "http" and "tlsConfig" not in plain


@pytest.mark.parametrize(("values", "expected"), [
    ({}, None),
    ({"publicUrl": "https://a.example"}, "https://a.example"),
    ({"ingress": {"enabled": True}}, None),
    ({"ingress": {"enabled": True, "tls": [{"secretName": "x", "hosts": ["other.example"]}]}}, None),
    ({"ingress": {"enabled": True, "tls": [{"secretName": "x", "hosts": ["watch.example.org"]}]}},
     "https://watch.example.org"),
])
def test_public_url(render, values, expected):
    rendered = render(values)
    url = re.search('^public_url = "(.*)"$', rendered.config(), re.MULTILINE)
    assert (url and url[1]) == expected
    assert ("WARNING: it is published" in rendered.notes) == ("ingress" in values and not expected)
    assert (f"The dashboard: {expected}" in rendered.notes) == bool(expected)


def test_notes_warn(render):
    calm = render().notes
    assert "WARNING" not in calm and 'Pod Security "privileged"' in calm
    assert "All data are gone" in render(SETS["nothing is kept"]).notes
    assert "is stopped" in render(SETS["stopped"]).notes
    assert "privileged" not in render(SETS["no agents"]).notes


def test_jobs(render):
    rendered = render(EVERYTHING)
    backup, collector = (rendered.one("CronJob", f"-{name}")["spec"] for name in ("backup", "collector"))
    assert (backup["schedule"], backup["timeZone"]) == ("17 2 * * *", "Europe/Berlin")
    assert {backup["concurrencyPolicy"], collector["concurrencyPolicy"]} == {"Forbid"}
    assert rendered.container("backup")["args"] == ["backup", "/backups", "--keep", "7"]
    assert rendered.container("collector")["args"] == ["collect", "--once", "--selector", "site=lab,tier=edge"]
    claim = rendered.one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    volume = next(volume for volume in rendered.pods()["backup"]["spec"]["volumes"] if volume["name"] == "backups")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_persistence(render):
    claim = render().one("StatefulSet")["spec"]["volumeClaimTemplates"][0]
    assert "storageClassName" not in claim["spec"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"

    def of(**persistence):
        return render({"persistence": persistence}).one("StatefulSet")["spec"]

    assert of(storageClass="fast")["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"
    assert of(storageClass="-")["volumeClaimTemplates"][0]["spec"]["storageClassName"] == ""
    for values, volume in [({"enabled": False}, {"emptyDir": {"sizeLimit": "10Gi"}}),
                           ({"existingClaim": "mine"}, {"persistentVolumeClaim": {"claimName": "mine"}})]:
        spec = of(**values)
        assert "volumeClaimTemplates" not in spec
        assert {"name": "data", **volume} in spec["template"]["spec"]["volumes"]
    args = of(directory="restored")["template"]["spec"]["containers"][0]["args"]
    # As a flag: the image sets the variable, which goes before the file.
    assert args[args.index("--data-dir") + 1] == "/var/lib/infra-watch/restored"
    assert args[args.index("--listen") + 1] == "0.0.0.0:7420"


@pytest.mark.parametrize(("values", "name", "expected"), [
    ({}, "r", "r-infra-watch"),
    ({}, "infra-watch", "infra-watch"),
    ({}, "my-infra-watch", "my-infra-watch"),
    ({"nameOverride": "watch"}, "r", "r-watch"),
    ({"fullnameOverride": "whole"}, "r", "whole"),
    ({}, "a" * 53, "a" * 42),
    ({"fullnameOverride": "b" * 41 + "-" + "c" * 20}, "r", "b" * 41),
])
def test_names(render, values, name, expected):
    rendered = render({**EVERYTHING, **values, "existingSecret": ""} | {"secretKeys": {}}, name)
    suffixes = {"", "-agent", "-backup", "-collector", "-headless", "-jobs", "-clients", "-test"}
    assert {found["metadata"]["name"] for found in rendered.objects} == {expected + suffix for suffix in suffixes}
    # What controllers append must fit.
    for kind in ("CronJob", "StatefulSet", "DaemonSet"):
        assert all(len(found["metadata"]["name"]) <= 52 for found in rendered.of(kind))
    label = rendered.one("StatefulSet")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
    assert label == values.get("nameOverride", "infra-watch")


@pytest.mark.parametrize(("values", "reason"), [
    ({"replicaCount": 2}, "replicaCount"),
    ({"replicaCount": -1}, "replicaCount"),
    ({"replicas": 1}, "additional properties 'replicas'"),
    ({"agent": {"intervall": "10s"}}, "additional properties 'intervall'"),
    ({"image": {"tag": "latest"}}, "tag"),
    ({"agent": {"image": {"tag": "latest"}}}, "tag"),
    ({"backup": {"enabled": True}}, "backup/tokenSecret/name"),
    ({"collector": {"enabled": True}}, "collector/tokenSecret/name"),
    ({"serviceMonitor": {"enabled": True}}, "serviceMonitor/tokenSecret/name"),
    ({"httpRoute": {"enabled": True}}, "parentRefs"),
    ({"ingress": {"enabled": True, "hosts": []}}, "hosts"),
    ({"config": {"admin_password": "x"}}, "admin_password"),
    ({"config": {"jwt_secret": "x"}}, "jwt_secret"),
    ({"config": {"enrollment_key": "x"}}, "enrollment_key"),
    ({"config": {"data_dir": "/x"}}, "data_dir"),
    ({"agent": {"config": {"enrollment_key": "x"}}}, "enrollment_key"),
    ({"publicUrl": "watch.example.org"}, "publicUrl"),
    ({"persistence": {"directory": "../x"}}, "directory"),
    ({"persistence": {"directory": ""}}, "directory"),
    ({"backup": {"schedule": "daily"}}, "schedule"),
    ({"backend": {"enabled": False}}, "existingSecret is needed"),
    ({"backend": {"enabled": False}, "existingSecret": "x"}, "agent.server is needed"),
    ({"backend": {"enabled": False}, "agent": {"enabled": False},
      "collector": {"enabled": True, "tokenSecret": {"name": "t"}}}, "collector.server is needed"),
    ({"secretKeys": {"jwtSecret": "x"}}, "for an existingSecret alone"),
])
def test_refused(render, values, reason):
    with pytest.raises(helm_python.HelmError, match=re.escape(reason)):
        render(values)


def leaves(values, path=()):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


# What a value may be instead, where it is not just another word or number.
OTHERS = {
    ("replicaCount",): 0,
    ("imagePullSecrets",): [{"name": "other"}],
    ("publicUrl",): "https://other.example.org",
    ("agent", "server"): "https://other.example.org",
    ("collector", "server"): "https://other.example.org",
    ("image", "digest"): "sha256:" + "c" * 64,
    ("agent", "image", "digest"): "sha256:" + "c" * 64,
    ("image", "pullPolicy"): "Always",
    ("agent", "image", "pullPolicy"): "Always",
    ("service", "type"): "NodePort",
    ("ingress", "hosts"): [{"host": "other.example.org", "paths": [{"path": "/"}]}],
    ("networkPolicy", "from"): [{"podSelector": {}}],
    ("networkPolicy", "egress"): [{}],
    ("agent", "stateDir"): "/srv/agent",
    ("collector", "schedule"): "*/5 * * * *",
    ("collector", "selector"): ["site=other"],
    ("backup", "schedule"): "@daily",
    ("config",): {"retention_raw": "60d"},
    ("agent", "config"): {"interval": "1m"},
    ("securityContext", "capabilities", "drop"): ["NET_RAW"],
    ("agent", "updateStrategy", "rollingUpdate", "maxUnavailable"): "20%",
}
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("path", [path for path, _ in leaves(DEFAULTS)], ids=".".join)
def test_every_value_has_an_effect(chart, render, path):
    values = chart.merge_values(EVERYTHING)
    if path == ("backend", "enabled"):
        # Without it the others must be told where one is.
        values["agent"]["server"] = values["collector"]["server"] = "https://watch.example.org"
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    if path[-2:] == ("caSecret", "key"):
        inner["name"] = "ca"
    old = inner[path[-1]]
    if path in OTHERS:
        new = OTHERS[path]
    elif isinstance(old, bool):
        new = not old
    elif isinstance(old, (int, float)):
        new = int(old) + 1
    elif isinstance(old, str):
        new = "5Gi" if path[-1] in ("size", "memory", "storage") else "other"
    elif path[-1] in ("hosts", "parentRefs", "rules", "tls", "tolerations") or path[-1].startswith("extra"):
        new = [{"name": "other"}]
    elif isinstance(old, list):
        new = ["other"]
    else:
        new = {"other": "value"}
    assert new != old
    before = render(values).text
    inner[path[-1]] = new
    assert render(values).text != before


# --- Over time -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster():
    started = Cluster()
    yield started
    started.end()


@pytest.fixture
def helm(cluster):
    with helm_python.Config(kube_apiserver=cluster.url, namespace="n", storage_driver="memory") as config:
        yield config


def newer(tmp_path):
    """The chart with another version of itself and of the application."""
    path = tmp_path / "infra-watch"
    shutil.copytree(CHART, path)
    metadata = yaml.safe_load((path / "Chart.yaml").read_text())
    metadata.update(version="9.9.9", appVersion="9.9.9")
    (path / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    return path


def annotations(cluster, kind, name):
    return cluster.get(kind, name)["spec"]["template"]["metadata"]["annotations"]


def test_the_secret_is_made_once(cluster, helm, tmp_path):
    helm.install(str(CHART), "r")
    secret = cluster.get("Secret", "r-infra-watch")["data"]
    before = [annotations(cluster, *which)
              for which in (("StatefulSet", "r-infra-watch"), ("DaemonSet", "r-infra-watch-agent"))]
    # The cluster refuses what may not change.
    helm.upgrade(str(newer(tmp_path)), "r")
    assert cluster.get("StatefulSet", "r-infra-watch")["spec"]["template"]["spec"]["containers"][0]["image"].endswith("9.9.9")
    assert cluster.get("Secret", "r-infra-watch")["data"] == secret
    assert before == [annotations(cluster, *which)
                      for which in (("StatefulSet", "r-infra-watch"), ("DaemonSet", "r-infra-watch-agent"))]
    # It outlives the release, as the volume does, and serves the next one.
    helm.uninstall("r")
    assert cluster.get("StatefulSet", "r-infra-watch") is None
    helm.install(str(CHART), "r")
    assert cluster.get("Secret", "r-infra-watch")["data"] == secret


def test_a_lost_key_of_the_secret_is_made_anew(cluster, helm):
    helm.install(str(CHART), "r")
    secret = cluster.get("Secret", "r-infra-watch")["data"]
    kept, lost = secret["admin-password"], secret.pop("enrollment-key")
    helm.upgrade(str(CHART), "r")
    now = cluster.get("Secret", "r-infra-watch")["data"]
    assert now["admin-password"] == kept and now["enrollment-key"] not in (None, lost)


def test_pods_start_anew_for_new_settings_and_secrets(cluster, helm):
    given = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "given"}, "data": {}}
    cluster.call("POST", "/api/v1/namespaces/n/secrets", copy.deepcopy(given))
    values = {"existingSecret": "given"}
    helm.install(str(CHART), "r", values)
    backend, agent = ("StatefulSet", "r-infra-watch"), ("DaemonSet", "r-infra-watch-agent")

    def change(key, values):
        """Which of both start anew."""
        before = {which: annotations(cluster, *which)[key] for which in (backend, agent)}
        helm.upgrade(str(CHART), "r", values)
        return {which for which in (backend, agent) if annotations(cluster, *which)[key] != before[which]}

    assert change("checksum/secret", values) == change("checksum/config", values) == set()
    cluster.call("PUT", "/api/v1/namespaces/n/secrets/given", copy.deepcopy(given))
    assert change("checksum/secret", values) == {backend, agent}
    assert change("checksum/config", {**values, "config": {"retention_raw": "60d"}}) == {backend}
    assert change("checksum/config", {**values, "config": {"retention_raw": "60d"},
                                      "agent": {"config": {"interval": "1m"}}}) == {agent}
    cluster.call("PUT", "/api/v1/namespaces/n/secrets/other", copy.deepcopy({**given, "metadata": {"name": "other"}}))
    assert backend in change("checksum/secret", {"existingSecret": "other"})


# --- The real programs -----------------------------------------------------------------------------------------------


@functools.cache
def help_of(program, *subcommand):
    return subprocess.run([binary(program), *subcommand, "--help"], capture_output=True, text=True).stdout


def commands(program):
    return set(re.findall(r"^  ([a-z]+) ", help_of(program).partition("Commands:")[2].partition("Options:")[0], re.M))


def used(render):
    """The command lines and environments of all pods: program, arguments, variables."""
    for values in SETS.values():
        for pod in render(values).pods().values():
            for container in containers(pod):
                variables = [variable["name"] for variable in container.get("env", [])]
                yield pathlib.Path(container["command"][0]).name, container["args"], variables
                if "exec" in container.get("livenessProbe", {}):
                    program, *arguments = container["livenessProbe"]["exec"]["command"]
                    yield pathlib.Path(program).name, arguments, []


def test_command_lines_and_variables_exist(render):
    for program, (command, *arguments), variables in used(render):
        assert command in commands(program), command
        text = help_of(program, command)
        words = [argument for argument in arguments if argument.startswith("--")]
        if program == "infra-watch":
            words += variables
        else:
            # Its help names flags alone; each is a variable too.
            words += [name.replace("INFRA_WATCH_AGENT_", "--").lower().replace("_", "-") for name in variables]
        for word in words:
            assert re.search(rf"{word}\b", text), f"{command}: {word}"


@each_set
def test_the_programs_take_their_settings(render, values, tmp_path):
    rendered = render(values)
    for component, program, ending in [("backend", "infra-watch", ""), ("agent", "infra-watch-agent", "-agent")]:
        if component in rendered.pods():
            path = tmp_path / f"{component}.toml"
            path.write_text(rendered.config(ending))
            subprocess.run([binary(program), "config", "check", path], check=True)


def test_whole_numbers_stay_whole(render):
    assert "\nx = 7\n" in render({"config": {"x": 7}}).config()


def test_jobs_do_their_work(render, start_backend, tmp_path):
    """The command lines of the pods, with another server and a token that is really one."""
    backend = start_backend().login()
    status, _, text = backend.call("/api/v1/collector-tokens", {"name": "chart", "selector": {}})
    assert status == 201, text
    token = tmp_path / "token"
    token.write_text(yaml.safe_load(text)["token"])
    rendered = render({"collector": {"enabled": True, "tokenSecret": {"name": "t"}}})
    places = {"http://r-infra-watch.n.svc:7420": backend.url, "/run/secrets/token/token": str(token)}
    for component in ("collector", "test"):
        container = rendered.container(component)
        arguments = [places.get(argument, argument) for argument in container["args"]]
        variables = {item["name"]: places.get(item["value"], item["value"]) for item in container.get("env", [])}
        # Of the same names, or they would not be replaced.
        assert backend.url in [*arguments, *variables.values()]
        done = subprocess.run([binary("infra-watch"), *arguments], env=variables, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


# --- docs/kubernetes.md ----------------------------------------------------------------------------------------------

DOCS = (ROOT / "docs" / "kubernetes.md").read_text()


def blocks(kind):
    """The blocks of YAML that are said to be values, or an object."""
    found = re.findall(rf"^( *)```yaml {kind}\n(.*?)^ *```", DOCS, re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(textwrap.dedent(text)) for _, text in found]


@pytest.mark.parametrize("values", blocks("values"), ids=lambda values: ",".join(values))
def test_values_in_the_docs(render, values):
    rendered = render(values, "infra-watch")
    for found in rendered.objects:
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, VERSIONS[-1], strict=True)
    assert rendered.text.count("\n") != render({}, "infra-watch").text.count("\n") or "image" in values


def test_commands_in_the_docs(render):
    lines = re.findall(r"^ *helm (?:install|upgrade) (\S+) (.*)$", DOCS, re.MULTILINE)
    assert len(lines) >= 6
    for name, arguments in lines:
        values = helm_python.parse_set_string(",".join(re.findall(r"--set (\S+)", arguments)) or "a=b")
        values.pop("a", None)
        rendered = render(values, name)
        assert values == {} or rendered.text != render({"existingSecret": "x"}, name).text


def test_objects_that_the_docs_name(render):
    """What commands are to be typed for must be called so."""
    rendered = render({"backup": EVERYTHING["backup"]}, "infra-watch")
    claims = {claim["metadata"]["name"] for claim in rendered.of("PersistentVolumeClaim")}
    backend = rendered.one("StatefulSet")
    claims |= {f"{claim['metadata']['name']}-{backend['metadata']['name']}-0"
               for claim in backend["spec"]["volumeClaimTemplates"]}
    assert set(re.findall(r"delete pvc (.*)", DOCS)[0].split()) == claims
    assert set(re.findall(r"cronjob/(\S+)", DOCS)) <= {job["metadata"]["name"] for job in rendered.of("CronJob")}
    assert set(re.findall(r"delete secret (\S+)", DOCS)) == {secret["metadata"]["name"] for secret in rendered.of("Secret")}
    assert f"`{DEFAULTS['agent']['stateDir']}`" in DOCS
    (pod,) = blocks("object")
    kubernetes_validate.validate(pod, VERSIONS[-1], strict=True)
    assert list(breaches(pod)) == []
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {volumes[name]["persistentVolumeClaim"]["claimName"] for name in ("data", "backups")} == claims
    assert pod["spec"]["securityContext"] == rendered.pods()["backend"]["spec"]["securityContext"]
    assert pod["spec"]["containers"][0]["securityContext"] == rendered.container("backend")["securityContext"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["data"] == next(mount["mountPath"] for mount in rendered.container("backend")["volumeMounts"]
                                  if mount["name"] == "data")
