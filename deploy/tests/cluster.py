"""As much of a Kubernetes API as Helm needs to install, look up, upgrade and remove: it stores what it is given."""

import http.server
import json
import threading

import yaml

KINDS = {
    "v1": ["ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"],
    "apps/v1": ["DaemonSet", "StatefulSet"],
    "batch/v1": ["CronJob"],
    "networking.k8s.io/v1": ["Ingress", "NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
}


# What Kubernetes refuses to change.
FIXED = {
    "StatefulSet": ["selector", "serviceName", "volumeClaimTemplates"],
    "DaemonSet": ["selector"],
}


def plural(kind):
    return kind[:-1].lower() + "ies" if kind.endswith("y") else kind.lower() + ("es" if kind.endswith("s") else "s")


def discovery(version):
    resources = [
        {"name": plural(kind), "singularName": kind.lower(), "namespaced": True, "kind": kind,
         "verbs": ["create", "delete", "get", "list", "patch", "update"]}
        for kind in KINDS[version]
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def groups():
    names = [version.split("/")[0] for version in KINDS if "/" in version]
    versions = [{"groupVersion": f"{name}/v1", "version": "v1"} for name in names]
    return {
        "kind": "APIGroupList", "apiVersion": "v1",
        "groups": [{"name": name, "versions": [version], "preferredVersion": version}
                   for name, version in zip(names, versions)],
    }


def openapi(version):
    """Says that fields are checked here, so that Helm leaves that to the server."""
    group = version.split("/")[0] if "/" in version else ""
    patch = [{"parameters": [{"name": "fieldValidation", "in": "query"}],
              "x-kubernetes-group-version-kind": {"group": group, "version": "v1", "kind": kind}}
             for kind in KINDS[version]]
    return {"openapi": "3.0.0", "info": {"title": "", "version": ""},
            "paths": {f"/{index}": {"patch": operation} for index, operation in enumerate(patch)}}


def base(version):
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


STATIC = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": groups(),
    "/openapi/v3": {"paths": {base(version)[1:]: {"serverRelativeURL": f"/openapi/v3{base(version)}"}
                              for version in KINDS}},
    **{base(version): discovery(version) for version in KINDS},
    **{f"/openapi/v3{base(version)}": openapi(version) for version in KINDS},
}


class Cluster:
    """Objects by their path, such as `/api/v1/namespaces/n/secrets/name`."""

    def __init__(self):
        self.objects, self.version = {}, 0
        cluster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def answer(self, code, body):
                text = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def serve(self):
                path = self.path.partition("?")[0]
                length = int(self.headers.get("Content-Length") or 0)
                body = yaml.safe_load(self.rfile.read(length)) if length else None
                self.answer(*cluster.call(self.command, path, body))

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def call(self, method, path, body):
        absent = 404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
        if method == "GET":
            found = STATIC.get(path) or self.objects.get(path)
            return (200, found) if found else absent
        if method == "DELETE":
            return (200, self.objects.pop(path)) if path in self.objects else absent
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
        old = self.objects.get(path)
        for field in FIXED.get(body["kind"], []):
            if old and old["spec"].get(field) != body["spec"].get(field):
                return 422, {"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422,
                             "message": f"spec.{field} may not change"}
        self.version += 1
        body["metadata"].update(resourceVersion=str(self.version), uid=path)
        self.objects[path] = body
        return (200 if old else 201), body

    def get(self, kind, name, namespace="n"):
        """The object, if it is there."""
        version = next(version for version, kinds in KINDS.items() if kind in kinds)
        return self.objects.get(f"{base(version)}/namespaces/{namespace}/{plural(kind)}/{name}")

    def end(self):
        self.server.shutdown()
        self.server.server_close()
