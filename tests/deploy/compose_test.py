#!/usr/bin/env python3
"""deploy/compose.yaml: valid, complete, and as closed as it says.

Containers of other projects cannot be pulled everywhere, so nothing is started
here; image_test.py runs ours."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import yard  # noqa: E402  (its folder is known only now)

try:
    import yaml
except ImportError:
    print("skipped: python3-yaml is not installed")
    sys.exit(77)

FOLDER = os.path.join(yard.SOURCE, "deploy")
PROGRAMS = {"server": "trainyard-server", "worker": "trainyard-worker"}


def load(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return yaml.safe_load(file)


def default(text):
    """What compose makes of it where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def seconds(text):
    amount, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(amount) * {"s": 1, "m": 60}[unit]


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = load("compose.yaml")
        cls.services = cls.file["services"]

    def test_is_valid(self):
        if shutil.which("docker") and subprocess.run(
                ["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
            command = ["docker", "compose"]
        elif shutil.which("docker-compose"):
            command = ["docker-compose"]
        else:
            self.skipTest("neither docker compose nor docker-compose is installed")
        version = subprocess.run([*command, "version", "--short"], capture_output=True, text=True,
                                 check=True).stdout
        with open(os.path.join(FOLDER, "compose.yaml"), encoding="utf-8") as file:
            text = file.read()
        if version.startswith("1."):  # which does not know the project's name
            text, count = re.subn(r"(?m)^name: .*\n", "", text)
            self.assertEqual(count, 1)
        with tempfile.TemporaryDirectory(prefix="trainyard-compose-") as folder:
            path = os.path.join(folder, "compose.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            done = subprocess.run([*command, "-f", path, "config", "-q"], capture_output=True,
                                  text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_service_is_closed(self):
        for name, service in self.services.items():
            with self.subTest(name):
                self.assertIs(service["read_only"], True)
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertNotIn("privileged", service)
                self.assertIn(service.get("network_mode", "none"), ("none",))
                self.assertIn("max-size", service["logging"]["options"])

    def test_ports_are_open_to_this_machine_only(self):
        for name, service in self.services.items():
            with self.subTest(name):
                for port in service.get("ports", []):
                    self.assertRegex(default(port), r"^127\.0\.0\.1:\d+:\d+$")

    def test_services_are_checked_and_come_back(self):
        for name, service in self.services.items():
            with self.subTest(name):
                if service["image"] == self.services["cli"]["image"]:
                    self.assertEqual(service["restart"], "no")
                    continue
                self.assertEqual(service["restart"], "unless-stopped")
                # Ours have the health check in their images.
                self.assertTrue("healthcheck" in service or name in PROGRAMS)
                self.assertIn("stop_grace_period", service)

    def test_images_are_ours_or_of_one_version(self):
        for name, service in self.services.items():
            with self.subTest(name):
                image = default(service["image"])
                self.assertRegex(image, r":v?\d+\.\d+\.\d+$")
                if image.startswith("trainyard-"):
                    self.assertEqual(service["build"]["context"], "..")
                    with open(os.path.join(yard.SOURCE, "Dockerfile"), encoding="utf-8") as file:
                        self.assertRegex(file.read(), rf"(?m)^FROM \S+ AS {service['build']['target']}$")

    def test_whatever_is_mounted_is_there(self):
        for name, service in self.services.items():
            with self.subTest(name):
                for mount in service.get("volumes", []):
                    source, target, *mode = default(mount).split(":")
                    self.assertTrue(target.startswith("/"), mount)
                    if not source.startswith("."):
                        self.assertIn(source, self.file["volumes"])
                    elif source != "./data":  # made by compose_setup.sh
                        path = os.path.join(FOLDER, source)
                        self.assertTrue(os.path.isfile(path) or os.listdir(path), source)
                        self.assertEqual(mode, ["ro"], mount)
                for network in service.get("networks", []):
                    self.assertIn(network, self.file["networks"])
                for secret in service.get("secrets", []):
                    self.assertIn(secret, self.file["secrets"])
                for other, condition in service.get("depends_on", {}).items():
                    once = self.services[other]["restart"] == "no"
                    self.assertEqual(condition["condition"], "service_completed_successfully"
                                     if once else "service_healthy")

    def test_setup_makes_every_secret(self):
        with open(os.path.join(FOLDER, "compose_setup.sh"), encoding="utf-8") as file:
            setup = file.read()
        for name, secret in self.file["secrets"].items():
            self.assertEqual(secret["file"], f"./secrets/{name}")
            self.assertIn(name, setup)
        ignored = subprocess.run(["git", "-C", yard.SOURCE, "check-ignore", "-q",
                                  "deploy/secrets/x"], check=False)
        self.assertIn(ignored.returncode, (0, 128), "secrets may not be committed")  # 128: no clone

    def test_programs_know_their_flags(self):
        for name, program in PROGRAMS.items():
            path = yard.program(program)
            if not os.access(path, os.X_OK):
                self.skipTest(f"not built here: {program}")
            text = subprocess.run([path, "--help"], capture_output=True, text=True,
                                  check=True).stdout
            for word in self.services[name]["command"]:
                if word.startswith("--"):
                    self.assertRegex(text, rf"{word}\b", name)

    def test_secrets_are_where_they_are_needed_only(self):
        """The CA's key and the first admin's token stay with trainctl."""
        holders = {name for name, service in self.services.items()
                   if any(mount.startswith("authority:") for mount in service.get("volumes", []))}
        self.assertEqual(holders, {"certificates", "tokens", "cli"})
        for name, service in self.services.items():
            for mount in service.get("volumes", []):
                volume, _, *mode = default(mount).split(":")
                if volume == "authority" or volume.endswith("-security"):
                    self.assertTrue(mode == ["ro"] or name in ("certificates", "tokens"), mount)
        self.assertNotIn("--insecure", self.services["server"]["command"])

    def test_prometheus_differs_by_its_tls_alone(self):
        plain = load("prometheus/prometheus.yml")
        tls = load("prometheus/prometheus_tls.yml")
        (scrape,) = tls["scrape_configs"]
        self.assertEqual(scrape.pop("scheme"), "https")
        self.assertTrue(scrape.pop("tls_config")["ca_file"].startswith("/security/metrics/"))
        self.assertEqual(tls, plain)

    def test_a_worker_has_the_time_to_leave(self):
        service = self.services["worker"]
        command = service["command"]
        flags = {word: command[i + 1] for i, word in enumerate(command) if word.endswith("grace")}
        needed = seconds(flags["--checkpoint-grace"]) + 2 * seconds(flags["--grace"])
        self.assertGreaterEqual(seconds(service["stop_grace_period"]), needed + 20)

    def test_who_is_spoken_to_is_on_the_same_network(self):
        def together(one, other):
            return set(self.services[one]["networks"]) & set(self.services[other]["networks"])

        text = str(load("prometheus/prometheus_tls.yml"))
        spoken = [("prometheus", host) for host in re.findall(r"'([a-z]+):\d+'", text)]
        text = str(load("grafana/provisioning/datasources/prometheus.yml"))
        spoken += [("grafana", host) for host in re.findall(r"http://([a-z]+):\d+", text)]
        self.assertIn(("prometheus", "server"), spoken)
        self.assertIn(("grafana", "prometheus"), spoken)
        for one, other in [*spoken, ("worker", "server"), ("tokens", "server"), ("cli", "server")]:
            self.assertTrue(together(one, other), f"{one} cannot reach {other}")
        # And nobody can submit jobs through the dashboards' network.
        self.assertFalse(together("grafana", "server"))


if __name__ == "__main__":
    yard.main()
