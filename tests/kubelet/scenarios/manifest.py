"""What `deploy/` ships, as the pod, the configuration and the files that kubelet needs without an API server."""

import copy
import os
import time
import uuid

import yaml


class Manifest:
    """One Deployment or StatefulSet with its ConfigMap. Scenarios change `pod` and `configuration` before they are used."""

    def __init__(self, file):
        documents = {document["kind"]: document for document in yaml.safe_load_all(file.read_text())}
        self.workload = documents.get("StatefulSet") or documents["Deployment"]
        self.pod = self.workload["spec"]["template"]["spec"]
        self.configuration = documents["ConfigMap"]["data"]["config.yaml"]

    @property
    def app(self):
        return self.pod["containers"][0]

    @property
    def sidecar(self):
        return next(container for container in self.pod["initContainers"] if container["name"] == "probelet")

    def with_plain_probes(self):
        """What somebody without probelet has: no sidecar, and probes that ask the app itself."""
        self.pod["initContainers"] = []
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.app[probe].pop("exec", None)
            self.app[probe]["httpGet"] = {"path": "/live", "port": 8080}

    def without_state(self):
        """As if nothing of the sidecar outlived its container."""
        names = {volume["name"] for volume in self.pod["volumes"] if volume["name"] == "state"}
        self.pod["volumes"] = [volume for volume in self.pod["volumes"] if volume["name"] not in names]
        self.sidecar["volumeMounts"] = [mount for mount in self.sidecar["volumeMounts"] if mount["name"] not in names]
        self.sidecar["env"] = [variable for variable in self.sidecar["env"] if variable["name"] != "PROBELET_STATE"]

    def check(self, name, **keys):
        """Changes keys of a check in the configuration."""
        configuration = yaml.safe_load(self.configuration)
        next(check for check in configuration["checks"] if check["name"] == name).update(keys)
        self.configuration = yaml.safe_dump(configuration, sort_keys=False)

    @property
    def claims(self):
        """The names of the disks of a StatefulSet's pod."""
        return [claim["metadata"]["name"] for claim in self.workload["spec"].get("volumeClaimTemplates", [])]

    def static_pod(self, folder):
        """As a new pod for kubelet's folder of static pods. Folders stand for ConfigMap and Secret, which would come from an
        API server, and for a StatefulSet's disks. The rest of what its controller adds is as that has it."""
        spec = copy.deepcopy(self.pod)
        for volume in spec["volumes"]:
            for kind in ("configMap", "secret"):
                if volume.pop(kind, None):
                    volume["hostPath"] = {"path": str(folder / kind.lower())}
        spec["hostAliases"] = [{"ip": "127.0.0.1", "hostnames": ["orders-db", "broker"]}]
        labels, name = self.workload["spec"]["template"]["metadata"]["labels"], "orders"
        if self.workload["kind"] == "StatefulSet":
            name = f"{self.workload['metadata']['name']}-0"
            labels = {**labels, "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": "0"}
            spec["hostname"], spec["subdomain"] = name, self.workload["spec"]["serviceName"]
            spec["volumes"] += [{"name": claim, "hostPath": {"path": str(folder / claim)}} for claim in self.claims]
        metadata = {"name": name, "namespace": "default", "uid": str(uuid.uuid4()), "labels": labels}
        return {"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": metadata}


def write_as_kubelet(folder, name, text):
    """As kubelet writes a ConfigMap: a new folder, and the link `..data` turned to it in one step."""
    new = f"..{time.time_ns()}"
    (folder / new).mkdir(parents=True)
    (folder / new / name).write_text(text)
    os.symlink(new, folder / "..data_tmp")
    os.rename(folder / "..data_tmp", folder / "..data")
    if not (folder / name).is_symlink():
        os.symlink(f"..data/{name}", folder / name)
