"""What the admission policy makes of pods."""

import copy
import pathlib
import sys
import time

import yaml

from server import Refused

ROOT = pathlib.Path(__file__).resolve().parents[3]
LABEL = "probelet.dev/inject"
BECOMES_EFFECTIVE = 60  # seconds; a few at most, but for a machine that does much else
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def play(server, namespace, report):
    for document in yaml.safe_load_all((ROOT / "deploy/policy/mutatingadmissionpolicy.yaml").read_text()):
        server.apply(document, None, keep=True)
        report.holds(f"deploy/policy: {document['kind']}", not server.warnings, "; ".join(server.warnings))
    until(lambda: sidecars(server.create(pod(), namespace)), "the policy does nothing")
    until_refused(server, namespace, "names no container", pod(annotations={"probelet.dev/container": "nobody"}))
    for case in CASES:
        try:
            problem = case(server, namespace)
        except Refused as refused:
            problem = f"refused: {refused}"
        report.holds(f"a pod {case.__doc__}", not problem, problem)


def pod(label="orders-probelet", annotations=None, **spec):
    """A plain pod, as somebody has it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "orders", "labels": {LABEL: label}, "annotations": annotations or {}},
        "spec": {"automountServiceAccountToken": False, "containers": [container("orders")], **spec},
    }


def container(name, **keys):
    return {"name": name, "image": f"registry.example.com/{name}:1", "securityContext": RESTRICTED, **keys}


PLAIN = {"livenessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 7}}
PROBES = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def plain(server, namespace):
    """with nothing in it gets the sidecar of kubernetes.yaml, its volumes and its probes"""
    made = server.create(pod(), namespace)["spec"]
    shipped = next(document for document in documents("deploy/kubernetes.yaml") if document["kind"] == "Deployment")
    draft = pod("false")
    draft["spec"] = copy.deepcopy(shipped["spec"]["template"]["spec"])
    wanted = server.create(draft, namespace)["spec"]
    ours, theirs = made["initContainers"][0], wanted["initContainers"][0]
    for unlike in (ours, theirs):
        unlike.pop("volumeMounts")
        # There it stands in the pod's own context.
        for key in ("runAsNonRoot", "seccompProfile"):
            unlike["securityContext"].pop(key, None)
    if ours != theirs:
        return f"{ours}\ninstead of\n{theirs}"
    probes = [{probe: spec["containers"][0][probe] for probe in PROBES} for spec in (made, wanted)]
    if probes[0] != probes[1]:
        return f"the probes are {probes[0]}"
    volumes = {volume["name"]: volume for volume in made["volumes"]}
    if volumes["probelet"]["configMap"]["name"] != "orders-probelet" or volumes["probelet-state"]["emptyDir"] != {}:
        return f"the volumes are {volumes}"


def with_init_containers(server, namespace):
    """with init containers and volumes keeps them, and the sidecar starts after them"""
    volumes = [{"name": "tmp", "emptyDir": {}}]
    made = server.create(pod(initContainers=[container("migrate")], volumes=volumes), namespace)["spec"]
    names = [each["name"] for each in made["initContainers"]]
    volumes = [each["name"] for each in made["volumes"]]
    if (names, volumes) != (["migrate", "probelet"], ["tmp", "probelet", "probelet-state"]):
        return f"{names} {volumes}"


def with_probes(server, namespace):
    """with probes of its own gets the sidecar's in their place, whole"""
    made = server.create(pod(containers=[container("orders", **PLAIN)]), namespace)["spec"]
    probe = made["containers"][0]["livenessProbe"]
    if "exec" in probe or "initialDelaySeconds" in probe or probe["httpGet"]["path"] != "/livez":
        return f"{probe}"


def that_keeps_them(server, namespace):
    """with `probelet.dev/probes: keep` keeps its own"""
    draft = pod(annotations={"probelet.dev/probes": "keep"}, containers=[container("orders", **PLAIN)])
    made = server.create(draft, namespace)["spec"]
    app = made["containers"][0]
    if len(sidecars(made)) != 1 or "exec" not in app["livenessProbe"] or "readinessProbe" in app:
        return f"{made}"


def with_several_containers(server, namespace):
    """with several containers gets probes at the named one alone"""
    containers = [container("logs"), container("orders"), container("cache")]
    made = server.create(pod(annotations={"probelet.dev/container": "orders"}, containers=containers), namespace)["spec"]
    probed = {each["name"]: [probe for probe in PROBES if probe in each] for each in made["containers"]}
    if probed != {"logs": [], "orders": list(PROBES), "cache": []}:
        return f"{probed}"


def with_secrets(server, namespace):
    """with `probelet.dev/secrets` has each at /run/secrets in the sidecar alone"""
    made = server.create(pod(annotations={"probelet.dev/secrets": "orders-db, broker.v2"}), namespace)["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in sidecars(made)[0]["volumeMounts"]}
    secrets = {each["name"]: each["secret"]["secretName"] for each in made["volumes"] if "secret" in each}
    if secrets != {"probelet-orders-db": "orders-db", "probelet-broker-v2": "broker.v2"}:
        return f"{secrets}"
    if mounts["probelet-broker-v2"] != "/run/secrets/broker.v2" or "volumeMounts" in made["containers"][0]:
        return f"{mounts}"


def with_a_sidecar(server, namespace):
    """that has the sidecar already stays as it is"""
    shipped = next(document for document in documents("deploy/kubernetes.yaml") if document["kind"] == "Deployment")
    made = []
    for label in ("orders-probelet", "false"):
        draft = pod(label)
        draft["spec"] = copy.deepcopy(shipped["spec"]["template"]["spec"])
        made.append(server.create(draft, namespace)["spec"])
    if made[0] != made[1]:
        return f"{made[0]}"


def injected_twice(server, namespace):
    """that was injected and is created again from what was read gets nothing more"""
    once = server.create(pod(), namespace)
    draft = {**pod(), "spec": once["spec"]}
    again = server.create(draft, namespace)
    if again["spec"] != once["spec"]:
        return f"{again['spec']}"


def that_opts_out(server, namespace):
    """with `probelet.dev/inject: "false"`, an empty one, or none gets nothing"""
    drafts = [pod("false"), pod(""), pod()]
    drafts[2]["metadata"]["labels"] = {"app": "orders"}
    made = [server.create(draft, namespace)["spec"] for draft in drafts]
    if any("initContainers" in spec or "readinessProbe" in spec["containers"][0] for spec in made):
        return f"{made}"


def of_a_job(server, namespace):
    """that ends (restartPolicy: Never, as a Job's) gets it too: a native sidecar does not keep a Job from ending"""
    made = server.create(pod(restartPolicy="Never"), namespace)["spec"]
    if len(sidecars(made)) != 1 or sidecars(made)[0]["restartPolicy"] != "Always":
        return f"{made}"


def that_runs(server, namespace):
    """that runs already is left alone when the label comes later"""
    draft = pod("false")
    server.create(draft, namespace, keep=True)
    try:
        draft["metadata"]["labels"][LABEL] = "orders-probelet"
        made = server.apply({**draft, "spec": {}}, namespace)["spec"]
        if "initContainers" in made:
            return f"{made}"
    finally:
        server.delete(draft, namespace)


def of_a_workload(server, namespace):
    """of a Deployment, StatefulSet or DaemonSet: their manifests stay as they were written"""
    labels = {"app": "orders", LABEL: "orders-probelet"}
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        template = {"metadata": {"labels": labels}, "spec": pod()["spec"]}
        spec = {"selector": {"matchLabels": {"app": "orders"}}, "template": template}
        if kind == "StatefulSet":
            spec["serviceName"] = "orders"
        metadata = {"name": "orders", "labels": labels}
        document = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}
        if sidecars(server.apply(document, namespace)["spec"]["template"]["spec"]):
            return f"{kind} was changed"


def that_names_nobody(server, namespace):
    """whose annotation names no container of it is refused, and told which there are"""
    wanted = "names no container of the pod: nobody; write one of: orders"
    return refusal(server, namespace, wanted, pod(annotations={"probelet.dev/container": "nobody"}))


def that_is_misspelt(server, namespace):
    """with another word than `keep` is refused, and told so"""
    wanted = "the annotation probelet.dev/probes is kept; write keep, or leave it out"
    return refusal(server, namespace, wanted, pod(annotations={"probelet.dev/probes": "kept"}))


def that_is_not_restricted(server, namespace):
    """that Pod Security refuses is refused with the sidecar too, for its own container alone"""
    draft = pod()
    draft["spec"]["containers"][0].pop("securityContext")
    try:
        server.create(draft, namespace)
        return "it is created"
    except Refused as refused:
        if '"orders"' not in str(refused) or '"probelet"' in str(refused):
            return f"{refused}"


CASES = [
    plain,
    with_init_containers,
    with_probes,
    that_keeps_them,
    with_several_containers,
    with_secrets,
    with_a_sidecar,
    injected_twice,
    that_opts_out,
    of_a_job,
    that_runs,
    of_a_workload,
    that_names_nobody,
    that_is_misspelt,
    that_is_not_restricted,
]


def made_of_kubernetes_yaml(server, namespace):
    """What the API server makes of kubernetes.yaml as somebody had it before probelet, as documents for kubelet."""
    deployment = next(each for each in documents("deploy/kubernetes.yaml") if each["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    template["metadata"]["labels"][LABEL] = "orders-probelet"
    template["metadata"]["annotations"] = {"probelet.dev/secrets": "orders-db"}
    before = {**template["spec"], "initContainers": [], "volumes": []}
    for probe in PROBES:
        before["containers"][0].pop(probe)
    metadata = {"name": "orders", **template["metadata"]}
    made = server.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": before}, namespace)["spec"]
    # Kubelet has no API server there, and so no service account.
    template["spec"] = {key: value for key, value in made.items() if not key.startswith("serviceAccount")}
    return [deployment, *(each for each in documents("deploy/kubernetes.yaml") if each["kind"] == "ConfigMap")]


def sidecars(made):
    spec = made.get("spec", made)
    return [each for each in spec.get("initContainers", []) if each["name"] == "probelet"]


def documents(name):
    return [document for document in yaml.safe_load_all((ROOT / name).read_text()) if document]


def refusal(server, namespace, wanted, draft):
    try:
        server.create(draft, namespace)
        return "it is created"
    except Refused as refused:
        return None if wanted in str(refused) else str(refused)


def until_refused(server, namespace, wanted, draft=None):
    """Waits until a pod is refused: policies and levels count a moment after they are there."""
    draft = draft or {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": {"hostNetwork": True}}
    draft["spec"].setdefault("containers", [{"name": "bad", "image": "bad"}])
    until(lambda: refusal(server, namespace, wanted, draft) is None, f"nothing is refused with `{wanted}`")


def until(condition, otherwise):
    end = time.monotonic() + BECOMES_EFFECTIVE
    while True:
        try:
            if condition():
                return
        except Refused as refused:
            otherwise = f"refused: {refused}"
        if time.monotonic() > end:
            sys.exit(f"error: {otherwise}")
        time.sleep(0.2)
