#!/usr/bin/env python3
"""Checks that docs/security.md says of each call what server/auth/roles.cc says.

  check_rights.py [ROOT]      prints what differs; exits 1

Needs nothing but Python's standard library.
"""

import os
import re
import sys

WORDS = {
    "kViewer": "viewer",
    "kSubmitter": "submitter",
    "kAdmin": "admin",
    "kWorker": "worker",
    "kViewerOrWorker": "viewer or worker",
    "kSubmitterOrWorker": "submitter or worker",
    "kJoinToken": "a join token",
    "kAnyToken": "any token",
}


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "..")
    code = re.findall(r'\{"(\w+/\w+)",\s*Needs::(\w+)\}', read(root, "server/auth/roles.cc"))
    expected = {method: WORDS[needs] for method, needs in code}
    said = dict(re.findall(r"^\| `(\w+Service/\w+)` \| (.+?) \|$", read(root, "docs/security.md"),
                           re.MULTILINE))
    wrong = [f"{method}: the code says {expected.get(method)}, docs/security.md {said.get(method)}"
             for method in sorted(expected.keys() | said.keys())
             if expected.get(method) != said.get(method)]
    for line in wrong:
        print(line)
    print(f"rights: {len(wrong)} differ" if wrong else f"rights: all {len(expected)} are in order")
    return 1 if wrong or not expected else 0


if __name__ == "__main__":
    sys.exit(main())
