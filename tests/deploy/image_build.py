#!/usr/bin/env python3
"""Builds the images of the Dockerfile into the store that image_test.py uses."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import containers  # noqa: E402  (its folder is known only now)
import yard  # noqa: E402  (containers told where it is)

TARGETS = ("server", "cli", "worker")


def main():
    store = containers.Store(os.environ["TRAINYARD_IMAGES"])
    try:
        store.require_tools()
        store.bound()
        store.make_base()
    except yard.Skip as skip:
        print(f"skipped: {skip}")
        return 77
    for target in TARGETS:
        seconds = store.build(target)
        size = store.describe(target)["Size"] / 1e6
        print(f"image {target}: {size:.0f} MB, built in {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
