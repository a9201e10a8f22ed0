#!/usr/bin/env python3
"""Every panel's queries, variables filled in, against a real Prometheus: one that scrapes a
real server with workers and jobs, and one that scrapes a made-up server with GPUs.

A panel that shows nothing for the real one fails, unless WITHOUT_GPU names it.
"""

import os
import re
import sys
import time
import unittest

import monitoring
from fake_server import FakeServer, page
from prometheus import Prometheus

sys.path.insert(0, os.path.join(monitoring.SOURCE, "tests", "e2e"))
import yard  # noqa: E402  pylint: disable=wrong-import-position

# (dashboard, panel, query): why a machine with nothing but a CPU has no data for it. It has
# data of the made-up server, and none of the real one: else the line is out of date.
NO_SENSOR = "a virtual machine's CPU tells no temperature"
NO_METER = "a CPU's power counters are open to root only"
WITHOUT_GPU = {
    ("workers", "Hottest device", "A"): NO_SENSOR,
    ("workers", "Power", "A"): NO_METER,
    ("workers", "Temperature", "A"): NO_SENSOR,
    ("workers", "Power by device", "A"): NO_METER,
    ("job", "Memory", "B"): "a CPU's memory is the runner's resident memory, query A",
    ("job", "Device temperature", "A"): NO_SENSOR,
    ("job", "Device power", "A"): NO_METER,
}

WINDOW = 300  # seconds that a dashboard would show: the whole test, also on a slow machine
# As Grafana makes it at this rate of scraping; longer in panels of rare events.
RATE_INTERVAL, RARE_INTERVAL = "5s", "40s"


def has_numbers(series):
    """At least one value that can be drawn."""
    return any(value not in ("NaN", "+Inf", "-Inf")
               for one in series
               for _, value in one.get("values", [one["value"]] if "value" in one else []))


def answers(prometheus, target, values):
    expr = monitoring.fill(target["expr"], values)
    return (prometheus.query(expr) if target["instant"]
            else prometheus.query_range(expr, WINDOW))


def choices(prometheus, variable, values):
    """What a variable at the top of a dashboard offers."""
    expr, label = monitoring.variable_query(variable["query"]["query"])
    series = [one["metric"] for one in prometheus.query(monitoring.fill(expr, values))]
    if label:
        return sorted({one[label] for one in series if label in one})
    found = []
    for metric in series:
        # As Grafana writes a series before it applies the regular expression.
        labels = ",".join(f'{k}="{v}"' for k, v in sorted(metric.items()) if k != "__name__")
        pattern = variable["regex"].strip("/").replace("(?<", "(?P<")
        match = re.search(pattern, f"{{{labels}}} 1 1000")
        found.append((match.group("text"), match.group("value")))
    return sorted(found)


class PanelsTest(yard.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tools = monitoring.fetch("prometheus")

    def values(self, job, panel=()):
        return {"__rate_interval": RARE_INTERVAL if "interval" in panel else RATE_INTERVAL, "__range": f"{WINDOW}s", "__interval": "1s",
                "worker": ".*", "kind": ".*", "job": job}

    def empty_panels(self, prometheus, job):
        """Queries without a number: {(dashboard, panel, query): PromQL}. An error ends the test."""
        empty = {}
        for name in monitoring.DASHBOARDS:
            for panel in monitoring.panels(monitoring.load(name)):
                for target in panel["targets"]:
                    if not has_numbers(answers(prometheus, target, self.values(job, panel))):
                        empty[name, panel["title"], target["refId"]] = target["expr"]
        return empty

    def wait_until_filled(self, prometheus, job, allowed):
        """Asks until all but the allowed panels have data."""
        last = {}

        def filled():
            last.clear()
            last.update(self.empty_panels(prometheus, job))
            return not set(last) - set(allowed)
        yard.poll(filled, "data for every panel", 60,
                  lambda: "\n".join(f"no data: {where}: {expr}" for where, expr in last.items()
                                    if where not in allowed))
        return last

    def variables(self, name):
        return [v for v in monitoring.load(name)["templating"]["list"] if v["type"] == "query"]

    # ---- the real server

    def start(self):
        # A short lease: a killed worker shall be lost while the test runs.
        server = self.yard.start_server("--worker-lease", "2s")
        self.yard.start_worker("steady")
        self.yard.start_worker("goes")
        found = server.wait_for_line(r"http://(\S+?)/metrics|metrics\S* on (\S+)")
        return found.group(1) or found.group(2)

    def workload(self):
        """Ends a job well, one badly, loses a worker, and leaves one running, one queued."""
        glyphs = self.yard.glyphs(train=1000, test=200)
        wait = self.yard.wait_for_state
        wait(self.yard.submit(yard.glyphs_job(glyphs)), "succeeded")
        broken = self.yard.write("broken/train-images-idx3-ubyte", b"no images")
        failing = yard.glyphs_job(os.path.dirname(broken))
        failing["retry"] = {"max_retries": 0}
        wait(self.yard.submit(failing), "failed")
        forever = yard.glyphs_job(glyphs, epochs=100000)
        first, second = self.yard.submit(forever), self.yard.submit(forever)
        for job in (first, second):
            self.yard.wait_for_step(job, 1)
        self.yard.workers["goes"].kill()
        # The killed worker's job waits for the other one's device from now on.
        held = {self.yard.get(job)["attempts"][-1]["worker"]: job for job in (first, second)}
        self.yard.wait_for_state(held["workers/goes"], "queued")
        return held["workers/steady"].removeprefix("jobs/")

    def test_every_panel_shows_a_real_run(self):
        address = self.start()
        with Prometheus(self.tools, self.yard.path("prometheus"), address) as prometheus:
            job = self.workload()
            yard.poll(lambda: prometheus.query('ALERTS{alertname="TrainyardWorkerLost", '
                                               'alertstate="firing", worker="goes"}'),
                      "alert of the lost worker", 60)
            empty = self.wait_until_filled(prometheus, job, WITHOUT_GPU)
            self.assertEqual(set(empty), set(WITHOUT_GPU),
                             "panels of WITHOUT_GPU that have data on this machine")
            values = self.values(job)
            (jobs,) = self.variables("job")
            self.assertIn((f"{job} glyphs", job), choices(prometheus, jobs, values))
            workers, kinds = self.variables("workers")
            self.assertIn("steady", choices(prometheus, workers, values))
            self.assertIn("cpu", choices(prometheus, kinds, values))

    # ---- the made-up server

    def test_every_panel_shows_gpus(self):
        with FakeServer() as fake, Prometheus(self.tools, self.yard.path("prometheus"),
                                              fake.address) as prometheus:
            self.wait_until_filled(prometheus, "17", {})

    def test_the_made_up_server_has_the_real_ones_metrics(self):
        made_up = {monitoring.base_name(name)
                   for name in re.findall(r"^(trainyard_\w+)", page(1, time.time()), re.MULTILINE)}
        self.assertEqual(made_up ^ {monitoring.base_name(name)
                                    for name in monitoring.documented_metrics()}, set())


class HasNumbers(unittest.TestCase):
    def test_nothing_and_not_a_number_are_no_data(self):
        self.assertFalse(has_numbers([]))
        self.assertFalse(has_numbers([{"metric": {}, "values": [[1, "NaN"], [2, "+Inf"]]}]))
        self.assertFalse(has_numbers([{"metric": {}, "value": [1, "NaN"]}]))
        self.assertTrue(has_numbers([{"metric": {}, "value": [1, "0"]}]))


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
