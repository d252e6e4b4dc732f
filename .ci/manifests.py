"""Checks deploy/*.yaml: against the schemas of Kubernetes, against each other, and the configuration inside them.

usage: manifests.py PROBELET FILE...

It needs kubernetes-validate (which brings the schemas along) and asks no cluster.
"""

import functools
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

# Native sidecars are on by default from the first of these.
VERSIONS = ["1.29", "1.33", kubernetes_validate.latest_version()]
PORT = 10240
HERE = pathlib.Path(__file__).resolve().parent
# What no way of putting the sidecar beside an app may change.
ALWAYS = ["restartPolicy", "args", "env", "ports", "startupProbe", "livenessProbe", "lifecycle", "resources"]


def main(probelet, *files):
    documents = [(file, document) for file in files for document in yaml.safe_load_all(pathlib.Path(file).read_text())]
    problems = [f"{file}: {problem}" for file, document in documents for problem in check(document, probelet)]
    problems += check_monitors([document for _, document in documents])
    problems += check_policies()
    with_pods = {file for file, document in documents if document["kind"] in ("Deployment", "StatefulSet")}
    problems += [problem for file in sorted(with_pods) for problem in check_explained(file, probelet)]
    print("\n".join(problems) or f"{len(documents)} manifests are valid for Kubernetes {', '.join(VERSIONS)}")
    return 1 if problems else 0


# The two policies are written in the same expressions.
POLICY, KYVERNO = "deploy/policy/mutatingadmissionpolicy.yaml", "deploy/policy/kyverno.yaml"


def check_policies():
    """The sidecar that a policy makes is that of deploy/kubernetes.yaml, and Kyverno is told the same as Kubernetes."""
    for document in yaml.safe_load_all((HERE.parent / POLICY).read_text()):
        yield from check_schema(document, [kubernetes_validate.latest_version()])
    policies = {kind: of_kind(POLICY, f"{kind}AdmissionPolicy")["spec"] for kind in ("Mutating", "Validating")}
    variables = {variable["name"]: variable["expression"] for variable in policies["Mutating"]["variables"]}
    # Without the names of types the expression is a YAML mapping.
    patches = policies["Mutating"]["mutations"][0]["jsonPatch"]["expression"]
    literal = re.search(r"Object\.spec\.initContainers(\{.*?\n *\})\},", patches, re.DOTALL)[1]
    sidecar = yaml.safe_load(re.sub(r"[\w.]+\{", "{", literal))
    for key in ALWAYS:
        if sidecar.get(key) != reference()[key]:
            yield f"{POLICY}: `{key}` of the sidecar is not as in deploy/kubernetes.yaml: {sidecar.get(key)}"
    if variables["image"] != f"'{reference()['image']}'":
        yield f"{POLICY}: another image than in deploy/kubernetes.yaml: {variables['image']}"
    for kind, policy in policies.items():
        other = of_kind(KYVERNO, f"{kind}Policy")["spec"]
        yield from (f"{KYVERNO}: `{key}` is not as in {POLICY}" for key in policy if policy[key] != other.get(key))


def of_kind(file, kind):
    documents = yaml.safe_load_all((HERE.parent / file).read_text())
    return next(document for document in documents if document["kind"] == kind)


def check(document, probelet):
    kind = document["kind"]
    if kind in ("PodMonitor", "ServiceMonitor"):  # resources of an operator: there is no schema here, see check_monitors
        return
    yield from check_schema(document)
    if kind in ("Deployment", "StatefulSet"):
        claims = [{"name": claim["metadata"]["name"]} for claim in document["spec"].get("volumeClaimTemplates", [])]
        pod = document["spec"]["template"]["spec"]
        yield from check_pod({**pod, "volumes": pod["volumes"] + claims})
    if kind == "ConfigMap":
        yield from check_configuration(document["data"]["config.yaml"], probelet)


def check_schema(document, versions=VERSIONS):
    name = f"{document['kind']} {document['metadata']['name']}"
    for version in versions:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(item) for item in error.path)
            yield f"{name}, Kubernetes {version}: {path}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield error.message


def check_pod(pod):
    """What the schema cannot know: the words of a native sidecar, and that the probes ask the sidecar."""
    pod.setdefault("initContainers", [])
    if [container["name"] for container in pod["containers"]] == ["probelet"]:
        yield from check_alone(pod["containers"][0])
        yield from check_restricted(pod)
        return
    sidecars = [container for container in pod["initContainers"] if container["name"] == "probelet"]
    if not sidecars:
        yield "there is no sidecar called probelet among the initContainers"
    for sidecar in sidecars:
        yield from check_sidecar(sidecar, pod)
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in pod["initContainers"] + pod["containers"]:
        unknown = {mount["name"] for mount in container.get("volumeMounts", [])} - volumes
        if unknown:
            yield f"{container['name']} mounts unknown volumes: {unknown}"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port", PORT)
            if port != PORT:
                yield f"the {probe} of {container['name']} names the port {port}: Istio needs the number {PORT}"
    for container in pod["containers"]:
        yield from check_app(container, pod)
    yield from check_restricted(pod)


def check_sidecar(sidecar, pod):
    if sidecar.get("restartPolicy") != "Always":
        yield "the sidecar needs `restartPolicy: Always`"
    if PORT not in [port["containerPort"] for port in sidecar["ports"]]:
        yield f"the sidecar does not name the port {PORT}"
    if any("subPath" in mount for mount in sidecar["volumeMounts"]):
        yield "a `subPath` never sees a change"
    for key in ALWAYS:
        if sidecar.get(key) != reference().get(key):
            yield f"`{key}` of the sidecar is not as in deploy/kubernetes.yaml: {sidecar.get(key)}"
    liveness = sidecar["livenessProbe"]
    if liveness["periodSeconds"] * liveness["failureThreshold"] > 10:
        yield "a frozen sidecar is not restarted within 10 s"
    if liveness.get("terminationGracePeriodSeconds") != 1:
        yield "a frozen sidecar would hold kubelet up for the grace period of the pod"
    state = [variable.get("value") for variable in sidecar["env"] if variable["name"] == "PROBELET_STATE"]
    kept = [volume["name"] for volume in pod["volumes"] if "emptyDir" in volume]
    if state not in [[mount["mountPath"]] for mount in sidecar["volumeMounts"] if mount["name"] in kept]:
        yield "PROBELET_STATE of the sidecar is not an emptyDir: what it knows would not outlive its container"


@functools.cache
def reference():
    """The sidecar of deploy/kubernetes.yaml."""
    pod = of_kind("deploy/kubernetes.yaml", "Deployment")["spec"]["template"]["spec"]
    return next(container for container in pod["initContainers"] if container["name"] == "probelet")


def check_alone(container):
    """With no app beside it kubelet asks for its own health: what it watches must neither restart nor hide it."""
    asked = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    if asked != {"startup": "/-/healthy", "liveness": "/-/healthy", "readiness": "/-/ready"}:
        yield f"the probes of a probelet that stands alone ask {asked}"


def check_app(container, pod):
    """All three probes ask over HTTP, or by gRPC, or all with the command that an init container installs."""
    asked = {probe: container[f"{probe}Probe"] for probe in ("startup", "liveness", "readiness")}
    gates = {"startup": "startupz", "liveness": "livez", "readiness": "readyz"}
    over_http = {probe: {"path": f"/{gate}", "port": PORT} for probe, gate in gates.items()}
    if {probe: asked[probe].get("httpGet") for probe in asked} == over_http:
        return
    by_grpc = {probe: {"port": PORT, "service": probe} for probe in gates}
    if {probe: asked[probe].get("grpc") for probe in asked} == by_grpc:
        return
    folder = next((init["args"][1] for init in pod["initContainers"] if init.get("args", [])[:1] == ["install"]), None)
    fail_open = {"liveness": ["--if-unreachable", "ok"]}
    by_command = {
        probe: {"command": [f"{folder}/probelet", "ask", gate, *fail_open.get(probe, [])]}
        for probe, gate in gates.items()
    }
    if {probe: asked[probe].get("exec") for probe in asked} != by_command:
        yield f"the probes of {container['name']} ask neither over HTTP, nor by gRPC, nor with the installed command"
    if folder not in [mount["mountPath"] for mount in container.get("volumeMounts", [])]:
        yield f"{container['name']} does not see what was installed"


def check_restricted(pod):
    """Pod Security's level "restricted", as far as these manifests touch it; `make kubelet` asks Kubernetes itself."""
    wanted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if {key: pod["securityContext"].get(key) for key in wanted} != wanted:
        yield "the pod is not `restricted`"
    for container in pod["initContainers"] + pod["containers"]:
        context = container["securityContext"]
        if (
            context["allowPrivilegeEscalation"]
            or context["capabilities"] != {"drop": ["ALL"]}
            or not context["readOnlyRootFilesystem"]
        ):
            yield f"{container['name']} is not `restricted`"
    if any(volume.keys() & {"hostPath", "nfs", "iscsi"} for volume in pod["volumes"]):
        yield "a volume is not `restricted`"


def check_configuration(text, probelet):
    """The configuration must be valid without a warning; the secrets that it names are put beside it."""
    with tempfile.TemporaryDirectory() as folder:
        secrets = pathlib.Path(folder, "secrets")
        for name in re.findall(r"\$\{file:/run/secrets/([\w./-]+)\}", text):
            secret = secrets / name
            secret.parent.mkdir(parents=True, exist_ok=True)
            secret.write_text("example")
        config = pathlib.Path(folder, "config.yaml")
        config.write_text(text.replace("/run/secrets/", f"{secrets}/"))
        command = [probelet, "validate", "--strict", "--config", str(config)]
        validation = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if validation.returncode != 0:
            yield f"the configuration is not valid:\n{validation.stdout}{validation.stderr}"


def check_explained(file, probelet):
    """`explain` must have nothing against the pod, but for what only the exec wiring avoids."""
    command = [probelet, "explain", "--config", file]
    explained = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = set(re.findall(r"^(?:error|warning|note)\[([\w-]+)\]", explained.stdout + explained.stderr, re.MULTILINE))
    if explained.returncode != 0 or found - {"fails-closed"}:
        yield f"{file}: `probelet explain` is not content:\n{explained.stdout}{explained.stderr}"


def check_monitors(documents):
    """A monitor must select the pods of the workload (or the Service), by a port that they name, and keep our labels."""
    templates = [document["spec"]["template"] for document in documents if document["kind"] == "Deployment"]
    services = [document for document in documents if document["kind"] == "Service"]
    for monitor in [document for document in documents if document["kind"] in ("PodMonitor", "ServiceMonitor")]:
        name = f"the {monitor['kind']} {monitor['metadata']['name']}"
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        endpoints = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
        ports = {endpoint["port"] for endpoint in endpoints}
        # The operator's own target label would hide ours of the same name.
        drop = {"action": "labeldrop", "regex": "endpoint"}
        if any(drop not in endpoint.get("relabelings", []) for endpoint in endpoints):
            yield f"{name} keeps the operator's label `endpoint`"
        if monitor["kind"] == "PodMonitor":
            chosen = [template for template in templates if wanted <= template["metadata"]["labels"].items()]
            named = [ports_of_pod(template["spec"]) for template in chosen]
        else:
            chosen = [service for service in services if wanted <= service["metadata"]["labels"].items()]
            named = [{port["name"] for port in service["spec"]["ports"]} for service in chosen]
        if not chosen:
            yield f"{name} selects nothing"
        yield from (f"{name} names ports that are not there: {ports - names}" for names in named if not ports <= names)


def ports_of_pod(pod):
    containers = pod.get("initContainers", []) + pod["containers"]
    return {port["name"] for container in containers for port in container.get("ports", [])}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
