"""Asks a real kube-apiserver what it says of deploy/: each manifest, what kustomize and helm make of theirs, and what the
admission policy makes of pods, by server-side dry-run in a namespace of Pod Security's level `restricted`. helm installs the charts.
What asks for an operator is judged by that operator's definitions, which Go downloads.

usage: play.py --apiserver FILE --helm FILE --go FILE --logs DIR [--made FILE]

The exit code is 1 when something is not as it should be. As root on Linux: the server has a network of its own.
"""

import argparse
import os
import pathlib
import sys
import tempfile

import yaml

import charts
import definitions
import operators
import policy
from server import Refused, Server

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
NAMESPACE = "restricted"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apiserver", type=pathlib.Path, required=True, help="built from ../apiserver")
    parser.add_argument("--helm", type=pathlib.Path, required=True, help="built by .ci/render")
    parser.add_argument("--go", type=pathlib.Path, required=True, help="runs Go")
    parser.add_argument("--logs", type=pathlib.Path, required=True)
    parser.add_argument("--made", type=pathlib.Path, help="where to write a Deployment as the policy makes it")
    # This process is already apart, without a network; these files were downloaded.
    parser.add_argument("--inside", nargs="+", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        if os.geteuid() != 0:
            sys.exit("error: a network of its own needs root\n  help: run this as root")
        files = [str(file) for file in definitions.fetch(options.go.resolve())]
        alone = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c"]
        os.execvp("unshare", [*alone, 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv, "--inside", *files])
    options.logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="probelet-admission-") as folder:
        server = Server(options.apiserver.resolve(), pathlib.Path(folder), options.logs.resolve() / "apiserver.log")
        return ask(server, options)


def ask(server, options):
    try:
        server.until_ready()
        report = Report()
        print(f"kube-apiserver {server.version()}, namespace of the level `restricted`")
        prepare(server)
        definitions.apply(server, options.inside)
        manifests(server, report)
        operators.play(server, NAMESPACE, report)
        charts.play(server, options.helm.resolve(), report)
        policy.play(server, NAMESPACE, report)
        if options.made:
            options.made.write_text(yaml.safe_dump_all(policy.made_of_kubernetes_yaml(server, NAMESPACE), sort_keys=False))
        return report.end()
    finally:
        server.stop()


class Report:
    def __init__(self):
        self.broken = 0

    def holds(self, what, truth, instead=""):
        print(f"  {'met   ' if truth else 'BROKEN'}  {what}" + ("" if truth else f"\n          {instead}"), flush=True)
        self.broken += not truth

    def end(self):
        print(f"{self.broken} broken" if self.broken else "all as it should be")
        return 1 if self.broken else 0


def prepare(server):
    """A namespace whose level is already enforced, which it is a moment after it is there."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": levels}}
    server.create(namespace, None, keep=True)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    server.create(account, NAMESPACE, keep=True)
    server.create({**account, "metadata": {"name": "probelet"}}, NAMESPACE, keep=True)
    policy.until_refused(server, NAMESPACE, "violates PodSecurity")


def manifests(server, report):
    files = [*sorted((ROOT / "deploy").glob("*.yaml")), *sorted((ROOT / "tests/golden/deploy").glob("*.yaml"))]
    for file in files:
        documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
        problems = []
        for document in documents + [pod_of(document) for document in documents if "template" in document.get("spec", {})]:
            try:
                server.create(document, NAMESPACE) if document["kind"] == "Pod" else server.apply(document, NAMESPACE)
                problems += [f"{document['kind']}: {warning}" for warning in server.warnings]
            except Refused as refused:
                problems.append(f"{document['kind']}: {refused}")
        kinds = ", ".join(document["kind"] for document in documents)
        report.holds(f"{file.relative_to(ROOT)}: {kinds}", not problems, "; ".join(problems))


def pod_of(workload):
    """The pod that its controller would create: Pod Security enforces its level on pods alone."""
    template = workload["spec"]["template"]
    claims = [
        {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        for claim in workload["spec"].get("volumeClaimTemplates", [])
    ]
    spec = {**template["spec"], "volumes": template["spec"].get("volumes", []) + claims}
    metadata = {"name": workload["metadata"]["name"], **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


if __name__ == "__main__":
    sys.exit(main())
