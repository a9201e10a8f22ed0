#!/usr/bin/env python3
"""The floor check finds what is wrong and accepts what is right."""

import os
import tempfile
import unittest

import check_floors

BAD = [
    # (file, include, part of the message)
    ("base/a.h", '"server/core/types.h"', "base must not include server/core"),
    ("server/core/a.cc", '"server/engine/engine.h"', "must not include server/engine"),
    ("server/core/a.cc", '"server/telemetry/hub.h"', "must not include server/telemetry"),
    ("server/telemetry/a.cc", '"server/core/types.h"', "must not include server/core"),
    ("server/adapters/a.cc", '"server/rpc/convert.h"', "must not include server/rpc"),
    ("server/rpc/a.cc", '"server/adapters/sqlite_store.h"', "must not include server/adapters"),
    ("server/core/a.h", "<mutex>", "a thread or mutex (mutex)"),
    ("server/core/a.h", '"absl/synchronization/mutex.h"', "a thread or mutex"),
    ("server/core/a.h", "<thread>", "a thread or mutex"),
    ("server/core/a.h", "<chrono>", "a clock"),
    ("server/core/a.h", '"base/clock.h"', "a clock"),
    ("server/core/a.h", '"absl/time/clock.h"', "a clock"),
    ("server/core/a.h", "<fstream>", "a file"),
    ("server/core/a.h", "<random>", "randomness"),
    ("server/core/a.h", '"trainyard/v1/job.pb.h"', "the API's protos"),
    ("server/engine/a.cc", '"trainyard/v1/job.pb.h"', "protos stop in"),
    ("server/adapters/a.cc", '"trainyard/v1/job.pb.h"', "protos stop in"),
    ("server/engine/a.cc", "<google/protobuf/message.h>", "protos stop in"),
    ("server/main.cc", '"trainyard/v1/job.pb.h"', "protos stop in"),
    ("server/engine/a.cc", "<sqlite3.h>", "adapters implement it"),
    ("workers/runner/a.cc", '"grpcpp/grpcpp.h"', "gRPC or the API's protos"),
    ("workers/runner/data/a.cc", '"trainyard/v1/training.pb.h"', "gRPC or the API's protos"),
    ("workers/runner/a.cc", '"workers/agent/core.h"', "must not include workers/agent"),
    ("workers/agent/a.cc", '"torch/torch.h"', "LibTorch"),
    ("workers/agent/a.cc", "<ATen/ATen.h>", "LibTorch"),
    ("workers/agent/a.cc", '"client/client.h"', "must not include client"),
    ("workers/agent/a.cc", '"server/core/types.h"', "must not include server/core"),
    ("client/a.cc", '"client/trainctl/printer.h"', "client must not include client/trainctl"),
    ("client/trainctl/a.cc", '"server/core/types.h"', "must not include server/core"),
    ("server/newcomer/a.cc", '"client/client.h"', "server must not include client"),
    ("newcomer/a.cc", "<vector>", "is in no known folder"),
]

GOOD = [
    ("server/core/a.h", '"absl/time/time.h"'),
    ("server/core/a_test.cc", "<random>"),
    ("server/engine/a.cc", '"server/core/cluster.h"'),
    ("server/rpc/a.cc", '"trainyard/v1/job.pb.h"'),
    ("server/main.cc", '"server/adapters/sqlite_store.h"'),
    ("server/adapters/a.cc", '"server/adapters/stored.pb.h"'),
    ("client/trainctl/a.cc", '"client/client.h"'),
    ("workers/runner/models/a.cc", '"torch/torch.h"'),
    ("workers/runner/models/a.cc", '"workers/runner/data/idx.h"'),
    ("workers/agent/devices/a.cc", '"workers/agent/device.h"'),
    ("tests/sim/a.cc", '"server/core/decide.h"'),
]


class FloorsTest(unittest.TestCase):
    def check(self, path, text, beside=()):
        with tempfile.TemporaryDirectory() as root:
            folder = os.path.join(root, os.path.dirname(path))
            os.makedirs(folder)
            for name in beside:
                open(os.path.join(folder, name), "w", encoding="utf-8").close()
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
            return check_floors.check(root)

    def test_finds_each_seeded_violation(self):
        for path, header, message in BAD:
            with self.subTest(path=path, header=header):
                found = self.check(path, f"// Says what it is.\n#include {header}\n")
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].startswith(path + ":"), found)
                self.assertIn(message, found[0])

    def test_accepts_what_the_floors_allow(self):
        for path, header in GOOD:
            with self.subTest(path=path, header=header):
                self.assertEqual(self.check(path, f"#include {header}\n"), [])

    def test_reads_past_comments_and_spaces(self):
        text = '/* #include <mutex>\n*/\n// #include <mutex>\n#  include  <mutex>\n'
        found = self.check("server/core/a.h", text)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith("server/core/a.h:4:"), found)

    def test_wants_includes_from_the_root(self):
        found = self.check("base/a.cc", '#include "b.h"\n', beside=["b.h"])
        self.assertEqual(len(found), 1, found)
        self.assertIn('"base/b.h"', found[0])


if __name__ == "__main__":
    unittest.main()
