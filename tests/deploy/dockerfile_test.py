#!/usr/bin/env python3
"""The Dockerfile itself, without building it: shellcheck over what it runs, and
no copy of something that .dockerignore keeps back."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import yard  # noqa: E402  (its folder is known only now)


def read(name):
    with open(os.path.join(yard.SOURCE, name), encoding="utf-8") as file:
        return file.read()


def instructions():
    """(KEYWORD, rest) of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in read("Dockerfile").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def copied():
    """The paths of the repository that it copies."""
    copies = [rest.split()[:-1] for word, rest in instructions()
              if word == "COPY" and not rest.startswith("--from")]
    return [path.rstrip("/") for paths in copies for path in paths]


def sent(path):
    """Whether .dockerignore lets it go to the builder."""
    kept = True
    parents = [path[:i] for i in range(1, len(path) + 1) if path[i:i + 1] in ("", "/")]
    for pattern in read(".dockerignore").splitlines():
        bare = pattern.lstrip("!").removeprefix("**/")
        if any(fnmatch.fnmatchcase(parent, bare) for parent in parents):
            kept = pattern.startswith("!")
    return kept


class Dockerfile(unittest.TestCase):
    def test_what_it_runs_is_sound_shell(self):
        if shutil.which("shellcheck") is None:
            self.skipTest("shellcheck is not installed")
        bodies = [re.sub(r"^(--\S+\s+)*", "", rest) for word, rest in instructions() if word == "RUN"]
        self.assertTrue(bodies)
        arguments = [rest.split("=")[0] for word, rest in instructions() if word == "ARG"]
        for body in bodies:
            with self.subTest(body[:60]):
                self.assertFalse(body.startswith("<<"), "not every builder knows heredocs")
                script = "".join(f"export {name}=\n" for name in arguments) + body + "\n"
                done = subprocess.run(["shellcheck", "-s", "sh", "-"], input=script, text=True,
                                      capture_output=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout)

    def test_copies_only_what_the_builder_gets(self):
        for path in copied():
            with self.subTest(path):
                self.assertTrue(os.path.exists(os.path.join(yard.SOURCE, path)))
                self.assertTrue(sent(path))
        for secret in ("deploy/secrets/grafana_admin_password", ".git/config", "build/release/x"):
            self.assertFalse(sent(secret), secret)

    def test_copies_whatever_the_build_reads_elsewhere(self):
        folders = [path for path in copied() if os.path.isdir(os.path.join(yard.SOURCE, path))]
        for folder in folders:
            for root, _, files in os.walk(os.path.join(yard.SOURCE, folder)):
                for name in files:
                    if name != "CMakeLists.txt":
                        continue
                    with open(os.path.join(root, name), encoding="utf-8") as file:
                        read_here = re.findall(r"\$\{PROJECT_SOURCE_DIR\}/([\w./-]+)", file.read())
                    for path in read_here:
                        # docs/ is read by tests, which an image has none of.
                        self.assertTrue(path.startswith("docs/") or any(
                            path == one or path.startswith(one + "/") for one in copied()),
                            f"{os.path.join(root, name)} reads {path}")

    def test_its_version_is_the_projects(self):
        (version,) = re.findall(r"(?m)^project\(trainyard VERSION (\S+)", read("CMakeLists.txt"))
        self.assertIn(("ARG", f"VERSION={version}"), instructions())

    def test_every_target_names_its_user_signal_and_program(self):
        stages, stage = {}, None
        for word, rest in instructions():
            if word == "FROM":
                base, _, stage = rest.split()
                stages[stage] = dict(stages.get(base, {}))
            elif stage:
                stages[stage][word] = rest
        for target in ("server", "worker", "cli"):
            with self.subTest(target):
                self.assertEqual(stages[target]["USER"], "10001:10001")
                self.assertEqual(stages[target]["STOPSIGNAL"], "SIGTERM")
                self.assertRegex(stages[target]["ENTRYPOINT"], r'^\["[a-z-]+"\]$')


if __name__ == "__main__":
    yard.main()
