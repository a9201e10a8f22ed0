#!/usr/bin/env python3
"""Queues by trainctl: shares, quotas, states, users, over a restart of the server."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import yard  # noqa: E402  (its folder is known only now)


class Queues(yard.TestCase):
    def queue(self, name):
        return self.yard.ctl_ok("queue", "get", name, "--output", "json").json()

    def forever(self, **fields):
        """A job that runs until it is cancelled."""
        return self.yard.submit({**yard.glyphs_job(self.yard.glyphs(), epochs=100000), **fields})

    def test_quotas_states_and_shares(self):
        self.yard.start_server()
        shown = self.yard.ctl_ok("queue", "set", "research", "--weight", "3", "--owner", "ada",
                                 "--max-devices", "cpu=1", "--max-device-hours", "500").out
        self.assertIn("queues/research", shown)
        self.assertIn("1 cpu, 500 device-hours", shown)
        self.yard.start_worker("one")
        self.yard.start_worker("two")
        first = self.forever(queue="research", user="ada")
        self.yard.wait_for_step(first, 1)
        second = self.forever(queue="research", user="bob")
        third = self.forever()  # passes the second, which its quota holds back
        self.yard.wait_for_step(third, 1)
        self.assertEqual(self.yard.get(second)["state"], "queued")
        queue = self.queue("research")
        self.assertEqual(queue["weight"], 3)
        self.assertEqual(int(queue["usage"]["waiting_jobs"]), 1)
        self.assertEqual([user["user"] for user in queue["users"]], ["ada", "bob"])
        self.assertGreater(queue["usage"]["share"], 0)
        self.assertIn("research", self.yard.ctl_ok("get", second).out)

        # Another server, the same state.
        self.yard.server.kill()
        self.yard.start_server()
        self.assertEqual(self.queue("research")["quota"], queue["quota"])

    def test_a_draining_queue_takes_no_more_jobs(self):
        self.yard.start_server()
        self.yard.ctl_ok("queue", "set", "team")
        waiting = self.forever(queue="team")
        self.yard.ctl_ok("queue", "set", "team", "--state", "closed")
        refused = self.yard.ctl("submit", "--architecture", "mlp", "--data", "/nowhere", "--format",
                                "idx", "--queue", "team")
        self.assertNotEqual(refused.code, 0)
        self.assertIn("queues/team is closed and takes no more jobs", refused.err)
        self.yard.start_worker("one")
        self.forever()
        self.assertEqual(self.yard.get(waiting)["state"], "queued")
        self.assertIn("team", self.yard.ctl_ok("queue", "--output", "json").out)
        in_use = self.yard.ctl("queue", "delete", "team")
        self.assertIn("has 1 job", in_use.err)
        self.yard.ctl_ok("cancel", waiting)
        self.yard.ctl_ok("queue", "delete", "team")
        self.assertEqual(self.yard.ctl("queue", "get", "team").code, 4)

    def test_wrong_values_are_named(self):
        self.yard.start_server()
        for arguments, message in (
                (("queue", "get", "Team"), 'queue "Team": must be 1 to 63'),
                (("queue", "set", "team", "--weight", "0"), "queue.weight: 0: must be"),
                (("queue", "set", "team", "--weight", "much"), "--weight: much: must be"),
                (("queue", "set", "team", "--state", "shut"), "--state: shut: must be open"),
                (("queue", "set", "team", "--max-devices", "tpu=1"), "--max-devices: tpu=1"),
                (("queue", "set", "team", "--max-running", "-1"), "--max-running: -1: must be"),
                (("queue", "reset-hours", "none"), "queues/none does not exist")):
            done = self.yard.ctl(*arguments)
            self.assertNotEqual(done.code, 0, done)
            self.assertIn(message, done.err)


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
