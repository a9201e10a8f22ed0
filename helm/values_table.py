#!/usr/bin/env python3
"""The table of values in the chart's README, made from values.yaml.

    helm/values_table.py            prints it
    helm/values_table.py --write    puts it into helm/trainyard/README.md

A comment that begins with "# -- " describes the key below it, as helm-docs has it; lines that follow go on with it. Every
leaf must be described, itself or by a key above it.
"""

import json
import os
import re
import sys

import yaml

CHART = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trainyard")
BEGIN = "<!-- values: made by helm/update.sh -->"
END = "<!-- end of values -->"


def described(text):
    """Path to description, of every key that has one."""
    found, stack, comment = {}, [], None
    for line in text.splitlines():
        if match := re.match(r" *# -- (.*)", line):
            comment = [match.group(1)]
        elif (match := re.match(r" *# (.*)", line)) and comment:
            comment.append(match.group(1))
        elif match := re.match(r"( *)([A-Za-z][-A-Za-z0-9_./]*):( |$)", line):
            depth = len(match.group(1))
            stack = [(at, key) for at, key in stack if at < depth] + [(depth, match.group(2))]
            if comment:
                found[tuple(key for _, key in stack)] = " ".join(comment)
            comment = None
        else:
            comment = None
    return found


def rows(values, descriptions, path=(), covered=False):
    """(path, default, description) of each described key and each leaf, in the file's order. A key whose values are
    described one by one has no row for the whole."""
    for key, value in values.items():
        here = (*path, key)
        own = descriptions.get(here)
        deeper = isinstance(value, dict) and any(len(other) > len(here) and other[:len(here)] == here for other in descriptions)
        if own and deeper:
            yield here, None, own
        elif own:
            yield here, value, own
        elif not deeper and not covered:
            raise SystemExit(f"values.yaml: {'.'.join(here)} is not described: a comment `# -- …` above it says what it is")
        if deeper:
            yield from rows(value, descriptions, here)


def shown(value):
    text = json.dumps(value)
    return f"`{text}`" if len(text) <= 60 else "see values.yaml"


def table():
    with open(os.path.join(CHART, "values.yaml"), encoding="utf-8") as file:
        text = file.read()
    lines = ["| value | default | is |", "| --- | --- | --- |"]
    for path, value, description in rows(yaml.safe_load(text), described(text)):
        default = "" if value is None else shown(value)
        lines.append(f"| `{'.'.join(path)}` | {default} | {description} |".replace("|  |", "| |"))
    return "\n".join(lines)


def main():
    if sys.argv[1:] == []:
        print(table())
        return
    if sys.argv[1:] != ["--write"]:
        raise SystemExit(f"unknown arguments {sys.argv[1:]}: must be none or --write")
    path = os.path.join(CHART, "README.md")
    with open(path, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    after = rest.partition(END)[2]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}")


if __name__ == "__main__":
    main()
