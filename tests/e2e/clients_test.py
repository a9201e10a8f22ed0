#!/usr/bin/env python3
"""The examples of clients in C++, Python and Node: each submits a job and watches it to its end."""

import os
import shutil
import subprocess
import sys

import yard

EXAMPLES = os.path.join(yard.SOURCE, "examples")


def python_with_grpc():
    """A Python that has grpcio; Debian's own, where another one comes first on PATH."""
    for python in (sys.executable, "/usr/bin/python3"):
        if python and os.access(python, os.X_OK) and subprocess.run(
                [python, "-c", "import grpc, google.protobuf"], capture_output=True,
                check=False).returncode == 0:
            return python
    raise yard.Skip("no python3 with grpcio and protobuf (Debian: python3-grpcio, python3-protobuf)")


class Clients(yard.TestCase):
    def setUp(self):
        super().setUp()
        self.data = self.yard.glyphs(200, 100)
        self.start()

    def start(self):
        self.yard.start_server()
        self.yard.start_worker("w1", "--data-root", self.yard.folder)

    def check(self, name, command, **options):
        result = self.yard.run(*command, "--server", self.yard.address, "--data", self.data,
                               **options)
        self.assertEqual(result.code, 0, str(result))
        (job,) = self.yard.jobs()
        self.assertEqual((job["spec"]["name"], job["state"]), (name, "succeeded"))
        self.assertIn("succeeded", result.out.lower())
        bad = self.yard.run(*command, "--server", self.yard.address, "--data", "not/absolute",
                            **options)
        self.assertEqual(bad.code, 2, str(bad))
        self.assertIn("training.data.source.path", bad.err)

    def test_cpp(self):
        self.check("example-cpp", [yard.program("submit_and_watch")])

    def test_python(self):
        python = python_with_grpc()
        if shutil.which("protoc") is None or shutil.which("grpc_python_plugin") is None:
            raise yard.Skip("no protoc with grpc_python_plugin (Debian: protobuf-compiler-grpc)")
        self.check("example-python",
                   [python, "-B", os.path.join(EXAMPLES, "client_python", "submit_and_watch.py")])

    def test_node(self):
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise yard.Skip("no node or npm (Debian: nodejs, npm)")
        # The tree stays clean: packages go below a copy, beside which the protos lie.
        client = self.yard.path("tree", "examples", "client_node")
        shutil.copytree(os.path.join(EXAMPLES, "client_node"), client,
                        ignore=shutil.ignore_patterns("node_modules"))
        os.symlink(os.path.join(os.path.abspath(yard.SOURCE), "proto"),
                   self.yard.path("tree", "proto"))
        # The user's own settings say where the registry is.
        env = dict(self.yard.env, HOME=os.environ.get("HOME", self.yard.path("home")))
        installed = self.yard.run("npm", "install", "--no-audit", "--no-fund",
                                  "--fetch-retries=1", "--fetch-timeout=30000", cwd=client,
                                  env=env, deadline=180)
        if installed.code != 0:
            lines = [line for line in installed.err.splitlines() if line.strip()]
            raise yard.Skip(f"npm install failed: {lines[0] if lines else 'no reason given'}")
        self.check("example-node", ["node", os.path.join(client, "submit_and_watch.js")], cwd=client)


class ThroughDoors(Clients):
    """The same with TLS, client certificates and a submitter's token."""

    def start(self):
        security = self.yard.path("security")
        self.yard.ctl_ok("setup", "--dir", security, "--host", "localhost")
        self.yard.start_server("--tls-cert", f"{security}/server.crt", "--tls-key",
                               f"{security}/server.key", "--tls-client-ca", f"{security}/ca.crt",
                               "--bootstrap-token-hash-file", f"{security}/bootstrap-token.hash")
        self.yard.env.update(TRAINYARD_TLS_CA=f"{security}/ca.crt",
                             TRAINYARD_TLS_CERT=f"{security}/client.crt",
                             TRAINYARD_TLS_KEY=f"{security}/client.key",
                             TRAINYARD_TOKEN_FILE=f"{security}/admin.token")
        for name, flags in (("worker", ("--role", "worker", "--worker", "w1")),
                            ("submitter", ("--role", "submitter"))):
            self.yard.ctl_ok("tokens", "create", *flags, "--out", f"{security}/{name}.token")
        self.yard.env["TRAINYARD_TOKEN_FILE"] = f"{security}/submitter.token"
        self.yard.start_worker("w1", "--data-root", self.yard.folder, "--token-file",
                               f"{security}/worker.token")


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs",
               "submit_and_watch"])
