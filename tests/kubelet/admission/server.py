"""A real kube-apiserver as a child, and how it is asked."""

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import yaml

PORT = 6443
STARTS = 180  # seconds; on a machine that does much else it takes its time
# The resource of a kind, and whether it lies in a namespace.
PLACES = {
    "Namespace": ("namespaces", False),
    "ServiceAccount": ("serviceaccounts", True),
    "ConfigMap": ("configmaps", True),
    "Service": ("services", True),
    "Pod": ("pods", True),
    "PersistentVolumeClaim": ("persistentvolumeclaims", True),
    "Deployment": ("deployments", True),
    "StatefulSet": ("statefulsets", True),
    "DaemonSet": ("daemonsets", True),
    "Job": ("jobs", True),
    "CronJob": ("cronjobs", True),
    "NetworkPolicy": ("networkpolicies", True),
    "PodDisruptionBudget": ("poddisruptionbudgets", True),
    "MutatingAdmissionPolicy": ("mutatingadmissionpolicies", False),
    "MutatingAdmissionPolicyBinding": ("mutatingadmissionpolicybindings", False),
    "ValidatingAdmissionPolicy": ("validatingadmissionpolicies", False),
    "ValidatingAdmissionPolicyBinding": ("validatingadmissionpolicybindings", False),
}


class Refused(Exception):
    """What the API server says against it."""


class Server:
    def __init__(self, program, folder, log):
        self.folder = folder
        self.log = open(log, "wb")
        command = [program, "-root", folder, "-port", str(PORT)]
        self.child = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.warnings = []  # of the last request
        self.places = dict(PLACES)  # of the kinds that it knows

    def until_ready(self):
        end = time.monotonic() + STARTS
        while True:
            try:
                return self.send("GET", "readyz")
            except (OSError, Refused) as error:
                if self.child.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the API server is not ready: {error}; see {self.log.name}") from error
            time.sleep(0.2)

    def version(self):
        return self.get("version")["gitVersion"]

    def apply(self, document, namespace, keep=False):
        """As `kubectl apply --server-side`, with `--dry-run=server` unless it is to be kept: what has come of it."""
        query = "fieldManager=test&force=true&fieldValidation=Strict" + ("" if keep else "&dryRun=All")
        path = f"{self.place(document, namespace)}/{document['metadata']['name']}?{query}"
        return json.loads(self.send("PATCH", path, yaml.safe_dump(document), "application/apply-patch+yaml"))

    def create(self, document, namespace, keep=False):
        path = f"{self.place(document, namespace)}?fieldValidation=Strict" + ("" if keep else "&dryRun=All")
        return json.loads(self.send("POST", path, json.dumps(document), "application/json"))

    def get(self, path):
        return json.loads(self.send("GET", path))

    def token(self):
        """An administrator's; there is none until the server has begun to start."""
        file = self.folder / "token"
        return file.read_text() if file.exists() else ""

    def delete(self, document, namespace):
        self.send("DELETE", f"{self.place(document, namespace)}/{document['metadata']['name']}")

    def place(self, document, namespace):
        version, (resource, namespaced) = document["apiVersion"], self.places[document["kind"]]
        group = f"apis/{version}" if "/" in version else f"api/{version}"
        return f"{group}/namespaces/{namespace}/{resource}" if namespaced else f"{group}/{resource}"

    def send(self, method, path, body=None, kind=None):
        request = urllib.request.Request(f"https://127.0.0.1:{PORT}/{path}", method=method)
        request.add_header("authorization", f"Bearer {self.token()}")
        if body is not None:
            request.data = body.encode()
            request.add_header("content-type", kind)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
                self.warnings = answer.headers.get_all("warning") or []
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            try:
                raise Refused(json.loads(text)["message"]) from error
            except (ValueError, KeyError):
                raise Refused(f"{error.code} {text}") from error

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self.log.close()
