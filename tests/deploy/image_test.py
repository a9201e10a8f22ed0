#!/usr/bin/env python3
"""Server and worker from the images train a job as an orchestrator would run
them: read-only root, user 10001, no capability, ended by SIGTERM."""

import json
import os
import re
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import containers  # noqa: E402  (its folder is known only now)
import yard  # noqa: E402  (containers told where it is)

try:
    import yaml
except ImportError:
    print("skipped: python3-yaml is not installed")
    sys.exit(77)

# As stop_grace_period of deploy/compose.yaml: over --checkpoint-grace and twice
# --grace.
WORKER_GRACE = 90
SERVER_GRACE = 30


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


STORE = containers.Store(os.environ["TRAINYARD_IMAGES"])


class ImageConfiguration(unittest.TestCase):
    """What the images say of themselves."""

    def test_programs_run_as_a_user_and_end_by_sigterm(self):
        for target in ("server", "worker", "cli"):
            with self.subTest(target):
                config = STORE.describe(target)["Config"]
                self.assertEqual(config["User"], "10001:10001")
                self.assertEqual(config["StopSignal"], "SIGTERM")
                self.assertEqual(len(config["Entrypoint"]), 1, "no shell, no init")
                for label in ("title", "description", "version", "licenses"):
                    self.assertTrue(config["Labels"][f"org.opencontainers.image.{label}"])

    def test_only_services_keep_state_and_have_a_health_check(self):
        for target in ("server", "worker"):
            described = STORE.describe(target)
            self.assertIn("/var/lib/trainyard", described["Config"]["Volumes"])
            self.assertEqual(described["Healthcheck"]["Test"],
                             ["CMD", f"trainyard-{target}", "--health"])
        cli = STORE.describe("cli")
        self.assertFalse(cli["Config"].get("Volumes"))
        self.assertFalse(cli.get("Healthcheck"))

    def test_version_is_the_programs(self):
        for target, program in (("server", "trainyard-server"), ("worker", "trainyard-worker")):
            label = STORE.describe(target)["Labels"]["org.opencontainers.image.version"]
            said = STORE.podman("run", "--pull=never", "--rm", containers.image(target),
                                "--version").out
            self.assertEqual(said.split(), [program, label])

    def test_no_image_holds_compilers_or_headers(self):
        for target in ("server", "worker", "cli"):
            listed = STORE.podman("run", "--pull=never", "--rm", "--entrypoint", "dpkg-query",
                                  containers.image(target), "-W", "-f", "${Package}\n").out.split()
            surplus = [name for name in listed
                       if name.endswith("-dev") or re.match(r"(g\+\+|gcc|cmake|clang)(-\d+)?$", name)]
            self.assertEqual(surplus, [])


class Containers(yard.TestCase):
    """Containers and volumes of one test."""

    def setUp(self):
        super().setUp()
        self.containers = []
        self.prefix = f"trainyard-test-{os.getpid()}"
        self.volumes = [f"{self.prefix}-server", f"{self.prefix}-worker"]
        for volume in self.volumes:
            STORE.podman("volume", "create", volume)
        self.addCleanup(self.remove)
        os.chmod(self.yard.folder, 0o755)
        self.files = self.yard.path("files")
        os.mkdir(self.files)
        os.chown(self.files, 10001, 10001)

    def remove(self):
        for container in reversed(self.containers):
            container.end()
        for volume in self.volumes:
            STORE.podman("volume", "rm", "--force", volume, check=False)

    def start(self, target, *arguments, line):
        number = len(self.containers)
        container = STORE.run(
            target, *arguments, log=self.yard.path(f"{target}-{number}.log"),
            name=f"{self.prefix}-{number}",
            options=("--volume", f"{self.prefix}-{target}:/var/lib/trainyard"))
        self.containers.append(container)
        self.yard.others.append(container.process)  # its log is shown where a test fails
        return container, container.wait_for_line(line)

    def start_server(self):
        """The second time on the same port."""
        listen = self.yard.address or "127.0.0.1:0"
        server, match = self.start(
            "server", "--listen", listen, "--metrics-address", "127.0.0.1:0",
            line=r"^trainyard-server listening on (\S+)")
        self.yard.address = match.group(1)
        return server

    def start_worker(self):
        worker, _ = self.start("worker", "--server", self.yard.address, "--name", "w1",
                               line=r"^trainyard-worker w1 connected to")
        return worker

    def tool(self, program, *arguments):
        """A program of the cli image; it sees self.files as /data."""
        return STORE.podman(
            "run", "--pull=never", "--rm", *containers.HARDENED, "--entrypoint", program,
            "--env", f"TRAINYARD_SERVER={self.yard.address}", "--volume", f"{self.files}:/data",
            containers.image("cli"), *arguments)

    def get(self, job):
        return self.tool("trainctl", "get", job, "--output", "json").json()

    def wait_for(self, job, condition, what):
        last = {}

        def check():
            last.clear()
            last.update(self.get(job))
            return dict(last) if condition(last) else None
        return yard.poll(check, f"{what} of {job}", yard.DEADLINE,
                         lambda: json.dumps(last, indent=1) + "\n" + self.yard.logs())

    def submit(self, **training):
        self.tool("glyphs", "--out", "/data/glyphs", "--train", "2000", "--test", "500")
        spec = yard.glyphs_job("/data/glyphs", **training)
        with open(os.path.join(self.files, "job.yaml"), "w", encoding="utf-8") as file:
            json.dump(spec, file)
        return self.tool("trainctl", "submit", "/data/job.yaml", "--output", "json").json()["name"]

    def check_hardened(self, container):
        status = dict(line.split(":\t", 1) for line in
                      container.exec("cat", "/proc/1/status").out.splitlines() if ":\t" in line)
        self.assertEqual(status["Uid"].split(), ["10001"] * 4)
        for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.assertEqual(status["NoNewPrivs"], "1")
        refused = container.exec("touch", "/usr/local/bin/x")
        self.assertNotEqual(refused.code, 0)
        self.assertIn("Read-only file system", refused.err)

    def check_health(self, container, target):
        """By the very command of the image."""
        command = STORE.describe(target)["Healthcheck"]["Test"][1:]
        yard.poll(lambda: container.exec(*command).code == 0, f"healthy {target}", 60,
                  lambda: str(container.exec(*command)))

    def read(self, name):
        with open(os.path.join(self.files, name), encoding="utf-8") as file:
            return file.read()


class Training(Containers):
    """A server on loopback, and a worker."""

    def test_trains_a_job_and_hands_the_model_back(self):
        server = self.start_server()
        worker = self.start_worker()
        for container in (server, worker):
            self.check_hardened(container)
        self.check_health(worker, "worker")
        job = self.submit()
        self.wait_for(job, lambda now: now["state"] == "succeeded", "success")
        self.tool("trainctl", "artifacts", "download", job, "--out", "/data/model")
        report = json.loads(self.read("model/report.json"))
        self.assertGreater(report["steps"], 0, report)
        self.assertIn("model.safetensors", os.listdir(os.path.join(self.files, "model")))
        self.assertEqual(worker.stop(WORKER_GRACE)[0], 0)
        self.assertEqual(server.stop(SERVER_GRACE)[0], 0)

    def test_sigterm_drains_the_worker_and_a_new_container_goes_on(self):
        self.start_server()
        worker = self.start_worker()
        job = self.submit(epochs=100000, checkpoint={"every_seconds": 3600})
        self.wait_for(job, lambda now: now.get("progress", {}).get("step", 0) > 20, "step 20")
        code, seconds = worker.stop(WORKER_GRACE)
        self.assertEqual(code, 0, worker.text())
        print(f"the worker left within {seconds:.1f} s of SIGTERM")
        now = self.wait_for(job, lambda now: now["state"] == "queued", "return to the queue")
        # No checkpoint was due for an hour: SIGTERM made this one.
        step = now["checkpoint"]["step"]
        self.assertGreater(step, 20)
        self.start_worker()
        now = self.wait_for(job, lambda now: now.get("progress", {}).get("step", 0) > step
                            and len(now["attempts"]) == 2, "steps of a second attempt")
        self.assertNotEqual(now["attempts"][0]["outcome"], "lost")
        points = yard.parse_stream(self.tool("trainctl", "metrics", job, "--output", "json").out)
        first = next(p for p in points if p["attempt"] == 2)
        self.assertGreater(first["point"]["step"], step)
        self.tool("trainctl", "cancel", job)
        self.wait_for(job, lambda now: now["state"] == "cancelled", "cancellation")

    def test_sigterm_ends_the_server_whose_state_outlives_the_container(self):
        server = self.start_server()
        worker = self.start_worker()
        job = self.submit(epochs=100000)
        self.wait_for(job, lambda now: now.get("progress", {}).get("step", 0) > 5, "step 5")
        code, seconds = server.stop(SERVER_GRACE)
        self.assertEqual(code, 0, server.text())
        print(f"the server ended within {seconds:.1f} s of SIGTERM")
        live = worker.exec("trainyard-worker", "--health", "live")
        self.assertEqual(live.code, 0, str(live))
        yard.poll(lambda: worker.exec("trainyard-worker", "--health").code == 1,
                  "not ready without a server", 60)
        self.start_server()
        self.check_health(worker, "worker")
        before = self.get(job)["progress"]["step"]
        now = self.wait_for(job, lambda now: now["progress"]["step"] > before, "more steps")
        self.assertEqual(len(now["attempts"]), 1, "the attempt outlived the server's restart")
        self.tool("trainctl", "cancel", job)
        self.wait_for(job, lambda now: now["state"] == "cancelled", "cancellation")


class ComposeServices(Containers):
    """The services of deploy/compose.yaml that are ours, by their own words: only host names
    and ports differ, for podman gives them this machine's network."""

    def setUp(self):
        super().setUp()
        with open(os.path.join(yard.SOURCE, "deploy", "compose.yaml"), encoding="utf-8") as file:
            self.file = yaml.safe_load(file)
        self.ports = {"7070": free_port(), "9464": free_port()}
        self.named = {name: f"{self.prefix}-compose-{name}" for name in self.file["volumes"]}
        for volume in self.named.values():
            STORE.podman("volume", "create", volume)
            self.volumes.append(volume)

    def words(self, value):
        """With defaults of variables, and the ports of this test."""
        value = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        return re.sub(r"\b(7070|9464)\b", lambda port: str(self.ports[port.group()]), value)

    def options(self, service):
        options = ["--add-host=server:127.0.0.1"]
        if service.get("network_mode") == "none":
            options = ["--network=none"]
        for name, value in service.get("environment", {}).items():
            options += ["--env", f"{name}={self.words(value)}"]
        for mount in service.get("volumes", []):
            source, rest = self.words(mount).split(":", 1)
            if source == "./data":
                source = self.files
            elif source.startswith("."):
                source = os.path.join(yard.SOURCE, "deploy", source)
            options += ["--volume", f"{self.named.get(source, source)}:{rest}"]
        if "entrypoint" in service:
            options += ["--entrypoint", json.dumps(service["entrypoint"])]
        return options

    def start_service(self, name, *arguments):
        service = self.file["services"][name]
        target = service["build"]["target"]
        number = len(self.containers)
        container = STORE.run(
            target, *(arguments or map(self.words, service["command"])),
            log=self.yard.path(f"{name}-{number}.log"), name=f"{self.prefix}-{number}",
            options=self.options(service))
        self.containers.append(container)
        self.yard.others.append(container.process)
        return container

    def complete(self, name, *arguments):
        container = self.start_service(name, *arguments)
        self.assertEqual(container.process.wait(), 0, container.text())
        return container.text()

    def test_setup_lets_in_who_has_a_token_and_nobody_else(self):
        self.complete("certificates")
        server = self.start_service("server")
        server.wait_for_line(r"^trainyard-server listening on")
        health = [*STORE.describe("server")["Healthcheck"]["Test"][1:],
                  "--metrics-address", f"127.0.0.1:{self.ports['9464']}"]
        yard.poll(lambda: server.exec(*health).code == 0, "healthy server", 60,
                  lambda: str(server.exec(*health)))
        self.complete("tokens")
        worker = self.start_service("worker")
        worker.wait_for_line(r"^trainyard-worker worker-1 connected to server:")
        self.check_health(worker, "worker")
        self.assertNotEqual(worker.exec("ls", "/security/authority").code, 0)
        self.assertIn("workers/worker-1", self.complete("cli", "workers"))

        stranger = STORE.podman(
            "run", "--pull=never", "--rm", *containers.HARDENED, "--add-host=server:127.0.0.1",
            "--volume", f"{self.named['metrics-security']}:/security/metrics:ro",
            containers.image("cli"), "workers", "--server", f"server:{self.ports['7070']}",
            "--tls-ca", "/security/metrics/ca.crt", check=False)
        self.assertNotEqual(stranger.code, 0)
        self.assertIn("token", stranger.err)

        # As the next `up` does: certificates are renewed, the worker keeps its token.
        self.complete("certificates")
        self.complete("tokens")
        self.assertIn("online", self.complete("cli", "workers"))
        self.assertEqual(worker.stop(WORKER_GRACE)[0], 0)
        self.assertEqual(server.stop(SERVER_GRACE)[0], 0)


if __name__ == "__main__":
    try:
        STORE.require_tools()
        absent = [t for t in ("server", "worker", "cli") if not STORE.has(containers.image(t))]
    except yard.Skip as skip:
        print(f"skipped: {skip}")
        sys.exit(77)
    if absent:
        print(f"skipped: deploy.image_build made no image of {', '.join(absent)}")
        sys.exit(77)
    yard.main()
