"""The same scenario as `probelet simulate` sees it."""

import json
import re
import subprocess
from dataclasses import dataclass

import yaml


@dataclass
class Prediction:
    restarts: int | None  # of the app
    unready: float | None  # seconds that the pod is not READY after it was for the first time
    readyz: float | None  # seconds that /readyz is closed after it was open for the first time


NOTHING = Prediction(None, None, None)


def play(probelet, manifest, folder, happens):
    """`happens` are the keys of a scenario, see `probelet simulate --help`."""
    configuration, pod, scenario = (folder / f"model-{name}.yaml" for name in ("config", "pod", "scenario"))
    secrets = f"{folder}/secret/"
    configuration.write_text(re.sub(r"/run/secrets/[a-z-]+/", secrets, manifest.configuration))
    pod.write_text(yaml.safe_dump(manifest.workload))
    scenario.write_text(yaml.safe_dump({"for": "6m", **happens}))
    command = [
        probelet,
        "simulate",
        "--config",
        configuration,
        "--scenario",
        scenario,
        "--pod",
        pod,
        "--format",
        "json",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if answer.returncode != 0:
        print(f"no prediction: {answer.stderr}", flush=True)
        return NOTHING
    played = json.loads(answer.stdout)
    readyz = next(endpoint for endpoint in played["endpoints"] if endpoint["endpoint"] == "readyz")
    return Prediction(
        played["pod"]["restarts_of"][manifest.app["name"]],
        lost(played["pod"]["spans"], lambda span: span["ready"]),
        lost(readyz["spans"], lambda span: span["verdict"] != "error"),
    )


def lost(spans, good):
    """For how many seconds it was not good after it was for the first time."""
    first = next((index for index, span in enumerate(spans) if good(span)), len(spans))
    return sum(span["to_ms"] - span["from_ms"] for span in spans[first:] if not good(span)) / 1000
