"""The resources of operators, out of their Go modules: by them a kube-apiserver judges what asks for an operator."""

import json
import pathlib
import subprocess
import time

from server import Refused

# A module, and the files in it. Those of other versions differ little; what is judged by them has been there for years.
SOURCES = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
        for kind in ("podmonitors", "servicemonitors", "prometheusrules")
    ],
    "github.com/kyverno/kyverno@v1.19.1": [
        f"config/crds/policies.kyverno.io/policies.kyverno.io_{kind}.yaml" for kind in ("mutatingpolicies", "validatingpolicies")
    ],
    "github.com/argoproj/argo-rollouts@v1.8.5": [
        f"manifests/crds/{kind}-crd.yaml" for kind in ("rollout", "analysis-template")
    ],
    "github.com/fluxcd/flagger@v1.36.1": ["artifacts/flagger/crd.yaml"],
}
BECOMES_EFFECTIVE = 60  # seconds; a few at most, but for a machine that does much else


def fetch(go):
    """Downloads them: the files. `go` runs Go."""
    files = []
    for module, paths in SOURCES.items():
        command = [go, "mod", "download", "-json", module]
        # Where no module of ours has a say in it.
        said = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, timeout=600).stdout
        folder = json.loads(said).get("Dir")
        if not folder:
            raise SystemExit(f"error: {module}: {json.loads(said).get('Error')}")
        files += [pathlib.Path(folder, path) for path in paths]
    return files


def apply(server, files):
    """Afterwards the server knows these resources."""
    for file in files:
        for text in file.read_text().split("\n---\n"):
            made = json.loads(server.send("POST", f"{DEFINITIONS}?fieldManager=test", text, "application/yaml"))
            until_effective(server, made["metadata"]["name"])


DEFINITIONS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def until_effective(server, name):
    end = time.monotonic() + BECOMES_EFFECTIVE
    while True:
        definition = server.get(f"{DEFINITIONS}/{name}")
        spec, conditions = definition["spec"], definition["status"]["conditions"] or []
        served = [version["name"] for version in spec["versions"] if version["served"]]
        if any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions):
            try:
                for version in served:
                    server.get(f"apis/{spec['group']}/{version}/{spec['names']['plural']}")
                break
            except Refused:
                pass
        if time.monotonic() > end:
            raise RuntimeError(f"{name} does not become effective: {conditions}")
        time.sleep(0.1)
    server.places[spec["names"]["kind"]] = (spec["names"]["plural"], spec["scope"] == "Namespaced")
