"""What a scenario is played on (a pod on its node, a database, traffic), and the figures that it is judged by."""

import contextlib
import json
import subprocess
import threading
import time

import model
from broker import Broker
from database import Database
from manifest import write_as_kubelet
from node import Node
from traffic import Traffic, ask

SIDECAR = 10240
# The `fsGroup` of the manifests.
VOLUMES = 65532
# How long everything is left alone once the pod is READY: kubelet asks for readiness every 5 s.
SETTLE = 6


class Testbed:
    def __init__(self, folder, kubelet, probelet, app, manifest):
        self.folder, self.probelet, self.manifest = folder, probelet, manifest
        self.born = time.time()
        self.figures = []
        self.closed = {}  # path → Unix times at which it was seen closed
        self.drained = False  # whether /readyz was seen closed by a drain
        self.control_folder = folder / "ctl"
        self.control_folder.mkdir()
        self.database = Database(folder)
        write_as_kubelet(folder / "secret", "password", self.database.password)
        self.write_configuration(manifest.configuration)
        self.broker = Broker(folder, self.database.password)
        for claim in manifest.claims:
            provide(folder / claim)
        self.node = Node(folder / "node", kubelet, probelet, app, self.control_folder, self.broker.bundle, self.log)
        threading.Thread(target=self.watch, daemon=True).start()

    def begin(self, before_ready):
        self.apply()
        before_ready(self)
        self.until("the pod is READY", self.node.ready, 90)
        self.traffic = Traffic(self.node.ready, self.log)
        self.wait(SETTLE)
        self.began = time.time()

    def end(self):
        self.node.stop()
        self.database.stop()
        self.broker.stop()

    # What happens in it.

    def apply(self):
        """A new pod, of the same name as one before it."""
        self.note("the pod is applied")
        self.node.apply(self.manifest.static_pod(self.folder))

    def fill(self, claim):
        """Writes until that disk is full; returns the file."""
        file = self.folder / claim / "full"
        with open(file, "wb", buffering=0) as full, contextlib.suppress(OSError):
            while full.write(bytes(65536)):
                pass
        return file

    def write_configuration(self, text):
        write_as_kubelet(self.folder / "configmap", "config.yaml", text)

    def app(self, **files):
        """What the app does from now on, see app.py. `None` undoes it."""
        for name, text in files.items():
            file = self.control_folder / name
            if text is None:
                file.unlink(missing_ok=True)
            else:
                draft = self.control_folder / "draft"
                draft.write_text(str(text))
                draft.rename(file)

    def wait(self, seconds):
        time.sleep(seconds)

    def until(self, what, condition, seconds):
        """Waits until something is so, looking 20 times a second. If it never is, that is a figure, and we go on."""
        end = time.time() + seconds
        while time.time() < end:
            if condition():
                return
            time.sleep(0.05)
        self.figure(what, f"within {seconds} s", "no", False)

    # What is seen of it.

    def ask(self, path):
        """What the sidecar answers somebody who is not kubelet: the status and the body, or nothing."""
        return ask("127.0.0.1", SIDECAR, path)

    def booked(self):
        """Which hosts the app has on its disk, this one being the last."""
        return (ask("127.0.0.1", 8080, "/booked") or (0, ""))[1].split()

    def metric_is(self, name, value):
        return f"\n{name} {value}\n" in (self.ask("/metrics") or (0, ""))[1]

    def passes(self, check, truth=True):
        """Whether the check is ok or degraded, as opposed to failing, skipped or not seen."""
        return self.metric_is(f'healthcheck_status{{check="{check}"}}', int(truth))

    def serves(self):
        """The pod is READY, and rightly so."""
        return self.node.ready() and (ask("127.0.0.1", 8080, "/live") or (0, ""))[0] == 200

    def unready(self, since=None):
        return self.node.unready(since or self.began, time.time())

    def watch(self):
        """Looks ten times a second."""
        last = {}
        while True:
            for path in ("/livez", "/readyz", "/startupz"):
                status, body = self.ask(path) or (0, "no answer")
                if status != 200:
                    self.closed.setdefault(path, []).append(time.time())
                self.drained |= path == "/readyz" and body.startswith("[-]draining")
                now = f"{status} {(body.strip().splitlines() or [''])[-1]}"
                if last.get(path) != now:
                    last[path] = now
                    self.log("probelet", f"{path} {now}")
            time.sleep(0.1)

    def closed_for(self, path):
        """For how many seconds it was seen closed since it began."""
        return round(sum(0.1 for at in self.closed.get(path, []) if at >= self.began), 1)

    # What is said of it.

    def note(self, text):
        self.log("scenario", text)

    def log(self, source, text, at=None):
        print(f"{(at or time.time()) - self.born:8.2f}  {source:8}  {text}"[:500], flush=True)

    def model(self, **happens):
        """What `probelet simulate` says of the same, or nothing where it knows no such thing."""
        return model.play(self.probelet, self.manifest, self.folder, happens)

    def at_most(self, what, bound, measured, predicted=None, within=5):
        self.figure(what, f"≤ {bound}", measured, measured <= bound, predicted, within)

    def exactly(self, what, bound, measured, predicted=None, within=0):
        self.figure(what, str(bound), measured, measured == bound, predicted, within)

    def holds(self, what, truth):
        self.figure(what, "yes", "yes" if truth else "no", truth)

    def compare(self, what, measured, predicted=None, within=5):
        """A figure without a bound, to hold others against."""
        self.figure(what, "", measured, True, predicted, within)

    def figure(self, what, bound, measured, met, predicted=None, within=0):
        agrees = predicted is None or abs(predicted - measured) <= within
        text = [what, bound, show(measured), "–" if predicted is None else show(predicted)]
        self.figures.append({"text": text, "met": met, "agrees": agrees})
        (self.folder / "figures.json").write_text(json.dumps(self.figures))
        self.note(f"{what}: {show(measured)} (bound {bound or 'none'}, model {text[3]})")


def provide(folder):
    """A disk of 16 MiB there, which belongs to the group of the pod's volumes as kubelet sees to it for a real one."""
    folder.mkdir()
    options = f"size=16m,gid={VOLUMES},mode=2775"
    subprocess.run(["mount", "--types", "tmpfs", "--options", options, "tmpfs", folder], check=True)


def show(value):
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
