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
        patterns = [line for line in read(".dockerignore").splitlines()
                    if line and not line.startswith("#")]

        def sent(path):
            kept = True
            parents = [path[:i] for i in range(1, len(path) + 1) if path[i:i + 1] in ("", "/")]
            for pattern in patterns:
                bare = pattern.lstrip("!").removeprefix("**/")
                if any(fnmatch.fnmatchcase(parent, bare) for parent in parents):
                    kept = pattern.startswith("!")
            return kept

        copied = [rest.split()[:-1] for word, rest in instructions()
                  if word == "COPY" and not rest.startswith("--from")]
        for path in [path.rstrip("/") for paths in copied for path in paths]:
            with self.subTest(path):
                self.assertTrue(os.path.exists(os.path.join(yard.SOURCE, path)))
                self.assertTrue(sent(path))
        for secret in ("deploy/secrets/grafana_admin_password", ".git/config", "build/release/x"):
            self.assertFalse(sent(secret), secret)

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
