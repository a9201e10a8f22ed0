#!/usr/bin/env python3
"""Writes dashboards/{overview,workers,job}.json from source/.

    deploy/grafana/make_dashboards.py            writes them
    deploy/grafana/make_dashboards.py --check    only says whether they are as source/ has it

The JSON is committed, so that Grafana, Helm and people take it as it is. Nothing but
Python's standard library.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "source"))

import job  # noqa: E402
import overview  # noqa: E402
import workers  # noqa: E402


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        print(f"make_dashboards: unknown option {sys.argv[1]}: must be --check", file=sys.stderr)
        return 2
    stale = []
    for name, module in (("overview", overview), ("workers", workers), ("job", job)):
        path = os.path.join(HERE, "dashboards", f"{name}.json")
        text = json.dumps(module.make(), indent=2) + "\n"
        if check:
            with open(path, encoding="utf-8") as file:
                if file.read() != text:
                    stale.append(os.path.relpath(path))
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    if stale:
        print(f"make_dashboards: not as source/ has it: {', '.join(stale)}; run {sys.argv[0]}",
              file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
