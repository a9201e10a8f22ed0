"""deploy/cloud: the Terraform module, the cloud-init files it makes, the price file."""

import base64
import glob
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
import yard  # noqa: E402

MODULE = os.path.join(yard.SOURCE, "deploy", "cloud", "aws")

# What our files use of cloud-init; its schema lets unknown top-level keys pass.
CLOUD_INIT_KEYS = {"packages", "write_files", "runcmd"}

TEMPLATES = {
    "server": [{
        "region": "eu-central-1", "image": "example.org/server:1", "secrets_prefix": "/trainyard",
        "secrets": ["ca.crt", "server.key"], "volume_serial": "vol0123", "grpc_port": 7070,
        "metrics_port": 9464}],
    "worker": [{
        "region": "eu-central-1", "image": "example.org/worker:1", "secrets_prefix": "/trainyard",
        "secrets": ["ca.crt", "join.token"], "server": "10.0.0.10:7070", "gpu": gpu,
        "idle_limit": idle, "labels": {"market": "spot"}}
               for gpu, idle in [(True, "15m"), (False, "")]],
}


def need(program, package):
    if not shutil.which(program):
        raise yard.Skip(f"{program} is missing ({package})")


def provider_mirror():
    """A folder with the AWS provider, where this machine has one."""
    roots = ["/opt/*", "/usr/share/terraform/*", "/usr/local/share/terraform/*",
             os.path.expanduser("~/.terraform.d/plugins"), os.path.expanduser("~/.terraform.d")]
    for root in roots:
        for found in glob.glob(os.path.join(root, "registry.terraform.io", "hashicorp", "aws")):
            return os.path.dirname(os.path.dirname(os.path.dirname(found)))
    return None


class Terraform(yard.TestCase):
    def setUp(self):
        super().setUp()
        need("terraform", "from its maker")
        self.folder = self.yard.path("module")
        shutil.copytree(MODULE, self.folder, ignore=shutil.ignore_patterns(".terraform*"))

    def terraform(self, *arguments, stdin=None):
        env = dict(os.environ, CHECKPOINT_DISABLE="1", TF_IN_AUTOMATION="1",
                   HOME=self.yard.path("home"))
        env.pop("TF_CLI_CONFIG_FILE", None)
        return subprocess.run(["terraform", *arguments], cwd=self.folder, env=env, input=stdin,
                              capture_output=True, text=True, timeout=240, check=False)

    def ok(self, *arguments, **options):
        done = self.terraform(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def init(self):
        mirror = provider_mirror()
        if mirror is None:
            raise yard.Skip("no mirror of the provider hashicorp/aws on this machine")
        self.ok("init", "-backend=false", "-input=false", "-no-color", f"-plugin-dir={mirror}")

    def test_is_formatted(self):
        self.ok("fmt", "-check", "-recursive", "-no-color")

    def test_is_valid(self):
        self.init()
        self.ok("validate", "-no-color")
        # The check can fail.
        with open(os.path.join(self.folder, "outputs.tf"), "a", encoding="utf-8") as file:
            file.write('output "wrong" { value = aws_instance.server.no_such_attribute }\n')
        self.assertNotEqual(self.terraform("validate", "-no-color").returncode, 0)

    def test_makes_what_it_should(self):
        self.init()
        self.assertRegex(self.ok("test", "-no-color"), r"\d+ passed, 0 failed")


class CloudInit(yard.TestCase):
    """The cloud-init files, filled in by Terraform itself."""

    def setUp(self):
        super().setUp()
        need("terraform", "from its maker")

    texts = {}  # of what Terraform takes seconds for

    def rendered(self, name, values):
        key = json.dumps([name, values])
        if key not in self.texts:
            self.texts[key] = self.render(name, values)
        return self.texts[key]

    def render(self, name, values):
        path = os.path.join(MODULE, "templates", f"{name}.yaml.tftpl")
        # As base64, since the console prints a text with quotes and escapes.
        expression = (f"base64encode(templatefile({json.dumps(path)}, "
                      f"jsondecode({json.dumps(json.dumps(values))})))")
        env = dict(os.environ, CHECKPOINT_DISABLE="1", HOME=self.yard.path("home"))
        env.pop("TF_CLI_CONFIG_FILE", None)
        done = subprocess.run(["terraform", "console"], input=expression, cwd=self.yard.path("home"),
                              env=env, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return base64.b64decode(done.stdout.strip().strip('"')).decode()

    def files(self):
        """name → (path on this machine, content), for each template and set of values."""
        for name, cases in TEMPLATES.items():
            for number, values in enumerate(cases):
                text = self.rendered(name, values)
                yield name, values, self.yard.write(f"{name}-{number}.yaml", text), text

    def test_cloud_init_takes_them(self):
        fetched = subprocess.run([os.path.join(yard.SOURCE, "tests", "deploy", "fetch_tools.sh"),
                                  "cloud-init"], capture_output=True, text=True, timeout=280,
                                 check=False)
        if fetched.returncode == 77:
            raise yard.Skip(fetched.stdout.strip().removeprefix("skipped: "))
        self.assertEqual(fetched.returncode, 0, fetched.stderr)
        program = os.path.join(fetched.stdout.splitlines()[-1], "cloud-init")

        def check(path):
            return subprocess.run([program, "schema", "-c", path], capture_output=True, text=True,
                                  timeout=60, check=False)
        for _, _, path, _ in self.files():
            done = check(path)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # The check can fail.
        wrong = self.yard.write("wrong.yaml", "#cloud-config\nwrite_files: [{content: 1}]\n")
        self.assertNotEqual(check(wrong).returncode, 0)

    def parsed(self):
        try:
            import yaml
        except ImportError:
            raise yard.Skip("python3-yaml is missing") from None
        for name, values, _, text in self.files():
            yield name, values, yaml.safe_load(text)

    def test_their_keys_scripts_and_units_are_right(self):
        for name, _, config in self.parsed():
            self.assertLessEqual(set(config), CLOUD_INIT_KEYS)
            for file in config["write_files"]:
                self.assertTrue(file["path"].startswith("/"))
                if file["content"].startswith("#!/bin/sh"):
                    self.assertEqual(file["permissions"], "0755")
                    self.check_script(file["content"])
                else:
                    self.assertIn("[Service]", file["content"], name)
                    self.check_flags(name, file["content"])

    def check_script(self, text):
        path = self.yard.write("script.sh", text)
        checker = ["shellcheck", "-s", "sh", path] if shutil.which("shellcheck") else ["sh", "-n", path]
        done = subprocess.run(checker, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def check_flags(self, name, unit):
        """Each flag after the image is one that the program knows."""
        start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
        arguments = start.split(f"example.org/{name}:1", 1)[1]
        used = re.findall(r"(?:^| )(--[a-z-]+)", arguments)
        self.assertIn("--tls-cert", used)
        text = subprocess.run([yard.program(f"trainyard-{name}"), "--help"], capture_output=True,
                              text=True, timeout=60, check=True).stdout
        known = set(re.findall(r"--[a-z-]+", text))
        self.assertEqual([flag for flag in used if flag not in known], [])

    def test_a_worker_without_idle_limit_stays(self):
        for name, values, config in self.parsed():
            if name != "worker":
                continue
            units = "".join(file["content"] for file in config["write_files"])
            self.assertEqual("--idle-limit" in units, values["idle_limit"] != "")
            self.assertEqual("--gpus all" in units, values["gpu"])


class Metadata:
    """AWS' metadata service on loopback: no spot notice until `action` is set."""

    def __init__(self):
        outer = self
        self.action = None

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, code, text):
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_PUT(self):
                known = self.path == "/latest/api/token"
                self.answer(200 if known else 404, "a token" if known else "")

            def do_GET(self):
                if self.headers.get("X-aws-ec2-metadata-token") != "a token":
                    self.answer(401, "")
                elif self.path == "/latest/meta-data/spot/instance-action" and outer.action:
                    self.answer(200, outer.action)
                else:
                    self.answer(404, "")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class CloudWorker(yard.TestCase):
    def setUp(self):
        super().setUp()
        self.metadata = Metadata()
        self.addCleanup(self.metadata.close)
        self.yard.start_server()

    def test_drains_on_a_spot_notice(self):
        worker = self.yard.start_worker("spot", "--cloud", "aws", "--metadata-endpoint",
                                        self.metadata.endpoint)
        job = self.yard.submit(yard.glyphs_job(self.yard.glyphs(), epochs=1000))
        self.yard.wait_for_step(job, 5)
        gone = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
        self.metadata.action = json.dumps({"action": "terminate", "time": gone})
        self.assertEqual(worker.wait(), 0)
        self.assertIn("spot notice", worker.text())
        left = self.yard.wait_for_state(job, "queued")
        self.assertGreaterEqual(left["checkpoint"]["step"], 5)
        self.assertEqual(left["attempts"][0]["outcome"], "preempted")
        # Another machine goes on from there.
        self.yard.start_worker("other")
        self.yard.wait_for_step(job, left["checkpoint"]["step"] + 1)

    def test_leaves_when_it_is_idle_and_ends_its_machine(self):
        ended = self.yard.path("machine-ended")
        worker = self.yard.start_worker("idle", "--idle-limit", "2s", "--idle-command",
                                        f"touch {ended}")
        self.assertEqual(worker.wait(), 0)
        self.assertTrue(os.path.exists(ended))
        # Not one that was told to go.
        told = self.yard.start_worker("told", "--idle-limit", "10m", "--idle-command",
                                      f"touch {ended}-again")
        told.send(signal.SIGTERM)
        self.assertEqual(told.wait(), 0)
        self.assertFalse(os.path.exists(f"{ended}-again"))


class Estimate(yard.TestCase):
    def estimate(self, *arguments):
        return self.yard.ctl("cloud", "estimate", *arguments)

    def test_prints_the_table_of_the_documentation(self):
        done = self.estimate("--hours", "2")
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.out, r"INSTANCE +CLOUD +MEMORY +GPU +\$/H +SPOT \$/H +HOURS +TOTAL \$")
        for instance in ("g4dn.xlarge", "p3.8xlarge", "n1-standard-32", "NC24s_v3"):
            self.assertIn(instance, done.out)
        self.assertRegex(done.out, r"prices of \d{4}-\d\d-\d\d")

    def test_takes_what_the_job_asks_for(self):
        spec = yard.glyphs_job("/data", epochs=1)
        spec["resources"]["devices"] = [{"kind": "cuda", "count": 4, "min_memory_bytes": 8 << 30}]
        done = self.estimate(self.yard.job_file(spec), "--hours", "10", "--on", "V100",
                             "--cloud", "aws", "--output", "json")
        self.assertEqual(done.code, 0, done)
        chosen = [row for row in done.json()["instances"] if row["chosen"]]
        self.assertEqual([row["instance"] for row in chosen], ["p3.8xlarge"])
        self.assertAlmostEqual(chosen[0]["dollars"], 122.4)
        # A job for CPUs has no use for it.
        done = self.estimate(self.yard.job_file(yard.glyphs_job("/data")), "--hours", "1")
        self.assertNotEqual(done.code, 0)
        self.assertIn("asks for no cuda device", done.err)

    def test_prices_can_be_ones_own(self):
        with open(os.path.join(yard.SOURCE, "deploy", "cloud", "prices.yaml"),
                  encoding="utf-8") as file:
            text = file.read()
        cheaper = self.yard.write("prices.yaml", re.sub(r"dollars: 12\.24", "dollars: 0.01", text))
        done = self.estimate("--hours", "1", "--prices", cheaper, "--output", "json")
        chosen = [row["instance"] for row in done.json()["instances"] if row["chosen"]]
        self.assertEqual(chosen, ["p3.8xlarge"])
        wrong = self.yard.write("wrong.yaml", text.replace("dollars: 3.06", "dollars: -1", 1))
        done = self.estimate("--hours", "1", "--prices", wrong)
        self.assertNotEqual(done.code, 0)
        self.assertIn("instances[1].dollars", done.err)

    def test_says_when_nothing_fits(self):
        done = self.estimate("--hours", "1", "--gpu-memory", "80GiB")
        self.assertNotEqual(done.code, 0)
        self.assertIn("no instance of the price file fits", done.err)
        self.assertIn("GPU has 16 GiB, not 80", done.out)


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
