#!/usr/bin/env python3
"""kill -9 of the runner and of the worker; SIGTERM of the worker."""

import json
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

    def test_stopped_with_the_server_at_once_it_loses_no_step(self):
        """The newest checkpoint, which nobody could take, is handed over after the restart."""
        job = self.start_job(checkpoint={"every_steps": 1000000, "every_seconds": 0.5})
        step = self.yard.get(job)["checkpoint"]["step"]
        worker = self.yard.workers["w1"]
        self.yard.server.kill()  # before the worker's word: it is to find no server
        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(60), 0, worker.text())
        self.assertEqual(self.yard.runner_pids(), [])
        with open(self.yard.path("workers", "w1", "kept.json"), encoding="utf-8") as file:
            (kept,) = json.load(file)["attempts"]
        self.assertEqual(kept["outcome"], "preempted")
        newest = kept["unsent_checkpoint"]["step"]
        self.assertGreater(newest, step)
        self.yard.start_server()
        self.assertEqual(self.yard.get(job)["checkpoint"]["step"], step, "it went with the worker")
        self.yard.start_worker("w1")
        now = self.yard.wait_for(job, lambda now: len(now["attempts"]) == 2, "second attempt")
        self.assertEqual(now["attempts"][0]["outcome"], "preempted")
        self.assertEqual(now["checkpoint"]["step"], newest)
        self.check_resumed(job, 2, newest)
        self.assertFalse(os.path.exists(self.yard.path("workers", "w1", "kept.json")))
        self.finish(job)

    def test_a_job_that_finishes_while_the_server_is_away_survives_a_restart_of_both(self):
        job = self.start_job(epochs=100000, max_steps=400)
        worker = self.yard.workers["w1"]
        self.yard.server.kill()
        yard.poll(lambda: not self.yard.runner_pids(), "end of the runner")
        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(60), 0, worker.text())
        self.yard.start_server()
        self.yard.start_worker("w1")
        now = self.yard.wait_for_state(job, "succeeded")
        self.assertEqual(len(now["attempts"]), 1)
        self.assertIn("model.safetensors", {output["name"] for output in now["outputs"]})
        self.yard.ctl_ok("artifacts", "download", job, "--out", self.yard.path("out"))

    def test_what_comes_back_after_the_lease_changes_nothing(self):
        job = self.start_job(server_flags=("--worker-lease", "2s"))
        worker = self.yard.workers["w1"]
        self.yard.server.kill()
        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(60), 0, worker.text())
        self.yard.start_server("--worker-lease", "2s")
        lost = self.yard.wait_for_state(job, "queued")
        self.assertEqual(lost["attempts"][0]["outcome"], "lost")
        self.yard.start_worker("w1")
        self.check_resumed(job, 2, lost["checkpoint"]["step"])
        first = self.yard.get(job)["attempts"][0]
        self.assertEqual(first, lost["attempts"][0])
        self.finish(job)

    def test_a_worker_that_left_is_shown_as_left(self):
        self.yard.start_server("--worker-lease", "5s")
        worker = self.yard.start_worker("w1")
        for kind in ("ready", "live"):
            health = self.yard.run(yard.program("trainyard-worker"), "--work-dir",
                                   self.yard.path("workers", "w1"), "--health", kind)
            self.assertEqual((health.code, health.out), (0, f"{kind}\n"), str(health))
        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(60), 0, worker.text())

        def states():
            text = self.yard.ctl_ok("workers", "--output", "json").out
            return [w["state"] for w in yard.parse_stream(text) or [] if "state" in w] or text
        yard.poll(lambda: "left" in str(states()).lower(), "worker that left", details=states)
        self.assertNotIn("silent", self.yard.ctl_ok("workers").out)
        yard.poll(lambda: "w1" not in self.yard.ctl_ok("workers").out, "end of its lease")


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
