#!/usr/bin/env python3
"""Prometheus' and Alertmanager's own checks of what deploy/ ships for them, and each alert
where it fires and where it must not.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import monitoring


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tools = monitoring.fetch("prometheus")

    def passes(self, tool, *arguments, cwd=monitoring.SOURCE):
        done = subprocess.run([os.path.join(self.tools, tool), *arguments], cwd=cwd,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_configurations_are_accepted(self):
        self.passes("promtool", "check", "config", "deploy/prometheus/prometheus.yml")
        self.passes("promtool", "check", "rules", "--lint-fatal", "deploy/prometheus/rules.yml")
        self.passes("amtool", "check-config", "deploy/alertmanager/alertmanager.yml")

    def test_the_commented_variants_are_accepted(self):
        """TLS, mutual TLS and a token, as prometheus.yml says to write them."""
        text = monitoring.read("deploy", "prometheus", "prometheus.yml")
        text, variants = re.subn(r"^    #   ( *[a-z_]+:.*)$", r"    \1", text, flags=re.MULTILINE)
        self.assertEqual(variants, 7)
        # Which files they name is the operator's business; here they are there.
        with tempfile.TemporaryDirectory() as folder:
            for name in ("ca.pem", "prometheus.pem", "prometheus.key", "token"):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write("secret\n")
            shutil.copy(monitoring.RULES, folder)
            path = os.path.join(folder, "prometheus.yml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace("/etc/prometheus/trainyard", folder))
            self.passes("promtool", "check", "config", "--syntax-only", path)

    def test_alerts_fire_and_do_not_fire(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(monitoring.RULES, folder)
            shutil.copy(os.path.join(monitoring.HERE, "rules_test.yml"), folder)
            self.passes("promtool", "test", "rules", "rules_test.yml", cwd=folder)


class Alerts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        groups = monitoring.load_yaml("deploy", "prometheus", "rules.yml")["groups"]
        cls.alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
        cls.tests = monitoring.load_yaml("tests", "deploy", "monitoring", "rules_test.yml")["tests"]

    def test_each_has_a_case_where_it_fires_and_one_where_it_does_not(self):
        cases = [case for test in self.tests for case in test["alert_rule_test"]]
        for rule in self.alerts:
            with self.subTest(alert=rule["alert"]):
                fires = [bool(case["exp_alerts"]) for case in cases
                         if case["alertname"] == rule["alert"]]
                self.assertIn(True, fires)
                self.assertIn(False, fires)

    def test_each_says_how_bad_it_is_what_it_is_and_what_to_do(self):
        headings = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
                    for heading in re.findall(r"^#+ (.*)$", monitoring.read("docs", "operations.md"),
                                              re.MULTILINE)}
        for rule in self.alerts:
            with self.subTest(alert=rule["alert"]):
                self.assertRegex(rule["alert"], r"^Trainyard[A-Z]\w+$")
                self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
                notes = rule["annotations"]
                self.assertEqual(set(notes), {"summary", "description", "runbook"})
                self.assertTrue(notes["summary"] and notes["description"].endswith("."))
                page, anchor = notes["runbook"].split("#")
                self.assertEqual(page, "docs/operations.md")
                self.assertIn(anchor, headings)


if __name__ == "__main__":
    monitoring.main()
