#!/usr/bin/env python3
"""TLS on both ports, client certificates, tokens and their roles, workers that join."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import yard  # noqa: E402  (its folder is known only now)


class Doors(yard.TestCase):
    # ---- a server with all doors shut

    def file(self, name, folder="security"):
        return self.yard.path(folder, name)

    def setup_files(self, folder="security", *flags):
        return self.yard.ctl_ok("setup", "--dir", self.yard.path(folder), "--host", "localhost",
                                *flags)

    def start(self, *flags):
        """A server with TLS, client certificates and tokens; trainctl is its admin then."""
        self.setup_files()
        self.yard.start_server("--tls-cert", self.file("server.crt"), "--tls-key",
                               self.file("server.key"), "--tls-client-ca", self.file("ca.crt"),
                               "--bootstrap-token-hash-file", self.file("bootstrap-token.hash"),
                               *flags)
        self.yard.env.update(TRAINYARD_TLS_CA=self.file("ca.crt"),
                             TRAINYARD_TLS_CERT=self.file("client.crt"),
                             TRAINYARD_TLS_KEY=self.file("client.key"),
                             TRAINYARD_TOKEN_FILE=self.file("admin.token"))

    def metrics_address(self):
        return self.yard.server.wait_for_line(r"metrics are at https?://([^/\s]+)/").group(1)

    def token(self, role, *flags):
        return self.yard.ctl_ok("tokens", "create", "--role", role, *flags).out.strip()

    def as_token(self, token):
        env = dict(self.yard.env, TRAINYARD_TOKEN=token)
        env.pop("TRAINYARD_TOKEN_FILE", None)
        return env

    def ctl_as(self, token, *arguments):
        return self.yard.ctl(*arguments, env=self.as_token(token))

    def start_worker_with(self, name, *flags, **options):
        return self.yard.start_worker_only(
            name, "--tls-ca", self.file("ca.crt"), "--tls-cert", self.file("worker.crt"),
            "--tls-key", self.file("worker.key"), *flags, **options)

    def clean_environment(self):
        """Workers take TLS and token by flags here, not by what trainctl has."""
        for name in ("TRAINYARD_TLS_CERT", "TRAINYARD_TLS_KEY", "TRAINYARD_TLS_CA",
                     "TRAINYARD_TOKEN_FILE", "TRAINYARD_TOKEN"):
            self.yard.env.pop(name, None)

    # ---- tests

    def test_a_worker_joins_and_trains(self):
        self.start()
        join = self.file("join.token")
        self.yard.ctl_ok("tokens", "create", "--role", "worker", "--join", "--out", join)
        self.assertEqual(os.stat(join).st_mode & 0o777, 0o600)
        worker = self.start_worker_with("w1", "--token-file", join)
        worker.wait_for_line(r"^trainyard-worker w1 connected to")
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs(200, 50)))
        self.yard.wait_for_state(job, "succeeded")
        own = self.yard.path("workers", "w1", "worker.token")
        self.assertEqual(os.stat(own).st_mode & 0o777, 0o600)

        # It has its own token now: the join token, used up, does not matter any more.
        worker.send(15)
        self.assertEqual(worker.wait(), 0, worker.text())
        again = self.start_worker_with("w1", "--token-file", join)
        again.wait_for_line(r"^trainyard-worker w1 connected to")

        # The used-up token takes in no other worker, and no worker passes for another.
        second = self.start_worker_with("w2", "--token-file", join)
        self.assertEqual(second.wait(), 1)
        self.assertIn("is used up", second.text())
        thief = self.start_worker_with("w3", "--token-file", own)
        thief.wait_for_line(r'is for worker "w1"')
        thief.end()

        # Neither secret is in the state folder or a log.
        with open(own, encoding="utf-8") as file:
            secrets = [file.read().strip().split("_")[2]]
        with open(self.file("admin.token"), encoding="utf-8") as file:
            secrets.append(file.read().strip().split("_")[2])
        for folder, _, names in os.walk(self.yard.path("state")):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                for secret in secrets:
                    self.assertNotIn(secret.encode(), content, name)
        for secret in secrets:
            self.assertNotIn(secret, self.yard.logs())

        # Revoked while it is connected: it is sent away at once.
        tokens = self.yard.ctl_ok("tokens", "list", "--output", "json").json()["tokens"]
        (mine,) = [t["name"] for t in tokens if t.get("worker") == "w1"]
        self.yard.ctl_ok("tokens", "revoke", mine)
        again.wait_for_line(r"was revoked at")
        self.assertRegex(self.yard.server.text(), r"audit: token \w+ revoked by token")

    def test_without_a_certificate_nobody_gets_in(self):
        self.start()
        env = dict(self.yard.env)
        del env["TRAINYARD_TLS_CERT"], env["TRAINYARD_TLS_KEY"]
        refused = self.yard.ctl("list", env=env)
        self.assertEqual(refused.code, 3, str(refused))
        self.assertIn("client certificate", refused.err)
        # A server of another CA is not believed, and one of another name neither.
        self.setup_files("other")
        wrong = self.yard.ctl("--tls-ca", self.file("ca.crt", "other"), "list")
        self.assertEqual(wrong.code, 3, str(wrong))
        self.assertIn("not signed by the CA in --tls-ca (TRAINYARD_TLS_CA)", wrong.err)
        named = self.yard.ctl("--tls-server-name", "other.example", "list")
        self.assertEqual(named.code, 3, str(named))
        # A client certificate of another CA does not do.
        foreign = self.yard.ctl("--tls-cert", self.file("client.crt", "other"), "--tls-key",
                                self.file("client.key", "other"), "list")
        self.assertEqual(foreign.code, 3, str(foreign))
        # Plain text meets no answer.
        for name in ("TRAINYARD_TLS_CA", "TRAINYARD_TLS_CERT", "TRAINYARD_TLS_KEY"):
            del self.yard.env[name]
        plain = self.yard.ctl("list")
        self.assertEqual(plain.code, 3, str(plain))
        self.assertIn("a server with TLS needs --tls-ca (TRAINYARD_TLS_CA)", plain.err)
        for result in (refused, wrong, named, foreign, plain):
            self.assertNotRegex(result.err, r"\.cc:\d+|SSL_ERROR|last error")
            self.assertIn(f"server {self.yard.address} cannot be reached", result.err)

    def test_tls_where_there_is_none_is_told(self):
        self.setup_files()
        self.yard.start_server()
        result = self.yard.ctl("--tls-ca", self.file("ca.crt"), "list")
        self.assertEqual(result.code, 3, str(result))
        self.assertIn(f"server {self.yard.address} cannot be reached: it does not speak TLS there: "
                      "leave --tls-ca (TRAINYARD_TLS_CA) out", result.err)

    def test_old_tls_is_refused(self):
        self.start()
        for address in (self.yard.address, self.metrics_address()):
            host, port = address.rsplit(":", 1)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.load_cert_chain(self.file("client.crt"), self.file("client.key"))
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            with self.assertRaises(OSError):
                with socket.create_connection((host, int(port)), 10) as plain:
                    context.wrap_socket(plain).close()

    def test_each_role_may_what_it_may(self):
        self.start()
        viewer, submitter = self.token("viewer"), self.token("submitter")
        worker = self.token("worker", "--worker", "w1")
        admin = self.token("admin", "--name", "second")
        source = {"path": self.yard.path("home")}
        spec = self.yard.job_file(yard.glyphs_job("", data={"format": "idx", "source": source}))
        calls = {  # who may
            ("list",): "viewer submitter admin",
            ("workers",): "viewer submitter admin",
            ("submit", spec): "submitter admin",
            ("cancel", "1"): "submitter admin",
            ("get", "1"): "viewer submitter admin",
            ("artifacts", "upload", "BLOB"): "submitter admin worker",
            ("artifacts", "list"): "viewer submitter admin",
            ("tokens", "list"): "admin",
            ("tokens", "create", "--role", "viewer"): "admin",
            ("drain", "w1"): "admin",
            ("whoami",): "viewer submitter admin worker",
            ("version",): "viewer submitter admin worker",
        }
        roles = {"admin": admin, "submitter": submitter, "viewer": viewer, "worker": worker}
        for call, allowed in calls.items():
            for role, token in roles.items():
                # Content of its own: what is there already is not sent again.
                blob = self.yard.write(f"blob-{role}", f"bytes of {role}")
                result = self.ctl_as(token, *[blob if word == "BLOB" else word for word in call])
                denied = "needs the role" in result.err or "needs a join" in result.err
                self.assertEqual(denied, role not in allowed.split(), f"{role}: {result}")
                if denied:
                    self.assertEqual(result.code, 6, str(result))
                    self.assertIn(f"has the role {role}", result.err)
        me = self.ctl_as(viewer, "whoami")
        self.assertIn("viewer at", me.out)
        self.assertRegex(self.yard.server.text(), r"audit: denied JobService/SubmitJob to ")

    def test_a_token_that_is_no_good(self):
        self.start()
        env = dict(self.yard.env)
        del env["TRAINYARD_TOKEN_FILE"]
        none = self.yard.ctl("list", env=env)
        self.assertEqual(none.code, 6, str(none))
        self.assertIn("no token was sent", none.err)
        unknown = self.ctl_as("ty_" + "a" * 12 + "_" + "b" * 52, "list")
        self.assertIn("is not known", unknown.err)
        short = self.token("viewer", "--lifetime", "1s")
        yard.poll(lambda: "expired at" in self.ctl_as(short, "list").err, "end of the token")
        gone = self.token("viewer")
        self.assertEqual(self.ctl_as(gone, "list").code, 0)
        self.yard.ctl_ok("tokens", "revoke", gone.split("_")[1])
        self.assertIn("was revoked", self.ctl_as(gone, "list").err)
        # The last admin stays, over a restart too.
        with open(self.file("admin.token"), encoding="utf-8") as file:
            admin = file.read().split("_")[1]
        last = self.yard.ctl("tokens", "revoke", admin)
        self.assertIn("the last admin", last.err)
        self.yard.server.kill()
        self.start()
        self.assertIn("was revoked", self.ctl_as(gone, "list").err)
        self.yard.ctl_ok("list")

    def test_open_on_loopback_until_the_first_token(self):
        self.yard.start_server()
        self.assertIn("needs no token", self.yard.ctl_ok("whoami").out)
        first = self.yard.ctl("tokens", "create", "--role", "viewer")
        self.assertIn("the first token must be an admin's", first.err)
        none = self.yard.ctl("tokens", "create", "--role", "worker", "--join", "--uses", "0")
        self.assertEqual(none.code, 2, str(none))
        self.assertIn("--uses: 0: must be a whole number from 1", none.err)
        admin = self.token("admin")
        self.assertEqual(self.yard.ctl("list").code, 6)
        self.assertEqual(self.ctl_as(admin, "list").code, 0)

    def test_the_http_port(self):
        if shutil.which("curl") is None:
            raise yard.Skip("curl is missing")
        self.start()
        address = self.metrics_address()

        def curl(page, *flags):
            return self.yard.run("curl", "-sS", "--max-time", "20", "--noproxy", "*",
                                 "--cacert", self.file("ca.crt"), *flags,
                                 f"https://{address}{page}")
        own = ("--cert", self.file("client.crt"), "--key", self.file("client.key"))
        metrics = curl("/metrics", *own)
        self.assertIn("trainyard_build_info{", metrics.out, str(metrics))
        self.assertNotIn("exposer_", metrics.out)
        self.assertIn("needs a client certificate", curl("/metrics").out)
        self.assertEqual(curl("/healthz").out, "ok\n")
        self.assertEqual(curl("/readyz").out, "ok\n")
        health = self.yard.run(yard.program("trainyard-server"), "--health", "--metrics-address",
                               address)
        self.assertEqual((health.code, health.out), (0, "ready\n"), str(health))
        self.yard.server.send(15)
        self.assertEqual(self.yard.server.wait(), 0, self.yard.server.text())
        health = self.yard.run(yard.program("trainyard-server"), "--health", "--metrics-address",
                               address)
        self.assertEqual(health.code, 1, str(health))
        self.assertIn("does not answer", health.err)

    def test_certificates_are_taken_in_while_it_runs(self):
        self.start()

        def shown(address):
            """The server's certificate, as a client sees it."""
            host, port = address.rsplit(":", 1)
            context = ssl.create_default_context(cafile=self.file("ca.crt"))
            context.load_cert_chain(self.file("client.crt"), self.file("client.key"))
            with socket.create_connection((host, int(port)), 20) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as tls:
                    return tls.getpeercert(True)
        addresses = (self.yard.address, self.metrics_address())
        before = {address: shown(address) for address in addresses}
        made = self.setup_files("security", "--force").out
        self.assertIn("server.crt", made)
        for address in addresses:
            yard.poll(lambda: shown(address) != before[address], f"new certificate at {address}",
                      60)
        self.yard.ctl_ok("list")

    def test_no_port_is_open_to_the_network_by_mistake(self):
        def refused(*flags):
            result = self.yard.run(yard.program("trainyard-server"), "--state-dir",
                                   self.yard.path("state"), *flags)
            self.assertEqual(result.code, 2, str(result))
            return result.err
        self.assertIn("there is no TLS", refused("--listen", "0.0.0.0:0"))
        self.assertIn("--metrics-address", refused("--listen", "127.0.0.1:0", "--metrics-address",
                                                   "0.0.0.0:0"))
        self.setup_files()
        tls = ("--tls-cert", self.file("server.crt"), "--tls-key", self.file("server.key"))
        self.assertIn("--auth off", refused("--listen", "0.0.0.0:0", "--auth", "off", *tls))
        # Wrong files are named.
        result = self.yard.run(yard.program("trainyard-server"), "--state-dir",
                               self.yard.path("state"), "--listen", "127.0.0.1:0", "--tls-cert",
                               self.file("server.crt"), "--tls-key", self.file("client.key"))
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("--tls-key: ", result.err)
        # And a token does not leave in plain text.
        result = self.yard.ctl("--server", "yard.example:7070", "--token-file",
                               self.file("admin.token"), "list")
        self.assertEqual(result.code, 2, str(result))
        self.assertIn("plain text", result.err)

    def test_a_taken_port_is_said_in_words(self):
        self.yard.start_server()
        for flags in (("--listen", self.yard.address, "--metrics-address", "off"),
                      ("--listen", "127.0.0.1:0", "--metrics-address", self.metrics_address())):
            result = self.yard.run(yard.program("trainyard-server"), "--state-dir",
                                   self.yard.path("state2"), *flags)
            self.assertEqual(result.code, 1, str(result))
            self.assertIn("another program has the port", result.err)
            self.assertNotRegex(result.err, r"\.cc:\d+")

    def test_setup_is_repeatable_and_openssl_agrees(self):
        made = self.setup_files().out
        self.assertIn("trainyard-server --listen", made)
        again = self.setup_files().out
        self.assertNotIn("made in", again)
        for name in os.listdir(self.yard.path("security")):
            self.assertEqual(os.stat(self.file(name)).st_mode & 0o777, 0o600, name)
        if shutil.which("openssl") is None:
            raise yard.Skip("openssl is missing")
        for name, purpose in (("server", "sslserver"), ("client", "sslclient"),
                              ("worker", "sslclient")):
            done = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", purpose,
                                   "-CAfile", self.file("ca.crt"), self.file(name + ".crt")],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
