#!/usr/bin/env python3
"""kill -9 of the runner and of the worker; SIGTERM of the worker."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import yard  # noqa: E402  (its folder is known only now)


class WorkerSide(yard.TestCase):
    def start_job(self, server_flags=(), **training):
        self.yard.start_server(*server_flags)
        self.yard.start_worker("w1")
        training.setdefault("epochs", 100000)
        training.setdefault("checkpoint", {"every_steps": 20})
        spec = yard.glyphs_job(self.yard.glyphs(), **training)
        spec["retry"] = {"backoff": "0.1s"}
        job = self.yard.submit(spec)
        self.yard.wait_for(job, lambda now: now.get("checkpoint", {}).get("step", 0) > 0,
                           "stored checkpoint")
        return job

    def finish(self, job):
        self.yard.ctl_ok("cancel", job)
        self.yard.wait_for_state(job, "cancelled")
        self.assertEqual(self.yard.runner_pids(), [])

    def check_resumed(self, job, attempt, least_step):
        """The attempt's first point lies behind the checkpoint it began from."""
        self.yard.wait_for(job, lambda now: now["state"] == "running"
                           and len(now["attempts"]) == attempt
                           and any(p["attempt"] == attempt for p in self.yard.metrics(job)),
                           f"points of attempt {attempt}")
        first = next(p for p in self.yard.metrics(job) if p["attempt"] == attempt)
        self.assertGreater(first["point"]["step"], least_step)

    def test_killed_runner_fails_the_attempt_with_its_cause_and_the_retry_resumes(self):
        job = self.start_job()
        (runner,) = self.yard.runner_pids()
        checkpoint = self.yard.get(job)["checkpoint"]["step"]
        os.kill(runner, signal.SIGKILL)
        now = self.yard.wait_for(job, lambda now: len(now["attempts"]) == 2, "second attempt")
        first = now["attempts"][0]
        self.assertEqual(first["outcome"], "failed")
        self.assertEqual(first["failure"]["category"], "crash")
        self.assertEqual(first["failure"]["exit_code"], -9)
        self.assertIn("SIGKILL", first["failure"]["message"])
        self.check_resumed(job, 2, checkpoint)
        self.finish(job)

    def test_killed_worker_gives_the_job_back_and_a_new_one_resumes_it(self):
        job = self.start_job()
        (runner,) = self.yard.runner_pids()
        checkpoint = self.yard.get(job)["checkpoint"]["step"]
        self.yard.workers["w1"].kill()
        yard.poll(lambda: runner not in self.yard.runner_pids(), "end of the orphaned runner")
        self.yard.start_worker("w1")
        now = self.yard.wait_for(job, lambda now: len(now["attempts"]) == 2, "second attempt")
        self.assertEqual(now["attempts"][0]["outcome"], "lost")
        self.check_resumed(job, 2, checkpoint)
        self.finish(job)

    def test_job_of_a_worker_that_stays_away_is_placed_elsewhere(self):
        job = self.start_job(server_flags=("--worker-lease", "2s"))
        self.yard.workers["w1"].kill()
        self.yard.start_worker("w2")
        now = self.yard.wait_for(job, lambda now: len(now["attempts"]) == 2
                                 and now["state"] == "running", "attempt on w2")
        self.assertEqual(now["attempts"][1]["worker"], "workers/w2")
        self.finish(job)

    def test_worker_whose_name_was_taken_leaves_with_an_error(self):
        job = self.start_job()
        first = self.yard.workers["w1"]
        self.yard.start_worker("w1", folder="usurper")
        self.assertEqual(first.wait(), 1, first.text())
        self.assertIn("give each worker its own", first.text())
        now = self.yard.wait_for(job, lambda now: len(now["attempts"]) == 2
                                 and now["state"] == "running", "attempt on the newer worker")
        self.assertEqual(now["attempts"][0]["outcome"], "lost")
        self.finish(job)

    def test_sigterm_of_the_worker_checkpoints_and_gives_the_job_back(self):
        job = self.start_job(checkpoint={"every_steps": 5})
        self.yard.workers["w1"].send(signal.SIGTERM)
        self.assertEqual(self.yard.workers["w1"].wait(60), 0, self.yard.workers["w1"].text())
        now = self.yard.wait_for_state(job, "queued")
        self.assertEqual(now["attempts"][0]["outcome"], "preempted")
        self.assertEqual(self.yard.runner_pids(), [])
        self.yard.start_worker("w1")
        self.check_resumed(job, 2, now["checkpoint"]["step"])
        self.finish(job)


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
