#!/usr/bin/env python3
"""Checks that the folders include only what their floor allows.

  check_floors.py [ROOT]      prints each violation as file:line: why; exits 1

The tables below are the floors of the house: a folder may include the folders
listed beside it and nothing else of this repository, so neighbours on one floor
never include each other. A file belongs to the longest folder that matches it.
Needs nothing but Python's standard library.
"""

import os
import re
import sys

# folder: the folders of this repository that it may include besides itself.
ALLOWED = {
    "base": set(),
    "proto": set(),
    "proto/json": {"base", "proto"},
    "proto/channel": {"base"},
    "server/core": {"base"},
    "server/auth": {"base"},
    "server/telemetry": {"base"},
    "server/engine": {"base", "server/core", "server/telemetry"},
    "server/adapters": {"base", "server/auth", "server/core", "server/telemetry",
                        "server/engine"},
    "server/rpc": {"base", "proto", "proto/json", "server/auth", "server/core",
                   "server/telemetry", "server/engine"},
    # main.cc: wiring only.
    "server": {"base", "server/auth", "server/core", "server/telemetry", "server/engine",
               "server/adapters", "server/rpc"},
    "client": {"base", "proto", "proto/channel", "proto/json"},
    "client/trainctl": {"base", "proto", "proto/channel", "proto/json", "client"},
    "workers/agent": {"base", "proto", "proto/channel", "proto/json"},
    "workers/runner": {"base"},
    "examples": {"base", "proto", "client"},
    "examples/glyphs": {"base"},
    # These look at the whole house from outside.
    "bench": None,
    "tests": None,
}

# The first component of every include of this repository's own files.
OWN_ROOTS = {"base", "proto", "server", "client", "workers", "examples", "bench",
             "tests"}

API = r"(trainyard/v1/.*|grpc/.*|grpcpp/.*|grpcpp\.h)"
PROTOBUF = r"(.*\.pb\.h|google/protobuf/.*)"
TORCH = r"(torch|ATen|c10|caffe2)/.*"

# (name, pattern of included headers, folders that may, why). A folder stands
# for its subfolders too; "server/main.cc" for that file.
RESERVED = [
    ("LibTorch", TORCH, ["workers/runner", "bench", "tests"],
     "only workers/runner links LibTorch"),
    ("gRPC or the API's protos", API,
     ["proto", "server/rpc", "client", "workers/agent", "examples", "bench", "tests"],
     "protos stop in server/rpc, client and workers/agent"),
    # The store writes its rows with messages of its own.
    ("Protobuf", PROTOBUF,
     ["proto", "server/rpc", "server/adapters", "client", "workers/agent", "examples",
      "bench", "tests"],
     "protos stop in server/rpc, client and workers/agent"),
    ("SQLite", r"sqlite3\.h", ["server/adapters", "bench", "tests"],
     "the store is a port; adapters implement it"),
    ("prometheus-cpp", r"prometheus/.*", ["server/adapters", "server/main.cc", "bench",
                                          "tests"],
     "metrics are a port; adapters implement it"),
]

# What the pure core must not even see; its tests may.
IMPURE = [
    ("a clock", r"(chrono|ctime|time\.h|sys/time\.h|absl/time/clock\.h|base/clock\.h)"),
    ("a thread or mutex",
     r"(thread|mutex|shared_mutex|condition_variable|future|atomic|stop_token|semaphore"
     r"|latch|barrier|pthread\.h|absl/synchronization/.*)"),
    ("a file or the system",
     r"(fstream|filesystem|iostream|cstdio|stdio\.h|unistd\.h|fcntl\.h|sys/.*|spdlog/.*"
     r"|base/log\.h)"),
    ("randomness", r"(random|absl/random/.*)"),
]

SOURCE = re.compile(r"\.(cc|cpp|cxx|cu|h|hpp|mm)$")
INCLUDE = re.compile(r'^\s*#\s*(?:include|import)\s*([<"])([^>"]+)[>"]')
IGNORED_FOLDERS = {"build", "node_modules", "third_party"}


def folder_of(path):
    """The longest folder of ALLOWED that holds path; None where none does."""
    parts = path.split("/")[:-1]
    while parts:
        if "/".join(parts) in ALLOWED:
            return "/".join(parts)
        parts.pop()
    return None


def includes_of(text):
    """(line number, header, whether in quotes) of each include, comments left out."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    for number, line in enumerate(text.splitlines(), start=1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(2), match.group(1) == '"'


def check_include(path, header, quoted, siblings):
    """Why path must not include header; None if it may."""
    folder = folder_of(path)
    own = header.split("/")[0] in OWN_ROOTS and "/" in header
    if quoted and "/" not in header and header in siblings:
        return f'write it from the repository\'s root: "{os.path.dirname(path)}/{header}"'
    if own:
        target = folder_of(header)
        if target is None:
            return f"{header} is in no known folder; add the folder to tests/floors"
        allowed = ALLOWED[folder]
        if allowed is not None and target != folder and target not in allowed:
            names = ", ".join(sorted(allowed)) or "nothing"
            return f"{folder} must not include {target}; it may include {names}"
    for name, pattern, folders, why in RESERVED:
        if re.fullmatch(pattern, header) and not any(
                path == f or path.startswith(f + "/") for f in folders):
            return f"{folder} must not include {name} ({header}): {why}"
    if folder == "server/core" and not path.endswith("_test.cc"):
        for name, pattern in IMPURE:
            if re.fullmatch(pattern, header):
                return f"server/core is pure and must not see {name} ({header})"
    return None


def check(root):
    """All violations below root, as lines."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders
                            if f not in IGNORED_FOLDERS and not f.startswith("."))
        siblings = set(files)
        for name in sorted(files):
            if not SOURCE.search(name):
                continue
            path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            if folder_of(path) is None:
                found.append(f"{path}:1: is in no known folder; add the folder to tests/floors")
                continue
            with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
                text = file.read()
            for number, header, quoted in includes_of(text):
                why = check_include(path, header, quoted, siblings)
                if why:
                    found.append(f"{path}:{number}: {why}")
    return found


def main():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    root = sys.argv[1] if len(sys.argv) > 1 else default
    found = check(root)
    for line in found:
        print(line)
    print(f"floors: {len(found)} violations" if found else "floors: every include is in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
