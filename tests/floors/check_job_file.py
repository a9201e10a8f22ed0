#!/usr/bin/env python3
"""Checks that docs/job_file.md names every field below JobSpec, and no other.

  check_job_file.py [ROOT]      prints what is missing or unknown; exits 1

A field is named by its path at the start of a table row: | `training.epochs` |.
A message that occurs in several places (Source, ModelSpec and DataSpec within
ensemble) needs its fields spelled out in the first place only, but each place
itself is named. Needs nothing but Python's standard library.
"""

import os
import re
import sys

# Whose fields are described once and referred to elsewhere.
DESCRIBED_ONCE = {"ensemble.data", "ensemble.members.config", "ensemble.members.model",
                  "ensemble.members.torchscript"}


def parse_messages(text):
    """message name: list of (field, type) in order; nested enums left out."""
    text = re.sub(r"//.*", "", text)
    messages = {}
    stack = []
    for token in re.finditer(
            r"(message|enum|oneof|service)\s+(\w+)\s*\{|\}|"
            r"(?:repeated\s+|optional\s+)?(map<[^>]*>|[\w.]+)\s+(\w+)\s*=\s*\d+\s*;", text):
        kind, name, field_type, field = token.group(1, 2, 3, 4)
        if kind:
            stack.append((kind, name))
            if kind == "message":
                messages[name] = []
        elif token.group(0) == "}":
            if stack:
                stack.pop()
        elif stack and stack[-1][0] in ("message", "oneof"):
            owner = next(n for k, n in reversed(stack) if k == "message")
            messages[owner].append((field, field_type.split(".")[-1]))
    return messages


def paths_below(messages, name, prefix=""):
    for field, field_type in messages[name]:
        path = prefix + field
        yield path
        if field_type in messages and path not in DESCRIBED_ONCE:
            yield from paths_below(messages, field_type, path + ".")


def check(root):
    messages = {}
    folder = os.path.join(root, "proto", "trainyard", "v1")
    for name in ("job.proto", "training.proto", "ensemble.proto"):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            messages.update(parse_messages(file.read()))
    expected = list(paths_below(messages, "JobSpec"))
    if len(expected) < 40:
        return [f"read only {len(expected)} fields from the protos: the parser is broken"]
    with open(os.path.join(root, "docs", "job_file.md"), encoding="utf-8") as file:
        named = re.findall(r"^\| `([a-z_.0-9]+)` \|", file.read(), flags=re.M)
    known_values = {"mlp", "mnist_cnn", "resnet18", "idx", "cifar10", "cifar100",
                    "image_folder", "mean", "vote", "weighted", "uncertainty", "jsonl", "csv",
                    "npy"}
    found = [f"docs/job_file.md: {path} is missing" for path in expected if path not in named]
    found += [f"docs/job_file.md: {path} is no field" for path in named
              if path not in expected and path not in known_values]
    return found


def main():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    found = check(sys.argv[1] if len(sys.argv) > 1 else default)
    for line in found:
        print(line)
    print("job file reference: " + (f"{len(found)} faults" if found else "complete"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
