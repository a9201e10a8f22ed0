#!/usr/bin/env python3
"""kill -9 of the server while a job runs and 1,000 more are queued."""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import yard  # noqa: E402  (its folder is known only now)

QUEUED = 1000


class ServerDies(yard.TestCase):
    def test_kill_loses_no_job_and_no_step_and_runs_nothing_twice(self):
        self.yard.start_server()
        self.yard.start_worker("w1", "--data-root", self.yard.path("home"))
        running = self.yard.submit(yard.glyphs_job(self.yard.glyphs(), epochs=100000,
                                                   max_steps=1500))
        self.yard.wait_for_step(running, 10)
        (runner,) = self.yard.runner_pids()
        accepted = self.submit_many()
        self.assertEqual(len(accepted), QUEUED)
        before = self.yard.get(running)

        self.yard.server.kill()
        self.assertEqual(self.yard.runner_pids(), [runner], "the runner outlives the server")
        self.yard.start_server()

        known = {job["name"] for job in self.yard.jobs("--limit", "2000")}
        self.assertEqual(known, accepted | {running})
        after = self.yard.wait_for_step(running, before["progress"]["step"] + 10)
        self.assertEqual(after["state"], "running")
        self.assertEqual(len(after["attempts"]), 1, "still the first attempt")
        self.assertEqual(self.yard.runner_pids(), [runner], "the same process, and no second one")

        self.yard.wait_for_state(running, "succeeded", 300)
        self.check_no_step_is_lost(running)
        self.check_each_ran_once(accepted)

    def submit_many(self):
        """Queued behind the running job, in one batch; the accepted names."""
        source = {"path": self.yard.glyphs(100, 100)}
        spec = yard.glyphs_job("", data={"format": "idx", "source": source})
        with open(self.yard.job_file(spec, "many.json"), encoding="utf-8") as file:
            result = self.yard.run(yard.program("submit_many"), self.yard.address, QUEUED,
                                   stdin=file)
        self.assertEqual(result.code, 0, str(result))
        return set(result.out.split())

    def check_no_step_is_lost(self, job):
        """The server has every point that the runner wrote down itself, once, in order."""
        folder = self.yard.path("out")
        self.yard.ctl_ok("artifacts", "download", job, "--out", folder)
        with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
            written = [json.loads(line)["step"] for line in file]
        stored = self.yard.metrics(job)
        self.assertEqual([p["point"]["step"] for p in stored], written)
        self.assertEqual(written[-1], 1500)
        self.assertEqual({p["attempt"] for p in stored}, {1})

    def check_each_ran_once(self, jobs):
        """Their data is out of bounds, so each ends at once, at its only attempt."""
        yard.poll(lambda: not self.yard.jobs("--state", "queued,starting,running"),
                  "end of the queue", 300)
        for job in self.yard.jobs("--limit", "2000"):
            if job["name"] in jobs:
                self.assertEqual((job["state"], len(job["attempts"])), ("failed", 1), job)

    def test_sigterm_ends_it_fast_and_a_restart_goes_on(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs(), epochs=100000))
        self.yard.wait_for_step(job, 1)
        (runner,) = self.yard.runner_pids()
        self.yard.server.send(signal.SIGTERM)
        self.assertEqual(self.yard.server.wait(10), 0, self.yard.server.text())
        self.yard.start_server()
        step = self.yard.get(job).get("progress", {}).get("step", 0)
        self.yard.wait_for_step(job, step + 10)
        self.assertEqual(self.yard.runner_pids(), [runner])
        self.yard.ctl_ok("cancel", job)
        self.yard.wait_for_state(job, "cancelled")


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs",
               "submit_many"])
