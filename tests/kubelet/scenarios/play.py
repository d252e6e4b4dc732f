"""Plays scenarios on a real kubelet, and prints what came of them beside what must and what the model says.

usage: play.py --kubelet FILE --probelet FILE --logs DIR [--deploy DIR] [--made FILE] [--jobs N] [SCENARIO...]

Without names all are played. The exit code is 1 when a bound is broken or the model is wrong. As root on Linux.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor

from manifest import Manifest
from testbed import Testbed
from scenarios import MADE, SCENARIOS

HERE = pathlib.Path(__file__).resolve().parent
# A network, mounts and process ids of its own: every pod has the same ports, and whatever a scenario leaves behind ends
# with it.
APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
LONGEST = 600  # seconds for one scenario


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kubelet", type=pathlib.Path, required=True, help="the program built from this folder's Go code"
    )
    parser.add_argument("--probelet", type=pathlib.Path, required=True)
    parser.add_argument(
        "--logs",
        type=pathlib.Path,
        required=True,
        help="one log for each scenario, and a folder with those of kubelet and the containers",
    )
    parser.add_argument(
        "--deploy", type=pathlib.Path, default=HERE.parents[2] / "deploy", help="where the manifests are"
    )
    parser.add_argument("--made", type=pathlib.Path, help="what ../admission/play.py has written; without it that is left out")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # this process is already apart and plays that scenario
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="see scenarios.py")
    options = parser.parse_args()
    for name in ("kubelet", "probelet", "logs", "deploy"):
        setattr(options, name, getattr(options, name).resolve())
    options.made = options.made and options.made.resolve()
    if options.inside:
        return play(named(options.inside), options)
    if os.geteuid() != 0:
        sys.exit("error: containers need root\n  help: run this as root, in a machine or container that may mount")
    chosen = [named(name) for name in options.scenarios] or SCENARIOS
    chosen = [scenario for scenario in chosen if options.made or scenario.manifest != MADE]
    options.logs.mkdir(parents=True, exist_ok=True)
    rows = [judge_security(file, options) for file in sorted({scenario.manifest for scenario in chosen})]
    with ThreadPoolExecutor(options.jobs) as pool:
        rows += [row for played in pool.map(lambda scenario: play_apart(scenario, options), chosen) for row in played]
    print(table(rows))
    print(f"\nThe logs are in {options.logs}")
    return 0 if all(row["met"] and row["agrees"] for row in rows) else 1


def manifest_of(file, options):
    return Manifest(options.made if file == MADE else options.deploy / file)


def named(name):
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    sys.exit(
        f"error: there is no scenario `{name}`\n  help: one of {', '.join(scenario.name for scenario in SCENARIOS)}"
    )


def judge_security(file, options):
    """What Pod Security admission says of a manifest as it is shipped, as a row."""
    pod = {"metadata": {"name": "orders"}, "spec": manifest_of(file, options).pod}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as draft:
        json.dump(pod, draft)
        draft.flush()
        allowed = subprocess.run([options.kubelet, "restricted", draft.name], stdout=sys.stderr).returncode == 0
    return {
        "scenario": pathlib.Path(file).name,
        "met": allowed,
        "agrees": True,
        "text": ["Pod Security: restricted", "yes", "yes" if allowed else "no", "–"],
    }


def play_apart(scenario, options):
    """Plays one scenario in a process apart: its figures as rows."""
    print(f"{scenario.name}: {scenario.says}", file=sys.stderr, flush=True)
    # Not below the logs: PostgreSQL's user must reach its folder.
    with tempfile.TemporaryDirectory(prefix="probelet-scenario-") as folder:
        os.chmod(folder, 0o755)
        command = [
            *APART,
            "--",
            sys.executable,
            __file__,
            "--inside",
            scenario.name,
            *map(
                str,
                (
                    "--kubelet",
                    options.kubelet,
                    "--probelet",
                    options.probelet,
                    "--deploy",
                    options.deploy,
                    "--logs",
                    folder,
                    *(["--made", options.made] if options.made else []),
                ),
            ),
        ]
        with open(options.logs / f"{scenario.name}.log", "wb") as log:
            try:
                over = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=LONGEST).returncode == 0
            except subprocess.TimeoutExpired:
                over = False
        keep(pathlib.Path(folder, "node"), options.logs / scenario.name)
        figures = pathlib.Path(folder, "figures.json")
        figures = json.loads(figures.read_text()) if figures.exists() else []
    if not over:
        figures.append({"text": ["played to its end", "yes", "no", "–"], "met": False, "agrees": True})
    return [{**figure, "scenario": scenario.name} for figure in figures]


def keep(node, to):
    """Keeps the logs of kubelet and of the containers."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for file in [*node.glob("kubelet.log"), *node.glob("logs/**/*.log")]:
        name = "-".join(file.relative_to(node).parts[2:]) or file.name
        shutil.copyfile(file, to / name)


def play(scenario, options):
    """Plays it here."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    manifest = manifest_of(scenario.manifest, options)
    scenario.change(manifest)
    bed = Testbed(options.logs, options.kubelet, options.probelet, HERE / "app.py", manifest)
    try:
        bed.begin(scenario.before_ready)
        scenario.play(bed)
        return 0
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        bed.end()


def table(rows):
    lines = [["scenario", "figure", "bound", "measured", "model", ""]]
    last = None
    for row in rows:
        verdict = "BROKEN" if not row["met"] else "met" if row["text"][1] else "to compare"
        if not row["agrees"]:
            verdict += ", MODEL OFF"
        lines.append([row["scenario"] if row["scenario"] != last else "", *row["text"], verdict])
        last = row["scenario"]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
