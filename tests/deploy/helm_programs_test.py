"""The chart's pods as processes: the real programs run with the rendered arguments, their mounts in folders of the test,
their secrets as files, and are asked what the probes ask."""

import base64
import copy
import os
import re
import signal
import ssl
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import helm_chart  # noqa: E402  (its folder is known only now)
import helm_checks as checks  # noqa: E402

yard = helm_chart.yard
PROGRAMS = ("trainyard-server", "trainyard-worker")
TLS = "/etc/trainyard/tls"


class FlagsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        _, cls.sets = helm_chart.rendered()
        cls.known = {}
        for program in PROGRAMS:
            said = subprocess.run([yard.program(program), "--help"], capture_output=True, text=True, check=True,
                                  timeout=yard.DEADLINE).stdout
            cls.known[program.removeprefix("trainyard-")] = set(re.findall(r"^ +(?:-\w,)?(--[a-z][-a-z]*)", said, re.MULTILINE))

    def test_programs_know_the_flags(self):
        for name, objects in self.sets.items():
            with self.subTest(name):
                self.assertEqual(checks.flags(objects, self.known), [])

    def test_a_flag_that_they_do_not_know_is_found(self):
        objects = copy.deepcopy(list(self.sets["defaults"]))
        cpu = [one for one in objects if one["kind"] == "Deployment"][0]
        checks.containers(cpu)[0]["args"].append("--colour=red")
        self.assertIn("Deployment/rel-trainyard-worker-cpu: --colour: trainyard-worker knows no such flag",
                      checks.flags(objects, self.known))


def secret(objects, name):
    """What it holds; None: the chart does not make it."""
    found = [one["data"] for one in objects if one["kind"] == "Secret" and one["metadata"]["name"] == name]
    return {key: base64.b64decode(value) for key, value in found[0].items()} if found else None


class Pod:
    """A workload's first container as a process."""

    def __init__(self, yard_, objects, workload, name):
        self.yard, self.name = yard_, name
        self.spec = checks.pod(workload)
        self.container = checks.containers(workload)[0]
        self.folders = {}  # by mount path
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            folder = yard_.path("pods", name, mount["name"])
            os.makedirs(folder)
            self.folders[mount["mountPath"]] = folder
            if "secret" in volumes.get(mount["name"], {}):
                self._fill(folder, objects, volumes[mount["name"]]["secret"])

    def _fill(self, folder, objects, volume):
        data = secret(objects, volume["secretName"])
        if data is None:
            return  # made by hand
        items = volume.get("items", [{"key": key, "path": key} for key in data])
        for item in items:
            with open(os.path.join(folder, item["path"]), "wb") as file:
                file.write(data[item["key"]])

    def path(self, inside):
        """A path of the pod, on this machine."""
        for mount in sorted(self.folders, key=len, reverse=True):
            if inside == mount or inside.startswith(mount + "/"):
                return self.folders[mount] + inside[len(mount):]
        return inside

    def argument(self, text):
        flag, equals, value = text.replace("$(POD_NAME)", self.name).partition("=")
        if flag in ("--listen", "--metrics-address"):
            value = "127.0.0.1:0"
        elif flag == "--server":
            # The service's port is the server's; its name does not resolve here.
            value = self.yard.address.replace("127.0.0.1", "localhost")
        return flag + equals + self.path(value)

    def start(self):
        program = yard.program(f"trainyard-{self.container['name']}")
        process = yard.Process([program, *map(self.argument, self.container["args"])], self.yard.path(f"{self.name}.log"),
                               {name: value for name, value in self.yard.env.items() if not name.startswith("TRAINYARD_")})
        self.yard.others.append(process)
        return process

    def probe(self, which):
        command = self.container[which]["exec"]["command"]
        return self.yard.run(yard.program(command[0]), *map(self.argument, command[1:]))


class PodsTest(yard.TestCase):
    def pods(self, **values):
        """The server and a worker, running."""
        chart, _ = helm_chart.rendered()
        objects = chart.render_values(values)

        def workload(name):
            return [one for one in objects if one["kind"] in checks.WORKLOADS and one["metadata"]["name"] == name][0]
        server = Pod(self.yard, objects, workload("rel-trainyard-server"), "server-0")
        process = server.start()
        self.yard.address = process.wait_for_line(r"^trainyard-server listening on (\S+)").group(1)
        said = process.wait_for_line(r"(?:metrics|monitoring).*?(127\.0\.0\.1:\d+)|(127\.0\.0\.1:\d+).*?/metrics")
        server.metrics = said.group(1) or said.group(2)
        worker = Pod(self.yard, objects, workload("rel-trainyard-worker-cpu"), "rel-trainyard-worker-cpu-5d9c7b-x2x4z")
        self.be_admin(objects, worker)
        if "/etc/trainyard/token" in worker.folders:
            # As NOTES says.
            command = re.search(r"^ *trainctl (tokens create .*--out join-token)$", objects.notes, re.MULTILINE).group(1)
            self.yard.ctl_ok(*command.split(), cwd=worker.path("/etc/trainyard/token"))
        worker.process = worker.start()
        worker.process.wait_for_line(rf"^trainyard-worker {worker.name} connected to \S+")
        return server, worker

    def be_admin(self, objects, worker):
        """What NOTES has people export."""
        env = self.yard.env
        env["TRAINYARD_SERVER"] = self.yard.address.replace("127.0.0.1", "localhost")
        if TLS in worker.folders:
            env["TRAINYARD_TLS_CA"] = worker.path(f"{TLS}/ca.crt")
        own = secret(objects, "rel-trainyard-client-tls")
        if own:
            env["TRAINYARD_TLS_CERT"] = self.yard.write("trainyard.crt", own["tls.crt"])
            env["TRAINYARD_TLS_KEY"] = self.yard.write("trainyard.key", own["tls.key"])
        token = secret(objects, "rel-trainyard-admin-token")
        if token:
            path = self.yard.write("trainyard-admin-token", token["token"])
            os.chmod(path, 0o600)
            env["TRAINYARD_TOKEN_FILE"] = path

    def get(self, server, page, cert=None):
        """Status of a page of the server's metrics port, asked for as the kubelet and Prometheus do."""
        scheme = server.container["readinessProbe"]["httpGet"]["scheme"].lower()
        context = None
        if scheme == "https":
            context = ssl.create_default_context(cafile=server.path(f"{TLS}/ca.crt"))
            if cert:
                context.load_cert_chain(*cert)
        try:
            with urllib.request.urlopen(f"{scheme}://{server.metrics}{page}", timeout=yard.DEADLINE, context=context) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    def check(self, server, worker):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertEqual(self.get(server, server.container[probe]["httpGet"]["path"]), 200, probe)
        for probe in ("livenessProbe", "readinessProbe"):
            done = worker.probe(probe)
            self.assertEqual(done.code, 0, done)
        self.assertIn(worker.name, self.yard.ctl_ok("workers").out)
        # The folders of the mounts were used.
        self.assertTrue(os.path.isdir(server.path("/var/lib/trainyard/state")))
        self.assertTrue(os.path.isdir(worker.path("/var/lib/trainyard/worker")))
        worker.process.send(signal.SIGTERM)
        self.assertEqual(worker.process.wait(worker.spec["terminationGracePeriodSeconds"]), 0)
        self.assertNotEqual(worker.probe("livenessProbe").code, 0)

    def test_without_tls(self):
        server, worker = self.pods(tls={"mode": "none"}, tokens={"mode": "none"}, server={"insecure": True})
        self.assertEqual(self.get(server, "/metrics"), 200)
        self.check(server, worker)

    def test_with_certificates_and_tokens_of_the_chart(self):
        server, worker = self.pods()
        self.yard.env.pop("TRAINYARD_TOKEN_FILE")
        self.assertIn("token", self.yard.ctl("workers").err)
        self.yard.env["TRAINYARD_TOKEN_FILE"] = self.yard.path("trainyard-admin-token")
        self.assertEqual(self.get(server, "/metrics"), 200)
        self.check(server, worker)

    def test_with_mutual_tls(self):
        server, worker = self.pods(tls={"mutual": True})
        own = [worker.path(f"{TLS}/tls.{part}") for part in ("crt", "key")]
        self.assertEqual(self.get(server, "/metrics", own), 200)
        self.assertEqual(self.get(server, "/metrics"), 403)
        self.check(server, worker)


if __name__ == "__main__":
    helm_chart.main((*PROGRAMS, "trainctl"))
