#!/usr/bin/env python3
"""The whole way: submit, train on glyphs, follow, look, fetch the model; drain, cancel, detach."""

import json
import os
import signal
import struct

import yard


def read_safetensors(path):
    """(names and shapes, metadata) of a safetensors file, whose size must agree."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    end = max(entry["data_offsets"][1] for entry in header.values())
    assert len(data) == 8 + length + end, "header and size disagree"
    return {name: entry["shape"] for name, entry in header.items()}, metadata


class WholeWay(yard.TestCase):
    def test_submits_trains_follows_and_downloads(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        spec = yard.glyphs_job(self.yard.glyphs(), epochs=2)
        followed = self.yard.ctl("submit", self.yard.job_file(spec), "--follow")
        self.assertEqual(followed.code, 0, str(followed))
        self.assertIn("jobs/1", followed.out + followed.err)
        self.assertIn("SUCCEEDED", (followed.out + followed.err).upper())

        job = self.yard.get("jobs/1")
        self.assertEqual(job["state"], "succeeded")
        self.assertEqual([a["outcome"] for a in job["attempts"]], ["succeeded"])
        names = {output["name"] for output in job["outputs"]}
        self.assertLessEqual({"model.safetensors", "model.json", "metrics.jsonl", "report.json"},
                             names)

        folder = self.yard.path("out")
        self.yard.ctl_ok("artifacts", "download", "jobs/1", "--out", folder)
        shapes, metadata = read_safetensors(os.path.join(folder, "model.safetensors"))
        self.assertEqual(metadata["architecture"], "mnist_cnn")
        self.assertEqual(sum(count(shape) for shape in shapes.values()), 93322)
        with open(os.path.join(folder, "report.json"), encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual(report["parameters"], 93322)
        with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
            for line in file:
                json.loads(line)

        points = self.yard.metrics("jobs/1")
        self.assertEqual(points[-1]["point"]["step"], 2 * 32)  # 2,000 samples by 64
        accuracies = [p["point"]["validation_accuracy"] for p in points
                      if "validation_accuracy" in p["point"]]
        self.assertEqual(len(accuracies), 2)
        self.assertGreater(accuracies[-1], 0.5)
        for shown in (("list",), ("get", "jobs/1"), ("workers",), ("metrics", "jobs/1"),
                      ("logs", "jobs/1"), ("version",), ("artifacts", "list")):
            self.yard.ctl_ok(*shown)
        self.assertEqual([j["name"] for j in self.yard.jobs()], ["jobs/1"])


def count(shape):
    product = 1
    for size in shape:
        product *= size
    return product


class Ends(yard.TestCase):
    """Jobs that are stopped from outside."""

    def start_long_job(self, **training):
        self.yard.start_server()
        self.yard.start_worker("w1")
        training.setdefault("epochs", 100000)
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs(), **training))
        self.yard.wait_for_step(job, 1)
        return job

    def test_cancelled_means_the_process_is_gone(self):
        job = self.start_long_job()
        self.assertEqual(len(self.yard.runner_pids()), 1)
        self.yard.ctl_ok("cancel", job)
        self.yard.wait_for_state(job, "cancelled")
        self.assertEqual(self.yard.runner_pids(), [])
        again = self.yard.ctl("cancel", job)
        self.assertEqual(again.code, 0, "cancelling again changes nothing: " + str(again))

    def test_cancels_a_job_that_waits(self):
        self.yard.start_server()
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs()))
        self.yard.ctl_ok("cancel", job)
        self.yard.wait_for_state(job, "cancelled")
        self.assertEqual(self.yard.get(job).get("attempts", []), [])

    def test_a_drained_worker_checkpoints_and_the_job_goes_on_later(self):
        job = self.start_long_job()
        self.yard.ctl_ok("drain", "w1")
        waiting = self.yard.wait_for_state(job, "queued")
        self.assertEqual(waiting["attempts"][0]["outcome"], "preempted")
        step = waiting["checkpoint"]["step"]
        self.assertGreater(step, 0)
        self.yard.ctl_ok("drain", "w1", "--undo")
        self.yard.wait_for(job, lambda now: len(now["attempts"]) == 2
                           and now["state"] == "running"
                           and now.get("progress", {}).get("step", 0) > step,
                           "progress of attempt 2 past its checkpoint")
        first = next(p for p in self.yard.metrics(job) if p["attempt"] == 2)
        self.assertGreater(first["point"]["step"], step)
        self.yard.ctl_ok("cancel", job)
        self.yard.wait_for_state(job, "cancelled")

    def test_follow_detaches_on_ctrl_c_and_says_how_to_come_back(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        spec = yard.glyphs_job(self.yard.glyphs(), epochs=100000)
        follow = self.yard.background(yard.program("trainctl"), "submit",
                                      self.yard.job_file(spec), "--follow")
        follow.wait_for_line("jobs/1")
        self.yard.wait_for_step("jobs/1", 1)
        follow.send(signal.SIGINT)
        code = follow.wait(10)
        self.assertEqual(code, DETACHED, follow.text())
        self.assertIn("trainctl watch jobs/1", follow.text())
        self.assertEqual(self.yard.get("jobs/1")["state"], "running")
        self.yard.ctl_ok("cancel", "jobs/1")
        self.yard.wait_for_state("jobs/1", "cancelled")


# trainctl's exit status after Ctrl-C (docs/trainctl.md).
DETACHED = 130

if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
