"""Checks what the daemon describes at /v1/openapi.json: the description itself, and the daemon against it.

usage: api.py PROBELET

It needs openapi-spec-validator and schemathesis. The daemon is started on a free port of loopback.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from openapi_spec_validator import validate

# Every kind of answer: a check that passes, one that fails and closes nothing, one that is skipped, one that is switched
# off, a workflow, beats.
CONFIG = """
service: { name: shop, version: "1.2.3", labels: { team: orders } }
server: { cors_origins: ["https://grafana.example"] }
checks:
  - { name: app, simulated: {}, gates: [live, ready, startup], interval: 100ms }
  - { name: team/cache, simulated: { error_rate: 1 }, critical: false, interval: 100ms }
  - { name: behind, simulated: {}, depends_on: [team/cache], critical: false, interval: 100ms }
  - { name: loop, heartbeat: { push: true, max_age: 1h }, critical: false, interval: 100ms }
  - name: path
    workflow: { steps: [{ name: login, simulated: {} }, { name: order, simulated: { error_rate: 1 } }] }
    critical: false
    interval: 100ms
  - { name: old, disabled: waits for the new cluster, tcp: { address: "old.example:1" } }
"""
# Streams never end, and what a drain does is no use to the requests that follow it.
LEFT_OUT = r"stream|drain"
# A query that is not known is ignored, and an unknown value is answered by a gate: kubelet would kill the app for a 4xx.
EXCLUDED = "negative_data_rejection,unsupported_method,ignored_auth"
CHECKS = pathlib.Path(__file__).with_name("schemathesis.toml")
# How long the tool makes up requests, in seconds; and how long it may take altogether on a busy machine.
BUDGET = "40"
PATIENCE = 600


def main(probelet):
    described = json.loads(subprocess.run([probelet, "schema", "--api"], check=True, capture_output=True).stdout)
    validate(described)
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "config.yaml")
        config.write_text(CONFIG)
        command = [probelet, "run", "--config", config, "--listen", "127.0.0.1:0"]
        daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            return against(daemon, described, folder)
        finally:
            daemon.kill()
            daemon.wait()


def against(daemon, described, folder):
    address = next(address for line in daemon.stderr if (address := json.loads(line).get("address")))
    url = f"http://{address}"
    served = json.load(urllib.request.urlopen(f"{url}/v1/openapi.json", timeout=10))
    if served != described:
        print("/v1/openapi.json is not what `probelet schema --api` prints", file=sys.stderr)
        return 1
    # The start-up, after which nothing that the requests do closes anything.
    subprocess.run([PROBELET, "wait", "--url", url, "readyz"], check=True, capture_output=True)
    # As kubelet asks, so that the history has something to say of it.
    for _ in range(5):
        urllib.request.urlopen(urllib.request.Request(f"{url}/readyz", headers={"User-Agent": "kube-probe/1.37"}), timeout=10)
    history = json.load(urllib.request.urlopen(f"{url}/v1/services?include=history", timeout=10))
    if not history["data"]["services"]["kubelet"]:
        print("nothing is told of how kubelet asks", file=sys.stderr)
        return 1
    tool = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [
        tool, "--config-file", str(CHECKS), "run", f"{url}/v1/openapi.json", "--exclude-path-regex", LEFT_OUT, "--exclude-checks", EXCLUDED,
        "--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--generation-deterministic", "--max-time", BUDGET,
        "--request-timeout", "30", "--no-color", "--report", "junit", "--report-dir", folder,
    ]
    try:
        ended = subprocess.run(command, timeout=PATIENCE, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        print(f"schemathesis was not done after {PATIENCE} s", file=sys.stderr)
        return 1
    if ended.returncode:
        print(ended.stdout + ended.stderr, file=sys.stderr)
        return 1
    print(f"{len(described['paths'])} paths are described, and answered as they are described")
    return 0


if __name__ == "__main__":
    PROBELET = sys.argv[1]
    sys.exit(main(PROBELET))
