"""Installs the charts with the real helm, and upgrades them to the same: nothing may come of that."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from server import PORT

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAMESPACE = "charts"
SHARED = ["--values", str(ROOT / "tests/deploy/shared.yaml")]
RELEASES = {"orders": ("example", []), "shared": ("probelet", SHARED), "bare": ("probelet", [])}


def play(server, helm, report):
    with tempfile.TemporaryDirectory(prefix="probelet-charts-") as folder:
        charts = shutil.copytree(ROOT / "deploy/helm", pathlib.Path(folder, "charts"))
        run = Helm(helm, server, folder)
        run("dependency", "update", charts / "example")
        for release, (chart, values) in RELEASES.items():
            problem = run("install", release, charts / chart, "--create-namespace", *values)
            report.holds(f"deploy/helm/{chart}: helm installs it as {release}", not problem, problem)
            before = deployments(server)
            problem = run("upgrade", release, charts / chart, *values)
            report.holds(f"deploy/helm/{chart}: helm upgrades {release} to the same", not problem, problem)
            report.holds(f"deploy/helm/{chart}: which restarts nothing", deployments(server) == before)


def deployments(server):
    """Each Deployment with how often what it asks for has changed."""
    listed = server.get(f"apis/apps/v1/namespaces/{NAMESPACE}/deployments")["items"]
    return {each["metadata"]["name"]: each["metadata"]["generation"] for each in listed}


class Helm:
    def __init__(self, program, server, folder):
        self.program = [program, "--kube-apiserver", f"https://127.0.0.1:{PORT}", "--kube-insecure-skip-tls-verify"]
        self.program += ["--kube-token", server.token(), "--namespace", NAMESPACE]
        homes = {f"HELM_{what}_HOME": f"{folder}/{what}" for what in ("CACHE", "CONFIG", "DATA")}
        self.environment = {**os.environ, **homes, "KUBECONFIG": f"{folder}/none"}

    def __call__(self, *arguments):
        """What helm says against it, or nothing."""
        command = [*self.program, *arguments]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        return ended.stderr if ended.returncode != 0 else ""
