"""The scenarios. Each is played alone, on a pod out of `deploy/` that has just become READY."""

import signal
import time
from dataclasses import dataclass
from typing import Callable

HTTP, EXEC, GRPC = "kubernetes.yaml", "kubernetes-exec.yaml", "kubernetes-grpc.yaml"
# What kustomize and helm make of theirs, see `make render`.
COMPONENT, CHART = "../tests/golden/deploy/kustomize.yaml", "../tests/golden/deploy/helm-sidecar.yaml"
# The chart for standalone use, without a value.
ALONE = "../tests/golden/deploy/helm-bare.yaml"
STATEFUL = "statefulset.yaml"
# What the API server makes of an app by the admission policy.
MADE = "the policy's"
# When things begin in the model, in seconds: long after its start.
LATER = 60


@dataclass
class Scenario:
    name: str
    says: str
    play: Callable
    manifest: str
    change: Callable
    before_ready: Callable


SCENARIOS = []


def scenario(says, manifest=HTTP, change=lambda manifest: None, before_ready=lambda bed: None):
    """Declares a scenario: what happens, the manifest of `deploy/` that it is played with, what is changed in it, and what
    happens between its applying and its being READY."""

    def declare(function):
        SCENARIOS.append(Scenario(function.__name__.replace("_", "-"), says, function, manifest, change, before_ready))
        return function

    return declare


# The app crashes, and its next start takes its time.


@scenario("the app crashes; its next start takes 40 s", change=lambda manifest: manifest.with_plain_probes())
def plain_crash_40s(bed):
    crash(bed, 40)
    bed.compare("requests refused while READY, 5 a second", bed.traffic.refused)
    bed.compare("seconds without traffic", bed.unready())


@scenario("the app crashes; its next start takes 40 s")
def crash_40s(bed):
    crash(bed, 40)
    judge_crash(bed, 40)


@scenario("the app crashes 8 s after its start; its next start takes 40 s")
def crash_early_40s(bed):
    crash(bed, 40, after=0)
    judge_crash(bed, 40)


@scenario("the app crashes; its next start takes 90 s")
def crash_90s(bed):
    crash(bed, 90)
    judge_crash(bed, 90)


@scenario(
    "the app crashes; its liveness waits for the database", change=lambda m: m.check("app", depends_on=["database"])
)
def crash_behind_database_40s(bed):
    crash(bed, 40)
    judge_crash(bed, 40)


@scenario("the app crashes with the exec wiring; its next start takes 40 s", manifest=EXEC)
def crash_exec_40s(bed):
    crash(bed, 40)
    judge_crash(bed, 40)


@scenario("the app crashes with the gRPC wiring; its next start takes 40 s", manifest=GRPC)
def crash_grpc_40s(bed):
    crash(bed, 40)
    judge_crash(bed, 40)


@scenario("the app crashes, and 15 s after its start again; then a start takes 40 s")
def crash_twice(bed):
    crash(bed, 1)
    crash(bed, 40, after=7)
    bed.at_most("requests refused while READY, 5 a second", 2 * KUBELET_LOOKS, bed.traffic.refused)
    bed.exactly("restarts of the app", 2, bed.node.restarts("orders"))
    # Kubelet itself waits 10 s before the second restart.
    bed.at_most("seconds without traffic", 1 + 8 + 10 + 40 + 8, bed.unready())


# Kubelet looks at its containers once a second, and takes a moment to look and to tell. Until then even the plainest
# pod is READY without an app: so many requests of five a second.
KUBELET_LOOKS = 8


def crash(bed, starts_in, after=30):
    """The app crashes, so many seconds later."""
    bed.wait(after)
    bed.app(start=starts_in)
    bed.note(f"the app crashes; its next start takes {starts_in} s")
    began = time.time()
    bed.node.kill("orders")
    bed.until("the app is restarted", lambda: bed.node.started["orders"] > began, 30)
    bed.until("the pod serves again", bed.serves, 2 * starts_in + 100)
    bed.wait(8)


def judge_crash(bed, starts_in):
    predicted = bed.model(app={"exits": f"{LATER}s", "starts_in": f"{starts_in}s"})
    bed.at_most("requests refused while READY, 5 a second", KUBELET_LOOKS, bed.traffic.refused)
    bed.exactly("restarts of the app", 1, bed.node.restarts("orders"), predicted.restarts)
    # A period of the startup probe, one of the check, and kubelet's look.
    bed.at_most("seconds without traffic", starts_in + 8, bed.unready(), predicted.unready)


# The database is away, and comes back.


@scenario("the database is away; the app goes on")
def database(bed):
    outage(bed)
    bed.at_most("seconds without traffic", 0, bed.unready(), bed.model(faults=[DATABASE]).unready)
    bed.exactly("restarts of the app", 0, bed.node.restarts("orders"))


@scenario("the database comes back; the app's pool needs 3 s from its first request on")
def database_pool(bed):
    outage(bed, "pool 3")
    predicted = bed.model(faults=[DATABASE, api_fails(3)])
    bed.at_most("seconds with /readyz closed", 0, bed.closed_for("/readyz"), predicted.readyz)
    bed.at_most("seconds without traffic", 0, bed.unready(), predicted.unready)


@scenario("the database comes back; the app's first answers take 1.5 s")
def database_slow(bed):
    outage(bed, "slow 1.5")
    bed.at_most("seconds with /readyz closed", 0, bed.closed_for("/readyz"))
    bed.at_most("seconds without traffic", 0, bed.unready())


DATABASE = {"check": "database", "from": f"{LATER}s", "to": f"{2 * LATER}s", "outcome": "fail"}


def api_fails(seconds):
    return {"check": "api", "from": f"{LATER}s", "to": f"{2 * LATER + seconds}s", "outcome": "fail"}


def outage(bed, afterwards="ok"):
    bed.note("the database goes away")
    bed.database.stop()
    bed.until("the outage is seen", lambda: bed.passes("database", False), 60)
    bed.wait(10)
    bed.note(f"the database comes back; the app answers: {afterwards}")
    bed.app(orders=afterwards)
    bed.database.start()
    bed.until("the end of the outage is seen", lambda: bed.passes("database"), 60)
    bed.wait(25)


# The app hangs, and is restarted.


# The app's start, kubelet's first question (which tells the sidecar that this is a new app), and one period of the startup
# probe until the next.
RESTART_TO_READY = 8


@scenario("the app hangs", change=lambda manifest: manifest.with_plain_probes())
def plain_hang(bed):
    bed.compare("seconds from restart to READY", hang(bed))
    bed.compare("seconds without traffic", bed.unready())


@scenario("the app hangs")
def hang_restart(bed):
    hangs = time.time()
    mended = hang(bed)
    seconds = bed.node.started["orders"] - hangs + 1
    predicted = bed.model(
        faults=[{"check": "app", "from": f"{LATER}s", "to": f"{LATER + seconds:.0f}s", "outcome": "hang"}]
    )
    bed.at_most("seconds from restart to READY", RESTART_TO_READY, mended)
    bed.exactly("restarts of the app", 1, bed.node.restarts("orders"), predicted.restarts)


@scenario("the app hangs, with the exec wiring", manifest=EXEC)
def hang_exec(bed):
    bed.at_most("seconds from restart to READY", RESTART_TO_READY, hang(bed))
    cause = "livez error: root cause app"
    bed.holds("kubelet's event names the cause", any(cause in message for _, _, message in bed.node.events))
    bed.exactly("restarts of the app", 1, bed.node.restarts("orders"))


@scenario("the app hangs for 12 s and is well again by itself")
def hang_short(bed):
    bed.note("the app hangs")
    bed.app(hangs=bed.node.running["orders"])
    bed.wait(12)
    bed.note("the app is well again")
    bed.app(hangs=None)
    back = time.time()
    bed.until("the pod serves again", bed.serves, 60)
    # A run that still waits for its answer (2 s), the pause after it (2 s), and a readiness period.
    bed.at_most("seconds from well to READY", 10, time.time() - back)
    bed.exactly("restarts of the app", 0, bed.node.restarts("orders"))


@scenario("the app hangs while the database is away")
def hang_in_outage(bed):
    bed.database.stop()
    bed.until("the outage is seen", lambda: bed.passes("database", False), 60)
    mended = hang(bed)
    bed.at_most("seconds from restart to READY", RESTART_TO_READY, mended)
    bed.exactly("restarts of the app", 1, bed.node.restarts("orders"))
    unready = bed.unready()
    bed.database.start()
    bed.until("the end of the outage is seen", lambda: bed.passes("database"), 60)
    bed.wait(20)
    bed.at_most("seconds without traffic through the database's return", 0, round(bed.unready() - unready, 1))


def hang(bed):
    """Returns how many seconds pass from the restart to READY."""
    bed.note("the app hangs, this process of it")
    before = bed.node.started["orders"]
    bed.app(hangs=bed.node.running["orders"])
    bed.until("the app is restarted", lambda: bed.node.started["orders"] > before, 120)
    bed.until("the pod serves again", bed.serves, 60)
    return time.time() - bed.node.started["orders"]


# The sidecar itself fails.


@scenario("the sidecar is frozen (SIGSTOP)")
def frozen(bed):
    bed.note("the sidecar is frozen")
    before = bed.node.started["probelet"]
    bed.node.kill("probelet", signal.SIGSTOP)
    bed.until("the sidecar is restarted", lambda: bed.node.started["probelet"] > before, 120)
    bed.until("the pod serves again", bed.serves, 90)
    bed.wait(8)
    predicted = bed.model(sidecar={"frozen": f"{LATER}s..{5 * LATER}s"})
    bed.exactly("restarts of the app", 0, bed.node.restarts("orders"), predicted.restarts)
    bed.at_most("seconds without traffic", 10, bed.unready(), predicted.unready)


@scenario("the sidecar crashes again and again")
def crash_loop(bed):
    crash_sidecar(bed)
    bed.compare("restarts of the app within four crashes", bed.node.restarts("orders"))


@scenario("the sidecar crashes again and again, with the exec wiring", manifest=EXEC)
def crash_loop_exec(bed):
    crash_sidecar(bed)
    bed.exactly("restarts of the app within four crashes", 0, bed.node.restarts("orders"))


def crash_sidecar(bed):
    for crash in range(4):
        bed.note(f"the sidecar crashes, number {crash + 1}")
        before = bed.node.started["probelet"]
        bed.node.kill("probelet")
        bed.until("the sidecar is restarted", lambda: bed.node.started["probelet"] > before, 120)
        bed.wait(3)


# One readiness period, for a question that falls into the second in which the sidecar is away.
SIDECAR_RESTARTS = 6


@scenario("the sidecar crashes")
def killed(bed):
    kill_sidecar(bed)
    bed.wait(12)
    predicted = bed.model(sidecar={"killed": f"{LATER}s"})
    bed.at_most("seconds without traffic", SIDECAR_RESTARTS, bed.unready(), predicted.unready)
    bed.exactly("restarts of the app", 0, bed.node.restarts("orders"), predicted.restarts)


@scenario("the sidecar crashes while the database is away")
def killed_in_outage(bed):
    kill_in_outage(bed)
    predicted = bed.model(faults=[DATABASE], sidecar={"killed": f"{LATER + 50}s"})
    bed.at_most("seconds without traffic", SIDECAR_RESTARTS, bed.unready(), predicted.unready)


@scenario("the same with the exec wiring", manifest=EXEC)
def killed_in_outage_exec(bed):
    kill_in_outage(bed)
    bed.at_most("seconds without traffic", SIDECAR_RESTARTS, bed.unready())


@scenario("the same without --state", change=lambda manifest: manifest.without_state())
def killed_in_outage_without_state(bed):
    kill_in_outage(bed)
    bed.compare("seconds without traffic", bed.unready())


def kill_in_outage(bed):
    bed.note("the database goes away")
    bed.database.stop()
    bed.until("the outage is seen", lambda: bed.passes("database", False), 60)
    kill_sidecar(bed)
    bed.wait(40)
    bed.note("the database comes back")
    bed.database.start()
    bed.until("the end of the outage is seen", lambda: bed.passes("database"), 60)
    bed.wait(10)


def kill_sidecar(bed):
    bed.note("the sidecar crashes")
    before = bed.node.started["probelet"]
    bed.node.kill("probelet")
    bed.until("the sidecar is restarted", lambda: bed.node.started["probelet"] > before, 30)


@scenario("the ConfigMap is broken, and the sidecar crashes")
def configuration_broken(bed):
    bed.note("the ConfigMap is broken")
    bed.write_configuration(bed.manifest.configuration.replace("gates:", "gatez:"))
    bed.until("the broken file is seen", lambda: bed.metric_is(RELOADED, 0), 30)
    kill_sidecar(bed)
    bed.wait(25)
    bed.at_most("seconds without traffic", SIDECAR_RESTARTS, bed.unready())
    bed.holds("/-/ready says so", "last good" in (bed.ask("/-/ready") or (0, ""))[1])
    bed.holds("the metrics say so", bed.metric_is(RELOADED, 0))
    bed.note("the ConfigMap is mended")
    bed.write_configuration(bed.manifest.configuration)
    bed.until("the mended file is adopted", lambda: bed.metric_is(RELOADED, 1), 30)
    bed.wait(8)
    bed.at_most("seconds without traffic in all", SIDECAR_RESTARTS, bed.unready())


RELOADED = "probelet_config_last_reload_successful"


# A pod with a name and a disk of its own.


def await_broker(bed):
    bed.until("the init container names the broker", lambda: "broker" in bed.node.log_of("wait"), 60)
    bed.wait(10)
    bed.holds("the app waits for the broker", "ledger" not in bed.node.started)
    bed.note("the broker is there")
    bed.broker.start()


@scenario("a StatefulSet's pod: its broker is late, its disk fills, it is replaced", STATEFUL, before_ready=await_broker)
def statefulset(bed):
    bed.holds("its host is called ledger-0", bed.booked() == ["ledger-0"])
    bed.holds("the sidecar may write to the disk", bed.passes("data"))
    bed.note("the broker goes away")
    bed.broker.stop()
    bed.until("the outage is seen", lambda: bed.passes("broker", False), 60)
    bed.wait(10)
    bed.at_most("seconds without traffic while the broker is away", 0, bed.unready(), bed.model(faults=[BROKER]).unready)
    bed.note("the disk is full")
    full = bed.fill("data")
    bed.until("the pod gets no traffic", lambda: not bed.node.ready(), 60)
    bed.wait(40)
    bed.broker.start()
    bed.note("the disk has room")
    full.unlink()
    room = time.time()
    bed.until("the pod serves again", bed.serves, 60)
    # An interval of the check, and a period of readiness.
    bed.at_most("seconds from room to READY", 16, time.time() - room)
    bed.exactly("restarts of the app", 0, bed.node.restarts("ledger"))
    bed.wait(8)
    end(bed)
    bed.apply()
    bed.until("the next pod is READY", bed.node.ready, 90)
    bed.holds("the next pod has the same name and disk", bed.booked() == ["ledger-0", "ledger-0"])


BROKER = {"check": "broker", "from": f"{LATER}s", "to": f"{2 * LATER}s", "outcome": "fail"}


# The pod ends.


@scenario("the pod is deleted; load balancers go on sending for 4 s")
def delete(bed):
    end(bed)


@scenario("the same with the kustomize component, after the app's own init container", manifest=COMPONENT)
def delete_component(bed):
    end(bed)


@scenario("the same with the library chart", manifest=CHART)
def delete_chart(bed):
    end(bed)


@scenario("the same with what the admission policy makes of an app that had no probe", manifest=MADE)
def delete_injected(bed):
    end(bed)


@scenario("a probelet that stands alone is deleted", manifest=ALONE)
def delete_alone(bed):
    bed.holds("/-/ready is open", (bed.ask("/-/ready") or (0, ""))[0] == 200)
    began = time.time()
    bed.node.delete()
    bed.until("the container has ended", lambda: not bed.node.running, 60)
    bed.at_most("seconds until the end", 15, time.time() - began)
    bed.exactly("restarts", 0, bed.node.restarts("probelet"))


def end(bed):
    bed.note("the pod is deleted")
    began = time.time()
    bed.traffic.may_send = lambda: time.time() < began + 4
    bed.node.delete()
    bed.until("the containers have ended", lambda: not bed.node.running, 60)
    bed.at_most("requests refused", 0, bed.traffic.refused)
    bed.at_most("seconds until the end", 15, time.time() - began)
    bed.holds("the drain closed /readyz", bed.drained)
