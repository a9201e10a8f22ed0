"""Images of the repository's Dockerfile, built and run without a daemon: buildah
and podman on a store of their own below the build folder.

    store = containers.Store(folder)
    store.require_tools()                    # else yard.Skip, naming what is missing
    store.build("server")
    run = store.run("server", "--listen", "127.0.0.1:0", log=path)
    run.wait_for_line("listening on")
    run.stop(30)                             # podman stop: the image's STOPSIGNAL, then SIGKILL

The base, a Debian 13, is made with mmdebstrap once per store. Layers whose
sources did not change are taken from the store; compile results from a cache
inside ccache's folder, so that whatever keeps that keeps both.
"""

import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import yard  # noqa: E402  (its folder is known only now)

BASE = "localhost/trainyard-base:trixie"
SUITE = "trixie"
TOOLS = ("buildah", "podman", "runc", "mmdebstrap")

# No daemon, no systemd, no network of its own: the test runs inside containers
# as well as on machines.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""

# As deploy/compose.yaml and the chart run them.
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
            "--user=10001:10001")


def image(target):
    return f"localhost/trainyard-{target}:test"


class Store:
    def __init__(self, folder):
        self.folder = folder
        self.options = ["--storage-driver", "overlay", "--root", os.path.join(folder, "root"),
                        "--runroot", os.path.join(folder, "run")]
        os.makedirs(folder, exist_ok=True)
        self.conf = os.path.join(folder, "containers.conf")
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(CONTAINERS_CONF)
        ccache = os.environ.get("CCACHE_DIR") or os.path.expanduser("~/.cache/ccache")
        # buildah keeps what RUN --mount=type=cache mounts below TMPDIR.
        self.tmp = os.path.join(ccache, "trainyard-image")
        os.makedirs(self.tmp, exist_ok=True)
        self.env = dict(os.environ, CONTAINERS_CONF=self.conf, TMPDIR=self.tmp)

    @staticmethod
    def require_tools():
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise yard.Skip(f"not installed: {', '.join(missing)}")
        if os.geteuid() != 0:
            raise yard.Skip("building and running images without a daemon needs root here")

    def call(self, *command, deadline=yard.DEADLINE, check=True):
        done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace",
                              timeout=deadline, env=self.env, check=False)
        result = yard.Result([str(part) for part in command], done.returncode, done.stdout,
                             done.stderr)
        if check and done.returncode != 0:
            raise AssertionError(str(result))
        return result

    def buildah(self, *arguments, **options):
        return self.call("buildah", *self.options, *arguments, **options)

    def podman(self, *arguments, **options):
        return self.call("podman", *self.options, *arguments, **options)

    def has(self, name):
        return self.buildah("images", "-q", name, check=False).code == 0

    # ---- building

    def bound(self, most_bytes=15e9):
        """Empties the store once the layers of earlier sources fill it."""
        used = self.call("du", "-sxB1", self.folder, deadline=300, check=False).out.split()
        if used and int(used[0]) > most_bytes:
            print(f"emptying {self.folder}: {int(used[0]) / 1e9:.1f} GB", flush=True)
            self.buildah("rmi", "--all", "--force", deadline=300)

    def make_base(self):
        """A Debian of today in place of debian:trixie-slim, which cannot be pulled everywhere."""
        if self.has(BASE):
            return
        context = os.path.join(self.folder, "base")
        os.makedirs(context, exist_ok=True)
        made = self.call("mmdebstrap", "--quiet", "--variant=minbase",
                         "--include=ca-certificates", SUITE, os.path.join(context, "base.tar"),
                         deadline=600, check=False)
        if made.code != 0:
            raise yard.Skip(f"no Debian {SUITE} to be had from here: {made.err.strip()[-400:]}")
        with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as file:
            file.write("FROM scratch\nADD base.tar /\n")
        self.buildah("bud", "--format", "docker", "-t", BASE, context, deadline=300)
        shutil.rmtree(context)

    def build(self, target, source=yard.SOURCE, deadline=2400):
        """Seconds it took. What it prints goes on to standard output."""
        started = time.monotonic()
        subprocess.run(["buildah", *self.options, "bud", "--pull-never", "--layers",
                        "--isolation", "chroot", "--format", "docker",
                        "--build-arg", f"BASE={BASE}", "--target", target, "-t", image(target),
                        source],
                       stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=deadline,
                       env=self.env, check=True)
        return time.monotonic() - started

    def describe(self, target):
        """The image's configuration."""
        return json.loads(self.podman("image", "inspect", image(target)).out)[0]

    # ---- running

    def run(self, target, *arguments, log, name=None, options=()):
        return Container(self, name, yard.Process(
            ["podman", *self.options, "run", "--pull=never", "--no-healthcheck", "--rm",
             *(["--name", name] if name else []), *HARDENED, *options, image(target),
             *(str(argument) for argument in arguments)], log, self.env))


class Container:
    """A container in the foreground of a podman that the test started."""

    def __init__(self, store, name, process):
        self.store, self.name, self.process = store, name, process

    def wait_for_line(self, pattern, deadline=yard.DEADLINE):
        return self.process.wait_for_line(pattern, deadline)

    def text(self):
        return self.process.text()

    def exec(self, *command):
        return self.store.podman("exec", self.name, *command, check=False)

    def stop(self, grace):
        """As an orchestrator does; (exit status, seconds). 137: it had to be killed."""
        started = time.monotonic()
        self.store.podman("stop", "--time", grace, self.name, deadline=grace + 60)
        code = self.process.wait()
        return code, time.monotonic() - started

    def end(self):
        if self.process.popen.poll() is None:
            self.store.podman("kill", "--signal", "KILL", self.name, check=False)
            try:
                self.process.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
