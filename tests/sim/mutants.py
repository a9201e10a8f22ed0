#!/usr/bin/env python3
"""Puts bugs into a copy of the scheduler, one at a time, and shows that the
tests notice each: the simulation, or the unit and property tests of
server/core. A bug that nobody notices fails.

    tests/sim/mutants.py                 all of them, some minutes
    tests/sim/mutants.py --only fencing  those whose name holds a word
    tests/sim/mutants.py --list

Needs what the tests need to build; the tree itself stays as it is.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What sim_test and server_core_test are built from.
FOLDERS = ["base", "cmake", "server/core", "server/engine", "tests/sim"]
TESTS = ["sim_test", "server_core_test"]
PROJECT = """cmake_minimum_required(VERSION 3.22)
project(mutants LANGUAGES CXX)
set(TRAINYARD_TESTS ON)
set(TRAINYARD_RUNNER_ONLY ON)
list(APPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_SOURCE_DIR}/cmake")
include(trainyard)
add_subdirectory(base)
add_subdirectory(server/core)
add_subdirectory(server/engine)
add_subdirectory(tests/sim)
"""


class Mutant(NamedTuple):
    name: str
    file: str
    text: str  # occurs exactly once
    instead: str


MUTANTS = [
    Mutant("quota of devices off by one", "server/core/placement.cc",
           "queue.usage.Held(request.kind) + request.count <= devices->second",
           "queue.usage.Held(request.kind) + request.count <= devices->second + 1"),
    Mutant("quota of running jobs off by one", "server/core/placement.cc",
           "queue.usage.attempts() >= *quota.running_jobs",
           "queue.usage.attempts() > *quota.running_jobs"),
    Mutant("quota of device-hours forgotten", "server/core/placement.cc",
           "queue.usage.DeviceHours(now) >= *quota.device_hours",
           "queue.usage.DeviceHours(now) < 0"),
    Mutant("devices never given back to the queue", "server/core/cluster.cc",
           "queues_.Release(job, now);", ""),
    Mutant("share without weight", "server/core/fair_order.cc",
           "queue.usage.Share(capacity, now) / queue.settings.weight",
           "queue.usage.Share(capacity, now)"),
    Mutant("usage of the past not stored", "server/engine/decision_loop.cc",
           "store_->Commit(draft.records, past)", "store_->Commit(draft.records, {})"),
    Mutant("closed queue places", "server/core/fair_order.cc",
           "queue.settings.state == QueueState::kClosed || queue.jobs == 0",
           "queue.jobs == 0"),
    Mutant("fencing off: news of an old process is believed", "server/core/decide.cc",
           "      job->attempt->worker != report.worker ||\n"
           "      job->attempt->instance != report.instance) {",
           "      job->attempt->worker != report.worker) {"),
    Mutant("fencing off: news of an old attempt is believed", "server/core/decide.cc",
           "      job->attempt->number != status.key.attempt ||\n", ""),
    Mutant("attempts of a lost worker kept", "server/core/decide.cc",
           "    for (const AttemptKey& key : worker.attempts) {\n      LoseAttempt(",
           "    for (const AttemptKey& key : worker.attempts) {\n"
           "      if (key.attempt > 0) break;\n      LoseAttempt("),
    Mutant("ageing goes backwards", "server/core/queue_order.cc",
           "absl::ToUnixMicros(now) - rank", "rank - absl::ToUnixMicros(now)"),
    Mutant("the younger goes first", "server/core/queue_order.cc",
           "return {absl::ToUnixMicros(submit_time) -",
           "return {-absl::ToUnixMicros(submit_time) -"),
    Mutant("failed commit not rolled back", "server/engine/decision_loop.cc",
           "if (loaded_) {  // else there is nothing to undo",
           "if (loaded_ && commit_failures_ < 0) {"),
    Mutant("requeued without backoff", "server/core/retry.cc",
           "return absl::Trunc(pause * factor, absl::Milliseconds(1));",
           "return absl::Trunc(pause * (factor - factor), absl::Milliseconds(1));"),
    Mutant("cancel ignored while starting", "server/core/desired.cc",
           "if (job->cancel_requested || job->attempt->overdue ||",
           "if ((job->cancel_requested && job->state == JobState::kRunning) ||\n"
           "        job->attempt->overdue ||"),
    Mutant("run time limit ignored", "server/core/decide.cc",
           "context.draft.Add(id, AttemptOverdue{attempt.number});", ";"),
    Mutant("devices kept for every job that waits", "server/core/placement.cc",
           "if (reserved_ ||\n", "if (now_ < absl::UnixEpoch() ||\n"),
    Mutant("nothing kept for wide jobs", "server/core/placement.cc",
           "reservations_.push_back(*std::move(reservation));", ""),
    Mutant("drain ignored by the placement", "server/core/fleet.h",
           "return state == WorkerState::kOnline && !draining && !leaving;",
           "return state == WorkerState::kOnline && !leaving;"),
    Mutant("applied_revision compared off by one", "server/core/decide.cc",
           "attempt.placed_revision <= report.applied_revision",
           "attempt.placed_revision <= report.applied_revision + 1"),
    Mutant("a job that is back from its backoff wakes nobody", "server/core/cluster.cc",
           "    queues_.Wait(*jobs_.at(id), now);\n    ++openings_;",
           "    queues_.Wait(*jobs_.at(id), now);"),
    Mutant("a free device wakes nobody", "server/core/cluster.cc",
           "  job->attempt.reset();\n  ++openings_;", "  job->attempt.reset();"),
    Mutant("a repeated request makes a second job", "server/engine/decision_loop.cc",
           "if (job.has_value()) history.requests[request] = *job;", ""),
]


def run(command, **kwargs):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", **kwargs)


def copy_tree(to):
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, to / folder)
    (to / "CMakeLists.txt").write_text(PROJECT)


def build(source, out, jobs):
    result = run(["cmake", "--build", str(out), f"-j{jobs}", "--target", *TESTS])
    if result.returncode != 0:
        sys.exit(f"it does not build:\n{result.stdout[-4000:]}")


def first_failure(text):
    for line in text.splitlines():
        if line.startswith("[  FAILED  ]"):
            return line.removeprefix("[  FAILED  ]").split(",")[0].split(" (")[0].strip()
    return "it crashed"


def catch(out, limit, seeds):
    """Who noticed, and what: a list, empty when nobody did."""
    caught = []
    for test in TESTS:
        command = [str(out / "bin" / test), "--gtest_fail_fast", "--gtest_brief=1"]
        environment = {**os.environ, "TRAINYARD_SIM_SEEDS": str(seeds)}
        try:
            result = run(command, timeout=limit, env=environment)
        except subprocess.TimeoutExpired:
            caught.append(f"{test}: not over after {limit} s")
            continue
        if result.returncode != 0:
            caught.append(f"{test}: {first_failure(result.stdout)}")
    return caught


def apply(source, mutant):
    """Returns the text to put back."""
    path = source / mutant.file
    text = path.read_text()
    count = text.count(mutant.text)
    if count != 1:
        sys.exit(f"{mutant.name}: its text occurs {count} times in {mutant.file}, not once; "
                 "renew the table")
    path.write_text(text.replace(mutant.text, mutant.instead))
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="those whose name holds it")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of the compiler")
    parser.add_argument("--seeds", type=int, default=400, help="worlds to simulate for each")
    parser.add_argument("--limit", type=int, default=120, help="seconds for a test program")
    arguments = parser.parse_args()
    mutants = [m for m in MUTANTS if arguments.only in m.name]
    if not mutants:
        sys.exit(f"no mutant is named like {arguments.only!r}; --list names them")
    if arguments.list:
        print("\n".join(m.name for m in mutants))
        return
    with tempfile.TemporaryDirectory(prefix="trainyard-mutants-") as folder:
        source = pathlib.Path(folder) / "source"
        out = source / "build" / "release"
        copy_tree(source)
        # Laid out and built as the tree is, so that ccache knows most of it.
        os.environ.update(CCACHE_BASEDIR=str(source), CCACHE_NOHASHDIR="1")
        result = run(["cmake", "-G", "Ninja", "-S", str(source), "-B", str(out),
                      "-DCMAKE_BUILD_TYPE=Release"])
        if result.returncode != 0:
            sys.exit(result.stdout)
        build(source, out, arguments.jobs)
        if caught := catch(out, arguments.limit, arguments.seeds):
            sys.exit(f"the tests fail without any mutant: {caught}")
        missed = 0
        for mutant in mutants:
            begin = time.monotonic()
            text = apply(source, mutant)
            build(source, out, arguments.jobs)
            caught = catch(out, arguments.limit, arguments.seeds)
            (source / mutant.file).write_text(text)
            missed += not caught
            print(f"{'caught' if caught else 'MISSED':7} {mutant.name} ({mutant.file}; "
                  f"{time.monotonic() - begin:.0f} s)", flush=True)
            for line in caught:
                print(f"          {line}", flush=True)
    print(f"{len(mutants) - missed} of {len(mutants)} mutants caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
