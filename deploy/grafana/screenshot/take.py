#!/usr/bin/env python3
"""Draws docs/images/dashboard_overview.png and dashboard_job.png: a real server with workers and
jobs, a real Prometheus that scrapes it for some minutes, Grafana's own panel components.

    TRAINYARD_BIN=build/release/bin deploy/grafana/screenshot/take.py

Not a test and no part of every run: it takes five minutes, and Debian's chromium.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(SOURCE, "tests", "e2e"), os.path.join(SOURCE, "tests", "deploy", "monitoring")]

import monitoring  # noqa: E402
import yard  # noqa: E402
from collect import collect  # noqa: E402
from prometheus import Prometheus  # noqa: E402

SECONDS = 150
WORKERS = ("mini", "attic", "basement")


def job(name, glyphs, epochs, rate, **training):
    spec = yard.glyphs_job(glyphs, epochs=epochs, **training)
    spec["name"] = name
    spec["training"]["optimizer"]["learning_rate"] = rate
    return spec


def workload(own):
    """Three workers; jobs that end, fail, run and wait; one worker lost on the way."""
    glyphs = own.glyphs(train=6000, test=1000)
    small = own.glyphs(train=1000, test=200)
    broken = os.path.dirname(own.write("broken/train-images-idx3-ubyte", b"no images"))
    last = own.submit(job("glyphs-cnn", glyphs, 200, 0.02))
    own.wait_for_step(last, 20)
    for i in range(3):
        own.submit(job(f"warm-up-{i + 1}", small, 2, 0.05))
    failing = job("wrong-folder", broken, 1, 0.05)
    failing["retry"] = {"max_retries": 0}
    own.submit(failing)
    for rate in (0.1, 0.05, 0.01):
        own.submit(job(f"sweep-lr-{rate}", glyphs, 60, rate))
    wants_cuda = job("resnet18-large", glyphs, 10, 0.1)
    wants_cuda["resources"] = {"devices": [{"kind": "cuda"}]}
    own.submit(wants_cuda)
    return last


def main():
    tools = monitoring.fetch("prometheus")
    npm = monitoring.fetch("npm", HERE)
    pictures = os.path.join(SOURCE, "docs", "images")
    os.makedirs(pictures, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "yard"))
        own = yard.Yard(os.path.join(folder, "yard"))
        try:
            server = own.start_server("--worker-lease", "10s")
            address = server.wait_for_line(r"http://(\S+)/metrics").group(1)
            for name in WORKERS:
                own.start_worker(name)
            with Prometheus(tools, os.path.join(folder, "prometheus"), address) as prometheus:
                started = time.monotonic()
                number = workload(own).removeprefix("jobs/")
                held = own.get(f"jobs/{number}")["attempts"][-1]["worker"].removeprefix("workers/")
                goes = next(name for name in reversed(WORKERS) if name != held)
                time.sleep(max(0, SECONDS - 60 - (time.monotonic() - started)))
                own.workers[goes].kill()
                time.sleep(max(0, SECONDS - (time.monotonic() - started)))
                for name, chosen in (("overview", []), ("job", [["Job", f"{number} glyphs-cnn"]])):
                    data = os.path.join(folder, f"{name}.json")
                    with open(data, "w", encoding="utf-8") as file:
                        json.dump(collect(prometheus, name, SECONDS, {"job": number}, chosen), file)
                    subprocess.run(["node", os.path.join(HERE, "draw.mjs"), npm, data,
                                    os.path.join(pictures, f"dashboard_{name}.png"), "1500"],
                                   check=True)
        finally:
            own.close()


if __name__ == "__main__":
    main()
