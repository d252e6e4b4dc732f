"""A node with one pod on it: the real kubelet as a child, and what it says."""

import json
import os
import signal
import subprocess
import threading

# What a program of this machine needs in a container, read-only.
SYSTEM = {
    "/usr": "/usr",
    "/lib": "/usr/lib",
    "/lib64": "/usr/lib64",
    "/bin": "/usr/bin",
    "/etc/ssl": "/etc/ssl",
    "/etc/resolv.conf": "/etc/resolv.conf",
}
# Where a program looks for the authorities that it trusts.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class Node:
    def __init__(self, folder, kubelet, probelet, app, control, bundle, log):
        """`bundle` are the authorities that are trusted in containers; `log(source, text, at)` is called for each thing that
        kubelet says."""
        self.folder, self.log = folder, log
        self.pod = {}  # the last status: ready, containers
        self.ready_changes = []  # (Unix time, ready)
        self.events = []  # (Unix time, reason, message)
        self.running = {}  # container → process id
        self.started = {}  # container → Unix time of its last start
        self.pods = folder / "pods"
        self.pods.mkdir(parents=True)
        images = folder / "images.json"
        system = {**SYSTEM, BUNDLE: str(bundle)}
        sidecar = {"entrypoint": ["/probelet"], "cmd": ["run"], "user": 65532, "files": {**system, "/probelet": str(probelet)}}
        files = {**system, "/app.py": str(app), "/ctl": str(control)}
        apps = {
            f"registry.example.com/{name}:1.0.0": {"entrypoint": ["/usr/bin/python3", "/app.py"], "user": 1000, "files": files}
            for name in ("orders", "ledger")
        }
        images.write_text(json.dumps({"ghcr.io/probelet/probelet:0.1.0": sidecar, **apps}))
        command = [kubelet, "-root", folder, "-pods", self.pods, "-images", images, "-v=2"]
        errors = open(folder / "kubelet.log", "wb")
        self.kubelet = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.kubelet.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            at = said.pop("at")
            if "event" in said:
                self.events.append((at, said["event"], said["message"]))
                self.log("event", f"{said['type']} {said['event']} {said.get('field', '')}: {said['message']}", at)
            elif "pods" in said:
                self.take_status(next(iter(said["pods"].values()), {}), at)
            else:
                self.take_runtime(said, at)

    def take_status(self, pod, at):
        if pod.get("ready", False) != self.pod.get("ready", False):
            self.ready_changes.append((at, pod.get("ready", False)))
        self.pod = pod
        containers = "  ".join(
            f"{name} {c['state']}{' started' * c['started']}{' ready' * c['ready']} ({c['restarts']} restarts)"
            for name, c in pod.get("containers", {}).items()
        )
        self.log("pod", f"{'READY' if pod.get('ready') else 'not ready'}: {containers}", at)

    def take_runtime(self, said, at):
        name = said["container"]
        if said["runtime"] == "started":
            self.running[name], self.started[name] = said["pid"], at
        if said["runtime"] == "ended":
            self.running.pop(name, None)
        for verbose in ("log", "seconds"):
            said.pop(verbose, None)
        self.log("runtime", " ".join(str(value) for value in said.values()), at)

    def apply(self, pod):
        """Kubelet looks at the folder every second."""
        draft = self.folder / "pod.json"
        draft.write_text(json.dumps(pod))
        os.rename(draft, self.pods / "orders.json")

    def delete(self):
        (self.pods / "orders.json").unlink()

    def log_of(self, container):
        """What a container has written, all its runs together."""
        return "".join(file.read_text() for file in sorted(self.folder.glob(f"logs/*/{container}/*.log")))

    def ready(self):
        return self.pod.get("ready", False)

    def unready(self, since, until):
        """For how many seconds the pod was not READY, given that it was at `since`."""
        lost, last, ready = 0, since, True
        for at, now in [*self.ready_changes, (until, True)]:
            if since <= at <= until:
                lost += 0 if ready else at - last
                last, ready = at, now
        return lost

    def restarts(self, container):
        return self.pod.get("containers", {}).get(container, {}).get("restarts", 0)

    def kill(self, container, number=signal.SIGKILL):
        os.kill(self.running[container], number)

    def stop(self):
        self.kubelet.terminate()
        self.kubelet.wait(30)
