"""What the tests of dashboards, rules and live panels share: the files, the tools, and the
places of a dashboard that hold PromQL.
"""

import json
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
DASHBOARDS = ("overview", "workers", "job")
RULES = os.path.join(SOURCE, "deploy", "prometheus", "rules.yml")

# Series that Prometheus makes itself.
OF_PROMETHEUS = {"ALERTS", "up"}


def fetch(*what):
    """The folder of fetched tools. Skips the test where they cannot be had."""
    done = subprocess.run([os.path.join(SOURCE, "tests", "deploy", "fetch_tools.sh"), *what],
                          capture_output=True, text=True, check=False)
    if done.returncode == 77:
        raise unittest.SkipTest(done.stdout.strip().removeprefix("skipped: "))
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout.strip().splitlines()[-1]


def dashboard_path(name):
    return os.path.join(SOURCE, "deploy", "grafana", "dashboards", f"{name}.json")


def load(name):
    with open(dashboard_path(name), encoding="utf-8") as file:
        return json.load(file)


def read(*parts):
    with open(os.path.join(SOURCE, *parts), encoding="utf-8") as file:
        return file.read()


def panels(dashboard):
    """Those that show data: all but the rows' titles."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def fill(text, values):
    """Puts values in place of $name and ${name}, as Grafana does; an unknown name is an error."""
    def value(match):
        name = match.group(1) or match.group(2)
        if name not in values:
            raise KeyError(f"no value for ${name} in {text!r}")
        return values[name]
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", value, text)


def variable_query(query):
    """(PromQL, the label whose values are asked for) of a variable's query."""
    match = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    if match:
        return match.group(1), match.group(2)
    match = re.fullmatch(r"query_result\((.*)\)", query)
    if match:
        return match.group(1), None
    raise ValueError(f"neither label_values nor query_result: {query!r}")


def documented_metrics():
    """Names in docs/metrics.md, as they are on the page."""
    return set(re.findall(r"\btrainyard_[a-z0-9_]+", read("docs", "metrics.md")))


def base_name(metric):
    """The documented name of a histogram's series."""
    return re.sub(r"_(bucket|sum|count)$", "", metric)


def rules():
    """[(alert or record, name, expression)] of the rules file."""
    found = []
    for group in load_yaml("deploy", "prometheus", "rules.yml")["groups"]:
        for rule in group["rules"]:
            kind = "alert" if "alert" in rule else "record"
            found.append((kind, rule[kind], rule["expr"]))
    return found


def load_yaml(*parts):
    try:
        import yaml  # pylint: disable=import-outside-toplevel
    except ImportError:
        raise unittest.SkipTest("python3-yaml is not installed") from None
    return yaml.safe_load(read(*parts))


def main():
    """Runs the tests of the calling file. Exit status 77: a part of them was skipped."""
    run = unittest.main(module="__main__", exit=False, verbosity=2).result
    for _, reason in run.skipped:
        print(f"skipped: {reason}")
    sys.exit(1 if not run.wasSuccessful() else 77 if run.skipped else 0)
