"""Validates each configuration in a document: what stands in a block that begins with ```yaml probelet.

usage: migrating.py PROBELET DOCUMENT
"""

import pathlib
import re
import subprocess
import sys


def main(probelet, document):
    text = pathlib.Path(document).read_text()
    blocks = re.findall(r"^```yaml probelet\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    bad = [problem for block in blocks for problem in check(probelet, block)]
    print("\n".join(bad) or f"{document}: {len(blocks)} configurations are valid")
    return 1 if bad or not blocks else 0


def check(probelet, block):
    # Secrets and certificates are not here.
    command = [probelet, "validate", "--offline", "--strict", "--config", "-"]
    validation = subprocess.run(command, input=block, capture_output=True, text=True, timeout=60)
    if validation.returncode != 0:
        yield f"not valid:\n{block}\n{validation.stdout}{validation.stderr}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
