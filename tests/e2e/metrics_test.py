#!/usr/bin/env python3
"""What Prometheus sees of a real training run, and what the run's log tells."""

import os
import re
import subprocess
import time
import urllib.request

import yard

SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

# Series of a running job on a CPU that every machine has.
OF_A_JOB = {
    "trainyard_job_step", "trainyard_job_steps", "trainyard_job_epoch", "trainyard_job_loss",
    "trainyard_job_learning_rate", "trainyard_job_samples_per_second",
    "trainyard_job_data_wait_seconds", "trainyard_job_compute_seconds", "trainyard_job_eta_seconds",
    "trainyard_job_resident_memory_bytes", "trainyard_job_validation_loss",
    "trainyard_job_validation_accuracy_ratio", "trainyard_job_last_progress_timestamp_seconds",
    "trainyard_job_device_utilization_ratio",
}


def parse(text):
    """{(name, labels as a sorted tuple): value}"""
    samples = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, f"not a sample: {line!r}"
        key = (match.group(1), tuple(sorted(LABEL.findall(match.group(2) or ""))))
        assert key not in samples, f"twice: {line!r}"
        samples[key] = float(match.group(3))
    return samples


def of(samples, name, **labels):
    """Values of all series of that name that have these labels."""
    return [value for (series, have), value in samples.items()
            if series == name and labels.items() <= dict(have).items()]


def names_of_jobs(samples):
    return {name for name, labels in samples if "job_id" in dict(labels)}


class Metrics(yard.TestCase):
    def start(self):
        server = self.yard.start_server()
        self.url = server.wait_for_line(r"metrics are at (\S+)").group(1)
        self.yard.start_worker("w1")

    def scrape(self):
        with urllib.request.urlopen(self.url, timeout=30) as reply:
            return reply.read().decode()

    def one(self, samples, name, **labels):
        values = of(samples, name, **labels)
        self.assertEqual(len(values), 1, f"{name}{labels}: {values}")
        return values[0]

    def test_series_of_a_run_live_as_long_as_it(self):
        self.start()
        self.assertEqual(names_of_jobs(parse(self.scrape())), set())
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs(), epochs=100000))
        # Until an epoch has ended, and its validation's figures are there.
        text = yard.poll(lambda: (lambda t: t if OF_A_JOB <= names_of_jobs(parse(t)) else None)(
            self.scrape()), "all series of the job", details=self.yard.logs)
        samples = parse(text)
        labels = {"job_id": "1", "job_name": "glyphs", "worker": "w1"}
        self.assertGreater(self.one(samples, "trainyard_job_step", **labels), 0)
        self.assertEqual(self.one(samples, "trainyard_job_steps", **labels), 100000 * 32)
        self.assertGreaterEqual(self.one(samples, "trainyard_job_epoch", **labels), 1)
        self.assertGreater(self.one(samples, "trainyard_job_samples_per_second", **labels), 0)
        self.assertGreater(self.one(samples, "trainyard_job_eta_seconds", **labels), 0)
        self.assertGreater(self.one(samples, "trainyard_job_resident_memory_bytes", **labels),
                           20 << 20)
        progress = self.one(samples, "trainyard_job_last_progress_timestamp_seconds", **labels)
        self.assertLess(abs(time.time() - progress), 60)
        busy = self.one(samples, "trainyard_job_device_utilization_ratio", device="cpu", **labels)
        self.assertTrue(0 < busy <= 1, busy)
        # What a CPU cannot tell of a runner has no series.
        self.assertEqual(of(samples, "trainyard_job_device_memory_bytes"), [])

        self.check_worker(samples)
        self.check_server(samples)
        self.check_with_promtool(text)
        point = self.yard.metrics(job)[-1]["point"]
        self.assertEqual([device["id"] for device in point["devices"]], ["cpu"])

        self.yard.ctl_ok("cancel", job)
        self.yard.wait_for_state(job, "cancelled")
        yard.poll(lambda: not names_of_jobs(parse(self.scrape())), "end of the job's series",
                  details=self.scrape)
        samples = parse(self.scrape())
        self.assertEqual(self.one(samples, "trainyard_device_busy"), 0)
        self.assertEqual(self.one(samples, "trainyard_jobs_ended_total", state="cancelled"), 1)

    def check_worker(self, samples):
        self.assertEqual(self.one(samples, "trainyard_worker_up", worker="w1"), 1)
        self.assertEqual(self.one(samples, "trainyard_worker_draining", worker="w1"), 0)
        self.assertEqual(self.one(samples, "trainyard_worker_attempts", worker="w1"), 1)
        free = self.one(samples, "trainyard_worker_disk_free_bytes", worker="w1")
        size = self.one(samples, "trainyard_worker_disk_size_bytes", worker="w1")
        self.assertTrue(0 < free <= size, (free, size))
        device = {"worker": "w1", "device": "cpu", "kind": "cpu"}
        self.assertEqual(self.one(samples, "trainyard_device_info", **device), 1)
        self.assertEqual(self.one(samples, "trainyard_device_busy", **device), 1)
        free = self.one(samples, "trainyard_device_memory_free_bytes", **device)
        size = self.one(samples, "trainyard_device_memory_bytes", **device)
        self.assertTrue(0 < free <= size, (free, size))
        # These only where the machine has them, and then with figures that can be.
        for name, low, high in (("trainyard_device_utilization_ratio", 0, 1),
                                ("trainyard_device_temperature_celsius", 1, 150),
                                ("trainyard_device_power_watts", 0.01, 5000)):
            for value in of(samples, name, **device):
                self.assertTrue(low <= value <= high, f"{name} {value}")
        shown = self.yard.ctl_ok("workers", "w1", "--output", "json").json()
        self.assertGreater(int(shown["disk"]["size_bytes"]), 0)

    def check_server(self, samples):
        free = self.one(samples, "trainyard_server_disk_free_bytes")
        size = self.one(samples, "trainyard_server_disk_size_bytes")
        self.assertTrue(0 < free <= size, (free, size))
        start = self.one(samples, "trainyard_server_start_time_seconds")
        self.assertTrue(0 <= time.time() - start < 600, start)
        self.assertEqual(self.one(samples, "trainyard_queue_oldest_wait_seconds"), 0)
        self.assertEqual(self.one(samples, "trainyard_queue_wanted_devices", kind="cpu"), 0)
        self.assertEqual(self.one(samples, "trainyard_workers_lost_total"), 0)
        self.assertEqual(self.one(samples, "trainyard_job_series_omitted"), 0)

    def check_with_promtool(self, text):
        tools = subprocess.run([os.path.join(yard.SOURCE, "tests/deploy/fetch_tools.sh"),
                                "prometheus"], capture_output=True, text=True, check=False)
        if tools.returncode != 0:
            print(tools.stdout.strip().splitlines()[-1] if tools.stdout else tools.stderr)
            return
        promtool = os.path.join(tools.stdout.strip().splitlines()[-1], "promtool")
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True,
                                 text=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))

    def test_every_series_is_in_the_table(self):
        self.start()
        page = self.yard.run(yard.program("trainyard-server"), "--describe-metrics").out
        described = set(re.findall(r"^\| `(trainyard_\w+)`", page, re.MULTILINE))
        shown = {re.sub(r"_(bucket|sum|count)$", "", name)
                 if re.sub(r"_(bucket|sum|count)$", "", name) in described else name
                 for name, _ in parse(self.scrape()) if name.startswith("trainyard_")}
        self.assertEqual(shown - described, set())

    def test_waiting_jobs_are_wanted_devices(self):
        server = self.yard.start_server()
        self.url = server.wait_for_line(r"metrics are at (\S+)").group(1)
        spec = yard.glyphs_job(self.yard.glyphs())
        spec["resources"]["devices"] = [{"kind": "cuda", "count": 4}, {"kind": "cpu"}]
        self.yard.submit(spec)
        samples = yard.poll(lambda: (lambda s: s if self.one(
            s, "trainyard_queue_oldest_wait_seconds") > 0 else None)(parse(self.scrape())),
            "a job that waits")
        self.assertEqual(self.one(samples, "trainyard_queue_wanted_devices", kind="cuda"), 4)
        self.assertEqual(self.one(samples, "trainyard_queue_wanted_devices", kind="cpu"), 0)

    def test_the_log_of_a_good_run_tells_its_story(self):
        self.start()
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs(), epochs=2))
        self.yard.wait_for_state(job, "succeeded")
        log = self.yard.ctl_ok("logs", job).out
        self.assertRegex(log, r"started on cpu .*: 93,322 parameters, 64 steps")
        self.assertRegex(log, r"epoch 1 ended at step 32: loss \d.*, validation loss \d.*, "
                              r"accuracy \d+\.\d\d %")
        self.assertRegex(log, r"epoch 2 ended at step 64: ")
        self.assertRegex(log, r"finished at step 64: .*model\.safetensors")


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
