"""Checks deploy/prometheus: that the resource of the operator holds the rules of rules.yml, that each alert has a section in
the runbook and a test that fires, and that each metric is one of ours.

usage: rules.py [--write]    (--write makes prometheusrule.yaml anew)
"""

import pathlib
import re
import sys

import yaml

HERE = pathlib.Path("deploy/prometheus")
RESOURCE = HERE / "prometheusrule.yaml"
HEAD = """\
# The rules of rules.yml for the Prometheus Operator; made by `python3 .ci/rules.py --write`. Give it the labels that the
# `ruleSelector` of your Prometheus asks for.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: probelet
  labels:
    app.kubernetes.io/name: probelet
spec:
"""
# What Prometheus itself, or any process, has.
FOREIGN = {"up", "process_start_time_seconds"}


def main(*arguments):
    text = (HERE / "rules.yml").read_text()
    resource = HEAD + "".join(f"  {line}" if line.strip() else line for line in text[text.index("groups:") :].splitlines(True))
    if "--write" in arguments:
        RESOURCE.write_text(resource)
    groups = yaml.safe_load(text)["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    problems = [] if RESOURCE.read_text() == resource else [f"{RESOURCE} is behind rules.yml: python3 .ci/rules.py --write"]
    problems += check_alerts([rule for rule in rules if "alert" in rule])
    problems += check_metrics(rules)
    print("\n".join(problems) or f"{len(rules)} rules: each alert has a section and a test, each metric is one of ours")
    return 1 if problems else 0


def check_alerts(alerts):
    sections = {line[3:].strip() for line in (HERE / "README.md").read_text().splitlines() if line.startswith("## ")}
    tests = yaml.safe_load((HERE / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    fires = {
        (case["alertname"], alert["exp_labels"]["severity"]) for case in cases for alert in case["exp_alerts"]
    }
    for alert in alerts:
        name, severity = alert["alert"], alert["labels"]["severity"]
        if name not in sections:
            yield f"{name} has no section in the runbook"
        if alert["annotations"]["runbook"] != f"{HERE}/README.md#{name.lower()}":
            yield f"{name} names another runbook than its own"
        if (name, severity) not in fires:
            yield f"{name} ({severity}): no test sees it fire"
    for section in sections - {alert["alert"] for alert in alerts}:
        yield f"the runbook's section {section} belongs to no alert"


def check_metrics(rules):
    sources = "".join(path.read_text() for path in pathlib.Path("src").rglob("*.rs"))
    known = FOREIGN | {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        for name in set(re.findall(r"\b(?:healthcheck|probelet|process|application|job\w*:)[\w:]+", rule["expr"])):
            base = re.sub(r"_(sum|count|bucket)$", "", name)
            if name not in known and f'"{name}"' not in sources and f'"{base}"' not in sources:
                yield f"{rule.get('alert', rule.get('record'))}: there is no metric {name}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
