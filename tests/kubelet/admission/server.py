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
# Where a kind lives, and its resource.
PLACES = {
    "Namespace": ("api/v1", "namespaces", False),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
    "ConfigMap": ("api/v1", "configmaps", True),
    "Service": ("api/v1", "services", True),
    "Pod": ("api/v1", "pods", True),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims", True),
    "Deployment": ("apis/apps/v1", "deployments", True),
    "StatefulSet": ("apis/apps/v1", "statefulsets", True),
    "DaemonSet": ("apis/apps/v1", "daemonsets", True),
    "Job": ("apis/batch/v1", "jobs", True),
    "CronJob": ("apis/batch/v1", "cronjobs", True),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies", True),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets", True),
    "MutatingAdmissionPolicy": ("apis/admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", False),
    "MutatingAdmissionPolicyBinding": ("apis/admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings", False),
    "ValidatingAdmissionPolicy": ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies", False),
    "ValidatingAdmissionPolicyBinding": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        False,
    ),
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
        query = "fieldManager=test&force=true" + ("" if keep else "&dryRun=All")
        path = f"{self.place(document, namespace)}/{document['metadata']['name']}?{query}"
        return json.loads(self.send("PATCH", path, yaml.safe_dump(document), "application/apply-patch+yaml"))

    def create(self, document, namespace, keep=False):
        path = self.place(document, namespace) + ("" if keep else "?dryRun=All")
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
        group, resource, namespaced = PLACES[document["kind"]]
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
