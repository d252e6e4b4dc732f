"""Reads the snippets of deploy/*.md: each must be what its language says, a workflow must hold the schema of workflows.

usage: snippets.py FILE...
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

FENCE = re.compile(r"^```(yaml|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main(*files):
    problems, count = [], 0
    for file in files:
        text = pathlib.Path(file).read_text()
        for snippet in FENCE.finditer(text):
            count += 1
            line = text.count("\n", 0, snippet.start()) + 2
            problems += [f"{file}:{line}: {problem}" for problem in check(*snippet.groups())]
    print("\n".join(problems) or f"{count} snippets are well-formed")
    return 1 if problems else 0


def check(language, text):
    try:
        documents = [json.loads(text)] if language == "json" else list(yaml.safe_load_all(text))
    except (ValueError, yaml.YAMLError) as error:
        return [str(error).replace("\n", " ")]
    return [problem for document in documents if isinstance(document, dict) for problem in check_workflow(document, text)]


def check_workflow(document, text):
    if "jobs" not in document:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        command = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", file.name]
        command[0] = str(pathlib.Path(sys.executable).with_name(command[0]))
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if checked.returncode != 0:
        yield checked.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
