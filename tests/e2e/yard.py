"""A small Trainyard of its own for one test: server, workers and trainctl below
one temporary folder, on ports of their own.

    class Lifecycle(yard.TestCase):
        def test_trains(self):
            self.yard.start_server()
            self.yard.start_worker("w1")
            job = self.yard.submit(yard.glyphs_job(self.yard.glyphs()))
            self.yard.wait_for_state(job, "succeeded")

    if __name__ == "__main__":
        yard.main(["trainyard-server", "trainyard-worker", "trainctl"])

Programs come from $TRAINYARD_BIN. Everything waits with a deadline, and only
processes that the test started are ended. Nothing but Python's standard library.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ.get("TRAINYARD_BIN", "")
SOURCE = os.environ.get("TRAINYARD_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))

# Generous: the machine may be busy with other tests.
DEADLINE = 120.0


class Skip(unittest.SkipTest):
    """What the test needs is not here."""


def program(name):
    return os.path.join(BIN, name)


def poll(condition, what, deadline=DEADLINE, details=lambda: ""):
    """The first true value of condition(), or a failure that says what was awaited."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {deadline:.0f} s\n{details()}")
        time.sleep(0.02)


class Result:
    """What a finished command left."""

    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return (f"$ {' '.join(self.command)}\nexit status {self.code}\n--- stdout\n{self.out}"
                f"\n--- stderr\n{self.err}")


class Process:
    """A program in the background, its output in files."""

    def __init__(self, command, log, env=None):
        self.command = command
        self.log = log
        with open(log, "ab") as file:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file,
                                          stderr=subprocess.STDOUT, env=env,
                                          start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def find(self, pattern):
        """The first match in the output so far, None if the program ended without."""
        return re.search(pattern, self.text(), re.MULTILINE)

    def wait_for_line(self, pattern, deadline=DEADLINE):
        def found():
            match = self.find(pattern)
            if match is None and self.popen.poll() is not None and not self.find(pattern):
                raise AssertionError(f"{self.command[0]} ended with {self.popen.returncode}:\n"
                                     f"{self.text()}")
            return match
        return poll(found, f"line {pattern!r} of {self.command[0]}", deadline, self.text)

    def send(self, number):
        self.popen.send_signal(number)

    def wait(self, deadline=DEADLINE):
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command[0]} did not end within {deadline:.0f} s\n"
                                 f"{self.text()}") from None

    def kill(self):
        """kill -9 of this one process."""
        self.popen.kill()
        self.popen.wait(DEADLINE)

    def end(self):
        if self.popen.poll() is None:
            self.kill()


class Yard:
    def __init__(self, folder):
        self.folder = folder
        self.server = None
        self.address = None
        self.workers = {}
        self.others = []
        self.env = dict(os.environ, HOME=self.path("home"), XDG_CONFIG_HOME=self.path("home"))
        for name in list(self.env):
            if name.startswith("TRAINYARD_") and name not in ("TRAINYARD_BIN", "TRAINYARD_SOURCE"):
                del self.env[name]
        os.makedirs(self.path("home"))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    # ---- programs

    def start_server(self, *flags):
        """On a port of its own; a second time on the same port and state folder."""
        listen = self.address or "127.0.0.1:0"
        log = self.path(f"server-{len(self.others)}.log")
        self.server = Process([program("trainyard-server"), "--listen", listen, "--state-dir",
                               self.path("state"), "--metrics-address", "127.0.0.1:0",
                               *flags], log, self.env)
        self.others.append(self.server)
        match = self.server.wait_for_line(r"^trainyard-server listening on (\S+)")
        self.address = match.group(1)
        self.env["TRAINYARD_SERVER"] = self.address
        return self.server

    def start_worker(self, name="w1", *flags, folder=None):
        worker = self.start_worker_only(name, *flags, folder=folder)
        worker.wait_for_line(rf"^trainyard-worker {name} connected to \S+")
        return worker

    def start_worker_only(self, name="w1", *flags, folder=None):
        """folder: of its state; by default one of its name."""
        log = self.path(f"worker-{name}-{len(self.others)}.log")
        worker = Process([program("trainyard-worker"), "--server", self.address, "--name", name,
                          "--work-dir", self.path("workers", folder or name), *flags], log, self.env)
        self.workers[name] = worker
        self.others.append(worker)
        return worker

    def run(self, *command, deadline=DEADLINE, env=None, cwd=None, stdin=subprocess.DEVNULL):
        command = [str(part) for part in command]
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True,
                              errors="replace", timeout=deadline, env=env or self.env, cwd=cwd,
                              check=False)
        return Result(command, done.returncode, done.stdout, done.stderr)

    def ctl(self, *arguments, **options):
        return self.run(program("trainctl"), *arguments, **options)

    def ctl_ok(self, *arguments, **options):
        result = self.ctl(*arguments, **options)
        if result.code != 0:
            raise AssertionError(str(result))
        return result

    def background(self, *command):
        process = Process([str(part) for part in command],
                          self.path(f"command-{len(self.others)}.log"), self.env)
        self.others.append(process)
        return process

    def close(self):
        for process in reversed(self.others):
            process.end()

    # ---- jobs

    def glyphs(self, train=2000, test=500):
        """A folder with that many glyphs."""
        folder = self.path(f"glyphs-{train}-{test}")
        if not os.path.isdir(folder):
            result = self.run(program("glyphs"), "--out", folder, "--train", train, "--test", test)
            if result.code != 0:
                raise AssertionError(str(result))
        return folder

    def job_file(self, spec, name="job.yaml"):
        # JSON is YAML.
        return self.write(name, json.dumps(spec))

    def submit(self, spec, *flags):
        """Submits and returns the job's name, "jobs/N"."""
        result = self.ctl_ok("submit", self.job_file(spec), "--output", "json", *flags)
        return result.json()["name"]

    def get(self, job):
        return self.ctl_ok("get", job, "--output", "json").json()

    def jobs(self, *flags):
        listed = self.ctl_ok("list", "--output", "json", *flags).json()
        return listed["jobs"] if isinstance(listed, dict) else listed

    def metrics(self, job):
        """All points of a job so far, oldest first, each with its attempt."""
        text = self.ctl_ok("metrics", job, "--output", "json").out
        return parse_stream(text)

    def wait_for(self, job, condition, what, deadline=DEADLINE):
        last = {}

        def check():
            last.clear()
            last.update(self.get(job))
            return dict(last) if condition(last) else None
        return poll(check, f"{what} of {job}", deadline,
                    lambda: json.dumps(last, indent=1) + "\n" + self.logs())

    def wait_for_state(self, job, state, deadline=DEADLINE):
        def arrived(now):
            current = now["state"]
            if current in ("succeeded", "failed", "cancelled") and current != state:
                raise AssertionError(f"{job} is {current}, not {state}:\n"
                                     f"{json.dumps(now, indent=1)}\n{self.logs()}")
            return current == state
        return self.wait_for(job, arrived, f"state {state}", deadline)

    def wait_for_step(self, job, step, deadline=DEADLINE):
        return self.wait_for(job, lambda now: now.get("progress", {}).get("step", 0) >= step,
                             f"step {step}", deadline)

    def runner_pids(self):
        """Processes of trainyard-runner that work below this yard's folder."""
        pids = []
        for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    state = file.read().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            runs = os.path.basename(words[0]) == "trainyard-runner"
            if runs and state != "Z" and any(self.folder in word for word in words):
                pids.append(int(entry))
        return sorted(pids)

    def logs(self):
        parts = []
        for process in self.others:
            tail = process.text()[-4000:]
            parts.append(f"--- {os.path.basename(process.log)}: {' '.join(process.command)}\n{tail}")
        return "\n".join(parts)


def parse_stream(text):
    """Objects one after another, or a list, or an object with one list."""
    decoder = json.JSONDecoder()
    objects, at = [], 0
    text = text.strip()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        objects.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    if len(objects) == 1 and isinstance(objects[0], list):
        return objects[0]
    return objects


def glyphs_job(source, **training):
    """The small CNN on a folder of glyphs; training's fields can be overridden."""
    spec = {
        "model": {"architecture": "mnist_cnn"},
        "data": {"format": "idx", "source": {"upload": source}},
        "optimizer": {"kind": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "batch_size": 64,
        "epochs": 1,
        "threads": 1,
    }
    spec.update(training)
    return {"name": "glyphs", "training": spec, "resources": {"devices": [{"kind": "cpu"}]}}


class TestCase(unittest.TestCase):
    """Gives each test a yard, and shows its logs where the test fails."""

    maxDiff = None

    def setUp(self):
        self.yard = Yard(tempfile.mkdtemp(prefix="trainyard-test-"))
        self._failures_before = self._failures()
        self.addCleanup(self._clean)

    def _failures(self):
        result = getattr(self._outcome, "result", None)
        return len(result.failures) + len(result.errors) if result else 0

    def _clean(self):
        self.yard.close()
        # Until Python 3.10 failures reach the result only after the clean-up.
        failed = self._failures() > self._failures_before or any(
            error for _, error in getattr(self._outcome, "errors", []))
        if failed:
            print(f"kept for a look: {self.yard.folder}\n{self.yard.logs()}", file=sys.stderr)
        else:
            shutil.rmtree(self.yard.folder, ignore_errors=True)


def main(needs=()):
    """Runs the tests of the calling file. Exit status 77: all of them were skipped."""
    missing = [name for name in needs if not os.access(program(name), os.X_OK)]
    if missing:
        print(f"skipped: not built here: {', '.join(missing)}")
        sys.exit(77)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ctest's timeout: clean up
    run = unittest.main(exit=False, verbosity=2).result
    for _, reason in run.skipped:
        print(f"skipped: {reason}")
    if not run.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if run.testsRun and run.testsRun == len(run.skipped) else 0)
