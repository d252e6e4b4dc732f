"""Makes the dashboards of deploy/grafana, and checks that what lies there is what is made.

usage: python3 .ci/dashboards [--write]
"""

import json
import pathlib
import re
import sys

import fleet
import pod

HERE = pathlib.Path("deploy/grafana")


def main(*arguments):
    problems = []
    for name, made in (("fleet.json", fleet.render()), ("pod.json", pod.render())):
        if "--write" in arguments:
            (HERE / name).write_text(made)
        if (HERE / name).read_text() != made:
            problems.append(f"{HERE / name} is not what is made: python3 .ci/dashboards --write")
        problems += [f"{HERE / name}: {problem}" for problem in check(json.loads(made))]
    print("\n".join(problems) or "the dashboards are what is made, and each panel says what it shows")
    return 1 if problems else 0


def check(dashboard):
    """What Grafana's own linter of dashboards asks for, and that no metric is one that there is not."""
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    sources = "".join(path.read_text() for path in pathlib.Path("src").rglob("*.rs"))
    titles = [panel["title"] for panel in panels]
    yield from (f"two panels are called {title}" for title in {title for title in titles if titles.count(title) > 1})
    for panel in panels:
        name = panel["title"]
        if not panel["description"] or not panel["fieldConfig"]["defaults"]["unit"]:
            yield f"{name} has no description or no unit"
        if not panel["targets"]:
            yield f"{name} asks nothing"
        for target in panel["targets"]:
            expr = target["expr"]
            if target["datasource"]["uid"] != "${datasource}":
                yield f"{name} asks a source of its own"
            for used in set(re.findall(r"\$\{?(\w+)", expr)) - variables - {"__range", "__rate_interval"}:
                yield f"{name} uses the variable {used}, which there is not"
            for metric in set(re.findall(r"\b(?:healthcheck|probelet|process|application)_\w+", expr)):
                base = re.sub(r"_(sum|count|bucket)$", "", metric)
                if f'"{metric}"' not in sources and f'"{base}"' not in sources and not metric.startswith("process_"):
                    yield f"{name} asks for {metric}, which there is not"
            for counter, function in re.findall(r"(?:(\w+)\()?\b\w+_total\{[^}]*\}(\[)?", expr):
                if not function or counter not in ("rate", "increase"):
                    yield f"{name} shows a counter as it is"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
