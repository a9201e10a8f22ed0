#!/usr/bin/env python3
"""The dashboards and what provisions them, without a Grafana: as source/ has them, of
Grafana's own types, in the house's form, with PromQL that parses and metrics that exist.
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import monitoring

VALUES = {"__rate_interval": "1m", "__range": "3h", "__interval": "15s", "job": "17",
          "worker": "w1|w2", "kind": "cpu", "datasource": "trainyard-prometheus"}


class Dashboards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dashboards = {name: monitoring.load(name) for name in monitoring.DASHBOARDS}

    def each(self):
        return self.dashboards.items()

    def each_panel(self):
        return [(f"{name}: {panel['title']}", panel) for name, dashboard in self.each()
                for panel in monitoring.panels(dashboard)]

    def test_json_is_what_the_source_makes(self):
        done = subprocess.run([sys.executable, "-B", os.path.join(
            monitoring.SOURCE, "deploy", "grafana", "make_dashboards.py"), "--check"],
            capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_uids_and_titles_are_unique_and_short(self):
        all_of = list(self.dashboards.values())
        for key in ("uid", "title"):
            values = [dashboard[key] for dashboard in all_of]
            self.assertEqual(len(set(values)), len(values), values)
        for dashboard in all_of:
            self.assertRegex(dashboard["uid"], r"^[a-z-]{1,40}$")
            self.assertIn("trainyard", dashboard["tags"])
            self.assertTrue(dashboard["description"])

    def test_ids_are_unique(self):
        for _, dashboard in self.each():
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(set(ids)), len(ids))

    def test_panels_fill_24_columns_and_never_overlap(self):
        for _, dashboard in self.each():
            taken = collections.Counter()
            for panel in dashboard["panels"]:
                at = panel["gridPos"]
                self.assertGreaterEqual(at["x"], 0)
                self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
                taken.update((x, y) for x in range(at["x"], at["x"] + at["w"])
                             for y in range(at["y"], at["y"] + at["h"]))
            self.assertEqual([cell for cell, times in taken.items() if times > 1], [])
            height = max(y for _, y in taken) + 1
            self.assertEqual(len(taken), 24 * height, "cells are left empty")

    def test_each_panel_says_what_it_shows_and_in_which_unit(self):
        for where, panel in self.each_panel():
            with self.subTest(where):
                self.assertTrue(panel["title"].strip())
                self.assertTrue(panel["description"].strip().endswith("."), panel["description"])
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                self.assertTrue(panel["targets"])
                self.assertTrue(panel["fieldConfig"]["defaults"]["thresholds"]["steps"])

    def test_titles_and_queries_are_not_repeated(self):
        for _, dashboard in self.each():
            titles = [panel["title"] for panel in monitoring.panels(dashboard)]
            self.assertEqual(len(set(titles)), len(titles), titles)
            # The same query may be a curve and, say, its best value.
            queries = [(panel["type"], *(t["expr"] for t in panel["targets"]))
                       for panel in monitoring.panels(dashboard)]
            self.assertEqual(len(set(queries)), len(queries))

    def test_the_data_source_is_a_variable_everywhere(self):
        for name, dashboard in self.each():
            first = dashboard["templating"]["list"][0]
            self.assertEqual((first["type"], first["query"]), ("datasource", "prometheus"))
            text = json.dumps({**dashboard, "templating": dashboard["templating"]["list"][1:]})
            uids = set(re.findall(r'"uid": "([^"]*)"', text)) - {dashboard["uid"]}
            self.assertEqual(uids, {"${datasource}"}, name)

    def test_rates_take_the_window_that_grafana_gives(self):
        for where, panel in self.each_panel():
            with self.subTest(where):
                for target in panel["targets"]:
                    for function, window in re.findall(
                            r"\b(rate|irate|increase|delta|deriv)\([^][]*\[([^]]*)\]", target["expr"]):
                        wanted = "$__range" if target["instant"] and function == "increase" else \
                            "$__rate_interval"
                        self.assertEqual(window, wanted, target["expr"])

    def test_links_lead_to_dashboards_with_variables_that_exist(self):
        variables = {d["uid"]: {v["name"] for v in d["templating"]["list"]}
                     for _, d in self.each()}
        found = collections.defaultdict(set)
        for name, dashboard in self.each():
            columns = set(re.findall(r'"options": "([^"]+)"', json.dumps(dashboard)))
            for url in re.findall(r'"url": "(/d/[^"]+)"', json.dumps(dashboard)):
                uid = re.match(r"/d/([a-z-]+)", url).group(1)
                found[name].add(uid)
                for variable in re.findall(r"[?&]var-(\w+)=", url):
                    self.assertIn(variable, variables[uid], url)
                for field in re.findall(r"__data\.fields\.(\w+)", url):
                    self.assertIn(field, columns, url)
        self.assertEqual(found["overview"], {"trainyard-job", "trainyard-workers"})

    def test_tables_show_columns_that_their_queries_have(self):
        for where, panel in self.each_panel():
            with self.subTest(where):
                if panel["type"] != "table":
                    continue
                renamed = next(t for t in panel["transformations"] if t["id"] == "organize")
                renamed = renamed["options"]["renameByName"]
                several = len(panel["targets"]) > 1
                values = {f"Value #{t['refId']}" if several else "Value" for t in panel["targets"]}
                labels = set(re.findall(r"\w+", " ".join(
                    group for t in panel["targets"] for group in re.findall(r"by \(([^)]*)\)", t["expr"]))))
                self.assertLessEqual(set(renamed), values | labels)


class Types(unittest.TestCase):
    def test_dashboards_are_of_grafanas_types(self):
        npm = monitoring.fetch("npm", monitoring.HERE)
        folder = os.path.join(npm, "types")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        shutil.copy(os.path.join(monitoring.HERE, "dashboard_types.ts"), folder)
        for name in monitoring.DASHBOARDS:
            with open(os.path.join(folder, f"{name}.ts"), "w", encoding="utf-8") as file:
                file.write("import type { StrictDashboard } from './dashboard_types';\n"
                           "export const dashboard: StrictDashboard = "
                           f"{json.dumps(monitoring.load(name), indent=1)};\n")
        with open(os.path.join(folder, "tsconfig.json"), "w", encoding="utf-8") as file:
            json.dump({"compilerOptions": {
                "noEmit": True, "strict": True, "skipLibCheck": True, "target": "es2022",
                "module": "esnext", "moduleResolution": "bundler", "types": []}}, file)
        done = subprocess.run([os.path.join(npm, "node_modules", ".bin", "tsc"), "-p", folder],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.npm = monitoring.fetch("npm", monitoring.HERE)

    def parse(self, expressions):
        done = subprocess.run(["node", os.path.join(monitoring.HERE, "parse_promql.mjs"), self.npm],
                              input=json.dumps(expressions), capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def expressions(self):
        """{where: expression} of all dashboards and rules, variables filled in."""
        found = {}
        for name in monitoring.DASHBOARDS:
            dashboard = monitoring.load(name)
            for panel in monitoring.panels(dashboard):
                for target in panel["targets"]:
                    found[f"{name}: {panel['title']}: {target['refId']}"] = target["expr"]
            for variable in dashboard["templating"]["list"]:
                if variable["type"] == "query":
                    found[f"{name}: ${variable['name']}"] = \
                        monitoring.variable_query(variable["query"]["query"])[0]
        found = {where: monitoring.fill(expr, VALUES) for where, expr in found.items()}
        for kind, name, expr in monitoring.rules():
            found[f"rules.yml: {kind} {name}"] = expr
        return found

    def test_the_parser_refuses_what_is_wrong(self):
        wrong = self.parse(["sum(rate(x[5m])", "rate(x[5m]) by", "up"])
        self.assertEqual([bool(entry["errors"]) for entry in wrong], [True, True, False])

    def test_every_expression_parses_and_asks_for_metrics_that_exist(self):
        expressions = self.expressions()
        self.assertGreater(len(expressions), 60)
        known = {monitoring.base_name(name) for name in monitoring.documented_metrics()}
        known |= monitoring.OF_PROMETHEUS
        known |= {name for kind, name, _ in monitoring.rules() if kind == "record"}
        for where, parsed in zip(expressions, self.parse(list(expressions.values()))):
            with self.subTest(where=where):
                self.assertEqual(parsed["errors"], [])
                self.assertTrue(parsed["metrics"])
                unknown = {m for m in parsed["metrics"] if monitoring.base_name(m) not in known}
                self.assertEqual(unknown, set(), "not in docs/metrics.md")


class Provisioning(unittest.TestCase):
    def test_files_agree_with_each_other(self):
        source = monitoring.read("deploy", "grafana", "provisioning", "datasources", "prometheus.yml")
        scrape = monitoring.read("deploy", "prometheus", "prometheus.yml")
        interval = re.search(r"^  scrape_interval: (\S+)", scrape, re.MULTILINE).group(1)
        self.assertIn(f"timeInterval: {interval}\n", source)
        self.assertIn("type: prometheus\n", source)
        self.assertRegex(scrape, r"job_name: trainyard")
        provider = monitoring.read("deploy", "grafana", "provisioning", "dashboards", "trainyard.yml")
        self.assertIn("type: file\n", provider)


if __name__ == "__main__":
    monitoring.main()
