"""The systemd and launchd services: their files, their scripts, and what the
programs tell a service manager. No service is started on this machine."""

import os
import plistlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
import yard  # noqa: E402

SYSTEMD = os.path.join(yard.SOURCE, "deploy", "systemd")
LAUNCHD = os.path.join(yard.SOURCE, "deploy", "launchd")
SERVICES = ("server", "worker")

# systemd-analyze security: 0 (tight) to 100 (open). The worker has to reach
# devices and to make code while it runs, so it is more open.
EXPOSURE_LIMITS = {"server": 15, "worker": 25}


def seconds(text):
    """"30s" or "30" as seconds."""
    return float(text.rstrip("s"))


def drain_seconds():
    """What a worker may take for its drain, by the defaults it tells."""
    text = subprocess.run([yard.program("trainyard-worker"), "--help"], capture_output=True,
                          text=True, check=True, timeout=yard.DEADLINE).stdout

    def default(flag):
        return seconds(re.search(rf"{flag} TEXT\W*([0-9.]+s)", text).group(1))
    return default("--checkpoint-grace") + 2 * default("--grace")


class Script:
    """service.sh of one kind, with everything below a folder."""

    def __init__(self, kind, root):
        self.path = os.path.join(yard.SOURCE, "deploy", kind, "service.sh")
        self.root = root

    def run(self, action, what, *arguments, root=True):
        where = ["--root", self.root] if root else []
        bin_folder = ["--bin", yard.BIN] if action == "install" else []
        return subprocess.run(["bash", self.path, action, what, *where, *bin_folder, *arguments],
                              capture_output=True, text=True, timeout=yard.DEADLINE, check=False,
                              env=dict(os.environ, HOME="/home/somebody"))

    def ok(self, *arguments, **options):
        done = self.run(*arguments, **options)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout


class ServiceTest(yard.TestCase):
    kind = ""

    def setUp(self):
        super().setUp()
        self.script = Script(self.kind, self.yard.path("root"))

    def file(self, *parts):
        return self.yard.path("root", *parts)

    def read(self, *parts):
        with open(self.file(*parts), encoding="utf-8") as file:
            return file.read()


class Systemd(ServiceTest):
    kind = "systemd"

    def unit(self, what):
        return f"etc/systemd/system/trainyard-{what}.service"

    def values(self, what):
        """Key → list of values."""
        values = {}
        for line in self.read(self.unit(what)).splitlines():
            if "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                values.setdefault(key, []).append(value)
        return values

    def test_installs_shows_and_removes(self):
        self.script.ok("install", "worker", "--server", "lab:7070", "--label", "room=b 12")
        self.assertEqual(self.read("etc/trainyard/worker.env").splitlines()[1],
                         """TRAINYARD_ARGS='--server lab:7070 --label "room=b 12"'""")
        self.assertIn('--label "room=b 12"', self.script.ok("show", "worker"))
        for program in ("trainyard-worker", "trainyard-runner"):
            self.assertTrue(os.access(self.file("usr/local/lib/trainyard", program), os.X_OK))
        # Again without arguments: those that are there stay.
        self.script.ok("install", "worker")
        self.assertIn("room=b 12", self.read("etc/trainyard/worker.env"))
        self.script.ok("remove", "worker")
        left = [name for _, _, names in os.walk(self.file()) for name in names]
        self.assertEqual(left, [])
        self.assertNotEqual(self.script.run("show", "worker").returncode, 0)
        self.assertIn("trainyard-worker.service is not installed",
                      self.script.ok("remove", "worker"))

    def install_with_tls(self):
        """A server with root's own key files, by the documented command."""
        folder = self.yard.path("security")
        self.yard.ctl_ok("setup", "--dir", folder, "--host", "yard.lab")
        self.assertEqual(os.stat(f"{folder}/server.key").st_mode & 0o777, 0o600)
        self.script.ok("install", "server", "--listen", "0.0.0.0:7070",
                       "--tls-cert", f"{folder}/server.crt", f"--tls-key={folder}/server.key",
                       "--bootstrap-token-hash-file", f"{folder}/bootstrap-token.hash",
                       "--worker-lease", "1m")
        return folder

    def drop_in(self, what="server"):
        return self.unit(what) + ".d/credentials.conf"

    def test_hands_key_files_over_as_credentials(self):
        folder = self.install_with_tls()
        self.assertEqual(self.read("etc/trainyard/server.env").splitlines()[1],
                         "TRAINYARD_ARGS='--listen 0.0.0.0:7070 --worker-lease 1m'")
        lines = self.read(self.drop_in()).splitlines()[1:]
        given = "${CREDENTIALS_DIRECTORY}"
        self.assertEqual(lines, [
            "[Service]",
            f"LoadCredential=tls-cert:{folder}/server.crt",
            f"LoadCredential=tls-key:{folder}/server.key",
            f"LoadCredential=bootstrap-token-hash-file:{folder}/bootstrap-token.hash",
            "ExecStart=",
            "ExecStart=/usr/local/lib/trainyard/trainyard-server --state-dir ${STATE_DIRECTORY} "
            f"--tls-cert {given}/tls-cert --tls-key {given}/tls-key "
            f"--bootstrap-token-hash-file {given}/bootstrap-token-hash-file $TRAINYARD_ARGS"])
        # The program takes that line.
        words = lines[-1].split("=", 1)[1].replace("$TRAINYARD_ARGS", "--listen 0.0.0.0:7070 --check")
        os.makedirs(self.yard.path("credentials"))
        for line in lines[1:4]:
            name, path = line.split("=", 1)[1].split(":")
            shutil.copy(path, self.yard.path("credentials", name))
        words = words.replace(given, self.yard.path("credentials")).replace(
            "${STATE_DIRECTORY}", self.yard.path("state")).split()
        checked = self.yard.run(yard.program("trainyard-server"), *words[1:])
        self.assertEqual((checked.code, checked.out), (0, "the options are right\n"), str(checked))
        # Again without arguments they stay, with others they go, and so at the end.
        self.script.ok("install", "server")
        self.assertIn("LoadCredential=tls-key:", self.script.ok("show", "server"))
        self.script.ok("install", "server", "--listen", "127.0.0.1:7070")
        self.assertFalse(os.path.exists(self.file(self.drop_in())))
        self.install_with_tls_again(folder)
        self.script.ok("remove", "server")
        self.assertEqual([name for _, _, names in os.walk(self.file()) for name in names], [])

    def install_with_tls_again(self, folder):
        self.script.ok("install", "server", "--tls-cert", f"{folder}/server.crt",
                       "--tls-key", f"{folder}/server.key")

    def test_a_workers_files_are_credentials_too(self):
        folder = self.yard.path("security")
        self.yard.ctl_ok("setup", "--dir", folder, "--host", "yard.lab")
        token = f"{folder}/admin.token"  # its form is all that counts here
        self.script.ok("install", "worker", "--server", "yard.lab:7070", "--tls-ca", "system",
                       "--token-file", token)
        self.assertIn("--tls-ca system", self.read("etc/trainyard/worker.env"))
        text = self.read(self.drop_in("worker"))
        self.assertIn(f"LoadCredential=token-file:{token}\n", text)
        self.assertIn("--token-file ${CREDENTIALS_DIRECTORY}/token-file $TRAINYARD_ARGS", text)

    def test_refuses_what_the_program_would_refuse_and_changes_nothing(self):
        for arguments, said in [
                (("server", "--no-such-flag"), "--no-such-flag"),
                (("server", "--worker-lease", "0s"), "must be 1s to 24h"),
                (("server", "--listen", "0.0.0.0:7070"), "there is no TLS"),
                (("server", "--log-level", "loud"), "loud"),
                (("server", "--tls-cert", "/no/cert", "--tls-key", "/no/key"), "--tls-cert: /no/cert"),
                (("worker", "--token-file", "/no/token"), "/no/token"),
                (("worker", "--data-root", "/no/data"), "/no/data"),
                (("worker", "--devices", "abacus"), "abacus")]:
            done = self.script.run("install", *arguments)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn("does not take these arguments", done.stderr)
            self.assertIn(said, done.stderr)
        self.assertFalse(os.path.exists(self.file("etc")))

    def test_says_what_is_wrong(self):
        for arguments, said in [
                (("frob", "worker"), "must be install, show or remove"),
                (("install", "client"), "must be server or worker"),
                (("show", "worker", "extra"), "takes no arguments"),
                (("install", "worker", "--label", "a='b'"), "cannot be given to a service")]:
            done = self.script.run(*arguments)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn(said, done.stderr)
        self.assertFalse(os.path.exists(self.file("etc")))

    def need_analyze(self):
        if not shutil.which("systemd-analyze"):
            raise yard.Skip("systemd-analyze is missing (package systemd)")

    def install_with_system_units(self):
        for what in SERVICES:
            self.script.ok("install", what)
        shutil.copytree("/lib/systemd/system", self.file("lib/systemd/system"), symlinks=True)

    def analyze(self, *arguments):
        return subprocess.run(["systemd-analyze", f"--root={self.file()}", *arguments],
                              capture_output=True, text=True, timeout=yard.DEADLINE, check=False)

    def verify(self, what):
        """What systemd says of our unit; of others on this machine it may say more."""
        done = self.analyze("verify", "--man=no", f"trainyard-{what}.service")
        return [line for line in done.stderr.splitlines() if "trainyard" in line]

    def test_units_are_valid(self):
        self.need_analyze()
        self.install_with_system_units()
        for what in SERVICES:
            self.assertEqual(self.verify(what), [])
        self.install_with_tls()
        self.assertEqual(self.verify("server"), [])
        # The check can fail.
        with open(self.file(self.unit("server")), "a", encoding="utf-8") as file:
            file.write("[Service]\nNoSuchKey=1\n")
        self.assertRegex("\n".join(self.verify("server")), "NoSuchKey")

    def test_units_are_hardened(self):
        self.need_analyze()
        self.install_with_system_units()
        for what, limit in EXPOSURE_LIMITS.items():
            done = self.analyze("security", "--offline=yes", f"--threshold={limit}",
                                f"trainyard-{what}.service")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = self.analyze("security", "--offline=yes", "--threshold=1",
                            "trainyard-worker.service")
        self.assertNotEqual(done.returncode, 0, "the check cannot fail")

    def test_the_worker_has_time_for_its_drain(self):
        self.script.ok("install", "worker")
        values = self.values("worker")
        self.assertGreater(seconds(values["TimeoutStopSec"][0]), drain_seconds())
        # Only the worker gets SIGTERM; it asks its runners for a checkpoint first.
        self.assertEqual(values["KillMode"], ["mixed"])
        self.assertEqual(values["Type"], ["notify"])
        self.assertIn("WatchdogSec", values)


# launchd.plist(5).
LAUNCHD_KEYS = {
    "Label": str, "ProgramArguments": list, "RunAtLoad": bool, "KeepAlive": dict,
    "ThrottleInterval": int, "ProcessType": str, "ExitTimeOut": int, "WorkingDirectory": str,
    "StandardOutPath": str, "StandardErrorPath": str, "Umask": int, "SoftResourceLimits": dict,
    "UserName": str,
}


class Launchd(ServiceTest):
    kind = "launchd"

    def plist(self, *parts):
        with open(self.file(*parts), "rb") as file:
            return plistlib.load(file)

    def check(self, plist):
        for key, value in plist.items():
            self.assertIs(type(value), LAUNCHD_KEYS[key], key)
        self.assertEqual(plist["KeepAlive"], {"SuccessfulExit": False})
        self.assertGreaterEqual(plist["ThrottleInterval"], 10)
        self.assertEqual(plist["ProcessType"], "Interactive")
        self.assertTrue(plist["RunAtLoad"])
        for word in plist["ProgramArguments"]:
            self.assertNotRegex(word, "@[A-Z]+@")

    def test_installs_for_one_user(self):
        for what in SERVICES:
            self.script.ok("install", what)
            plist = self.plist(f"home/somebody/Library/LaunchAgents/com.trainyard.{what}.plist")
            self.check(plist)
            self.assertNotIn("UserName", plist)
            self.assertTrue(os.access(plist["ProgramArguments"][0], os.X_OK))
            self.assertTrue(os.path.isdir(plist["WorkingDirectory"]))
            self.assertTrue(os.path.isdir(os.path.dirname(plist["StandardOutPath"])))

    def test_installs_several_workers_from_boot_on(self):
        for label in ("worker", "gpu2"):
            self.script.ok("install", "worker", "--system", "--label", label,
                           "--name", f"mini-{label}", "--label", "note=<a> & \"b|c\"")
            plist = self.plist(f"Library/LaunchDaemons/com.trainyard.{label}.plist")
            self.check(plist)
            self.assertEqual(plist["Label"], f"com.trainyard.{label}")
            self.assertEqual(plist["ProgramArguments"][3:],
                             ["--name", f"mini-{label}", "--label", "note=<a> & \"b|c\""])
            self.assertIn("UserName", plist)
            self.assertGreater(plist["ExitTimeOut"], drain_seconds())
        states = {self.plist(f"Library/LaunchDaemons/com.trainyard.{label}.plist")
                  ["WorkingDirectory"] for label in ("worker", "gpu2")}
        self.assertEqual(len(states), 2)
        # Again without arguments: those that are there stay, as they were.
        self.script.ok("install", "worker", "--system", "--label", "gpu2")
        plist = self.plist("Library/LaunchDaemons/com.trainyard.gpu2.plist")
        self.assertEqual(plist["ProgramArguments"][-1], "note=<a> & \"b|c\"")

    def test_removes(self):
        self.script.ok("install", "server")
        self.script.ok("remove", "server", "--purge")
        self.assertFalse(os.path.exists(
            self.file("home/somebody/Library/LaunchAgents/com.trainyard.server.plist")))
        self.assertFalse(os.path.exists(
            self.file("home/somebody/Library/Application Support/Trainyard/server")))
        self.assertNotEqual(self.script.run("show", "server").returncode, 0)
        self.assertIn("com.trainyard.server is not installed", self.script.ok("remove", "server"))
        self.assertEqual([name for _, _, names in os.walk(self.file()) for name in names], [])

    def test_removes_programs_that_no_other_service_runs(self):
        programs = "home/somebody/Library/Application Support/Trainyard/bin"
        for label in ("worker", "gpu2"):
            self.script.ok("install", "worker", "--label", label, "--name", label)
        self.script.ok("install", "server")
        self.script.ok("remove", "worker", "--label", "gpu2")
        self.assertEqual(sorted(os.listdir(self.file(programs))),
                         ["trainyard-runner", "trainyard-server", "trainyard-worker"])
        self.script.ok("remove", "worker")
        self.assertEqual(os.listdir(self.file(programs)), ["trainyard-server"])
        self.script.ok("remove", "server")
        self.assertFalse(os.path.exists(self.file(programs)))

    def test_refuses_what_the_program_would_refuse(self):
        done = self.script.run("install", "worker", "--no-such-flag")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--no-such-flag", done.stderr)
        self.assertFalse(os.path.exists(self.file("home")))


class Manager:
    """The service manager's end of sd_notify(3); reads all the time, as a manager does."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.messages = queue.Queue()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            message = self.socket.recv(4096).decode()
            if message == "end":
                return
            self.messages.put(message)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"end", self.path)
        self.thread.join(yard.DEADLINE)
        self.socket.close()

    def env(self, env, watchdog_seconds):
        return dict(env, NOTIFY_SOCKET=self.path,
                    WATCHDOG_USEC=str(int(watchdog_seconds * 1e6)))

    def wait_for(self, message, deadline=yard.DEADLINE):
        """queue.Empty: nothing at all came for so long."""
        while True:
            got = self.messages.get(timeout=deadline)
            if got.startswith(message):
                return got


class Notify(yard.TestCase):
    def setUp(self):
        super().setUp()
        self.manager = Manager(self.yard.path("notify"))
        self.addCleanup(self.manager.close)
        self.plain_env = self.yard.env

    def watched(self, start):
        """Starts a program under the manager; returns it and the seconds until it was ready."""
        self.yard.env = self.manager.env(self.plain_env, watchdog_seconds=0.4)
        began = time.monotonic()
        process = start()
        said = self.manager.wait_for("READY=1")
        took = time.monotonic() - began
        self.yard.env = dict(self.plain_env, TRAINYARD_SERVER=self.yard.address or "")
        return process, said, took

    def test_server_tells_how_it_is(self):
        server, said, took = self.watched(self.yard.start_server)
        print(f"server ready after {took:.2f} s")
        self.assertIn(f"STATUS=listening on {self.yard.address}", said)
        for _ in range(3):
            self.manager.wait_for("WATCHDOG=1")
        server.send(signal.SIGTERM)
        self.manager.wait_for("STOPPING=1")
        self.assertEqual(server.wait(), 0)

    def test_worker_tells_how_it_is_and_its_runner_does_not(self):
        self.yard.start_server()
        worker, said, took = self.watched(lambda: self.yard.start_worker("w1"))
        print(f"worker ready after {took:.2f} s")
        self.assertIn("STATUS=works for", said)
        for _ in range(3):
            self.manager.wait_for("WATCHDOG=1")
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs(), epochs=1000))
        self.yard.wait_for_step(job, 1)
        for pid in self.yard.runner_pids():
            with open(f"/proc/{pid}/environ", "rb") as file:
                self.assertNotIn(b"NOTIFY_SOCKET", file.read())
        # A drain: the checkpoint comes back, the job waits for another worker.
        worker.send(signal.SIGTERM)
        self.manager.wait_for("STOPPING=1")
        self.assertEqual(worker.wait(), 0)
        left = self.yard.wait_for_state(job, "queued")
        self.assertGreater(left["checkpoint"]["step"], 0)
        self.assertEqual(self.yard.runner_pids(), [])

    def test_a_stopped_worker_is_missed(self):
        self.yard.start_server()
        worker, _, _ = self.watched(lambda: self.yard.start_worker("w1"))
        self.manager.wait_for("WATCHDOG=1")
        worker.send(signal.SIGSTOP)
        with self.assertRaises(queue.Empty):
            self.manager.wait_for("no such message", deadline=2)
        worker.send(signal.SIGCONT)
        self.manager.wait_for("WATCHDOG=1")


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
