"""What asks for an operator: monitors, Kyverno's policy, and the snippets of deploy/gates.md in resources of Argo and Flagger."""

import copy
import pathlib
import re

import yaml

from server import Refused

ROOT = pathlib.Path(__file__).resolve().parents[3]
FILES = ["deploy/prometheus/prometheusrule.yaml", "deploy/policy/kyverno.yaml"]
GATES = "deploy/gates.md"


def play(server, namespace, report):
    for file in FILES:
        documents = [document for document in yaml.safe_load_all((ROOT / file).read_text()) if document]
        report.holds(f"{file}: {kinds(documents)}", not (problems := judge(server, namespace, documents)), problems)
    documents = list(of_gates())
    report.holds(f"{GATES}: {kinds(documents)}", not (problems := judge(server, namespace, documents)), problems)
    for document, key in WRONG:
        problem = judge(server, namespace, [document])
        report.holds(f"{document['kind']} with a wrong key is refused", key in problem, problem or "it is not")


def judge(server, namespace, documents):
    """What the server says against them, or nothing."""
    problems = []
    for document in documents:
        try:
            server.apply(document, namespace)
            problems += server.warnings
        except Refused as refused:
            problems.append(f"{document['kind']}: {refused}")
    return "; ".join(problems)


def kinds(documents):
    return ", ".join(document["kind"] for document in documents)


def of_gates():
    """Whole resources as they are; what is part of one within the rest of it."""
    for text in re.findall(r"^```yaml\n(.*?)^```$", (ROOT / GATES).read_text(), re.MULTILINE | re.DOTALL):
        snippet = yaml.safe_load(text)
        if "kind" in snippet:
            yield snippet
        elif "strategy" in snippet:
            yield rollout(snippet)
        elif "analysis" in snippet:
            yield canary(snippet)


def rollout(snippet):
    """The Deployment of kubernetes.yaml as one of Argo's."""
    documents = yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text())
    deployment = copy.deepcopy(next(document for document in documents if document["kind"] == "Deployment"))
    spec = {**deployment["spec"], **snippet}
    return {**deployment, "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": spec}


def canary(snippet):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"}
    analysis = {"interval": "1m", "threshold": 5, "maxWeight": 50, "stepWeight": 10, **snippet["analysis"]}
    spec = {"targetRef": target, "service": {"port": 80}, "analysis": analysis}
    return {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "orders"}, "spec": spec}


def resource(version, kind, **spec):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "wrong"}, "spec": spec}


MONITOR = {"selector": {}, "podMetricsEndpoints": [{"port": "probelet", "relabeling": []}]}
# Each with the key that is wrong in it.
WRONG = [
    (resource("monitoring.coreos.com/v1", "PodMonitor", **MONITOR), "relabeling"),
    (resource("policies.kyverno.io/v1", "MutatingPolicy", matchConstraint={}), "matchConstraint"),
    (resource("argoproj.io/v1alpha1", "AnalysisTemplate", metrics=[{"name": "a", "failureLimits": 0}]), "failureLimits"),
    (resource("flagger.app/v1beta1", "MetricTemplate", querry="up"), "querry"),
]
