"""What the Helm chart does with its values: what each switch makes and takes away, what is refused and why, what it tells
KEDA, people and Prometheus, and that its copies and its documents are up to date."""

import base64
import filecmp
import hashlib
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import helm_chart  # noqa: E402  (its folder is known only now)
import helm_checks as checks  # noqa: E402

yard = helm_chart.yard
HELM = os.path.join(yard.SOURCE, "helm")
FILES = os.path.join(helm_chart.CHART, "files")
HERE = helm_chart.HERE


class FlagsTest(helm_chart.ChartTest):
    """What is off is gone, what is on is there."""

    def test_switches(self):
        def kinds(**values):
            return {(one["kind"], one["metadata"]["name"].removeprefix("rel-trainyard"))
                    for one in self.chart.render_values(values)}
        plain = kinds()
        prometheus = {"enabled": True, "serverAddress": "http://prometheus:9090"}
        cases = [  # values, what comes, what goes
            ({"serviceAccount": {"create": False, "name": "x"}}, set(), {("ServiceAccount", "")}),
            ({"networkPolicy": {"enabled": False}}, set(),
             {("NetworkPolicy", "-deny-all"), ("NetworkPolicy", "-server"), ("NetworkPolicy", "-worker")}),
            ({"server": {"podDisruptionBudget": {"enabled": False}}}, set(), {("PodDisruptionBudget", "-server")}),
            ({"workerDefaults": {"podDisruptionBudget": {"enabled": False}}}, set(), {("PodDisruptionBudget", "-worker-cpu")}),
            ({"workerPools": {"cpu": {"enabled": False}}}, set(),
             {("Deployment", "-worker-cpu"), ("PodDisruptionBudget", "-worker-cpu")}),
            ({"workerPools": {"cpu": None}}, set(), {("Deployment", "-worker-cpu"), ("PodDisruptionBudget", "-worker-cpu")}),
            ({"workerPools": {"cuda": {"enabled": True}}},
             {("Deployment", "-worker-cuda"), ("PodDisruptionBudget", "-worker-cuda")}, set()),
            ({"workerPools": {"spot": {"enabled": True}}}, {("Deployment", "-worker-spot")}, set()),
            ({"workerPools": {"new": {}}}, {("Deployment", "-worker-new"), ("PodDisruptionBudget", "-worker-new")}, set()),
            ({"workerPools": {"cpu": {"kind": "StatefulSet", "cache": {"type": "persistentClaim"}}}}, {("StatefulSet", "-worker-cpu"), ("Service", "-worker-cpu")},
             {("Deployment", "-worker-cpu")}),
            ({"workerPools": {"cpu": {"autoscaling": prometheus}}}, {("ScaledObject", "-worker-cpu")}, set()),
            ({"tls": {"mode": "none"}, "tokens": {"mode": "none"}, "server": {"insecure": True}}, set(),
             {("Secret", "-server-tls"), ("Secret", "-admin-token")}),
            ({"tokens": {"mode": "existingSecret", "existingSecret": "x"}}, set(), {("Secret", "-admin-token")}),
            ({"tls": {"mode": "existingSecret", "existingSecret": "x"}}, set(), {("Secret", "-server-tls")}),
            ({"tls": {"mutual": True}}, {("Secret", "-worker-tls"), ("Secret", "-client-tls")}, set()),
            ({"tls": {"mode": "certManager", "certManager": {"issuerRef": {"name": "x"}}}}, {("Certificate", "-server-tls")},
             {("Secret", "-server-tls")}),
            ({"ingress": {"enabled": True, "hosts": ["a.example.com"]}}, {("Ingress", "")}, set()),
            ({"gateway": {"enabled": True, "parentRefs": [{"name": "x"}]}}, {("GRPCRoute", "")}, set()),
            ({"monitoring": {"serviceMonitor": {"enabled": True}}}, {("ServiceMonitor", "-server")}, set()),
            ({"monitoring": {"prometheusRule": {"enabled": True}}}, {("PrometheusRule", "-server")}, set()),
            ({"monitoring": {"dashboards": {"enabled": True}}},
             {("ConfigMap", f"-dashboard-{name.removesuffix('.json')}") for name in os.listdir(os.path.join(FILES, "dashboards"))},
             set()),
        ]
        for values, comes, goes in cases:
            with self.subTest(json.dumps(values)):
                now = kinds(**values)
                self.assertEqual(now - plain, comes)
                self.assertEqual(plain - now, goes)

    def worker(self, pool="cpu", **values):
        found = [one for one in self.chart.render_values({"workerPools": {pool: {"enabled": True, **values}}})
                 if one["kind"] in checks.WORKLOADS and one["metadata"]["name"] == f"rel-trainyard-worker-{pool}"]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_a_pool_is_the_defaults_with_its_own_values(self):
        cuda = self.worker("cuda", replicas=0, image={"tag": "0.1.0-cuda"}, nodeSelector={"a": "b"})
        self.assertEqual(cuda["spec"]["replicas"], 0)
        container = checks.containers(cuda)[0]
        self.assertEqual(container["image"], "trainyard-worker:0.1.0-cuda")
        self.assertEqual(container["resources"], {"requests": {"cpu": "4", "memory": "16Gi"},
                                                  "limits": {"memory": "32Gi", "nvidia.com/gpu": 1}})
        self.assertEqual(checks.pod(cuda)["nodeSelector"], {"a": "b"})
        self.assertIn({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, checks.pod(cuda)["tolerations"])
        # A pool's image replaces tag and digest of the common one.
        digest = "sha256:" + "1" * 64
        objects = self.chart.render_values({"image": {"worker": {"digest": digest}}, "workerPools": {
            "cpu": {}, "cuda": {"enabled": True, "image": {"tag": "x"}}}})
        images = {one["metadata"]["name"]: checks.containers(one)[0]["image"] for one in objects if one["kind"] == "Deployment"}
        self.assertEqual(images, {"rel-trainyard-worker-cpu": f"trainyard-worker@{digest}",
                                  "rel-trainyard-worker-cuda": "trainyard-worker:x"})

    def test_spot_workers_go_where_spot_nodes_are_and_leave_in_time(self):
        spot = checks.pod(self.worker("spot"))
        keys = {toleration["key"] for toleration in spot["tolerations"]}
        self.assertLessEqual({"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"}, keys)
        terms = spot["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        self.assertIn("eks.amazonaws.com/capacityType", {term["matchExpressions"][0]["key"] for term in terms})
        self.assertLess(spot["terminationGracePeriodSeconds"], 30)

    def test_caches(self):
        def volumes(**cache):
            one = self.worker(**({"kind": "StatefulSet"} if cache["type"] == "persistentClaim" else {}), cache=cache)
            return one, [volume for volume in checks.pod(one)["volumes"] if volume["name"] == "work"]
        self.assertEqual(volumes(type="emptyDir", size="7Gi")[1][0]["emptyDir"], {"sizeLimit": "7Gi"})
        claim = volumes(type="ephemeralClaim", size="7Gi")[1][0]["ephemeral"]["volumeClaimTemplate"]["spec"]
        self.assertEqual(claim["resources"], {"requests": {"storage": "7Gi"}})
        one, none = volumes(type="persistentClaim", size="7Gi", storageClassName="fast")
        self.assertEqual(none, [])
        self.assertEqual(one["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"], "fast")

    def test_a_worker_sees_the_authority_and_not_the_servers_key(self):
        tls = [volume for volume in checks.pod(self.worker())["volumes"] if volume["name"] == "tls"][0]
        self.assertEqual(tls["secret"]["items"], [{"key": "ca.crt", "path": "ca.crt"}])

    def test_an_upgrade_keeps_the_certificates(self):
        if self.chart.helm:
            return print("not checked: helm template looks nothing up")

        def secrets(objects):
            return {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "Secret"}
        first = self.chart.render_values({"tls": {"mutual": True}})
        self.assertEqual(len(secrets(first)), 4)
        self.assertEqual(secrets(self.chart.render_values({"tls": {"mutual": True}}, there=list(first))), secrets(first))
        # One that is missing makes all anew: the key of their CA is gone.
        fewer = [one for one in first if one["metadata"]["name"] != "rel-trainyard-client-tls"]
        again = secrets(self.chart.render_values({"tls": {"mutual": True}}, there=fewer))
        self.assertEqual(again.pop("rel-trainyard-admin-token"), secrets(first)["rel-trainyard-admin-token"])
        self.assertEqual(len({data["ca.crt"] for data in again.values()}), 1)
        for name, data in again.items():
            self.assertNotEqual(data["tls.key"], secrets(first)[name]["tls.key"])

    def test_the_admins_token_is_one_and_only_its_hash_reaches_the_server(self):
        objects = self.chart.render_values({})
        data = [one for one in objects if one["metadata"]["name"] == "rel-trainyard-admin-token"][0]["data"]
        token = base64.b64decode(data["token"]).decode()
        match = re.fullmatch(r"ty_([a-z2-7]{12})_([a-z2-7]{52})", token)
        self.assertTrue(match, token)
        hashed = hashlib.sha256(match.group(2).encode()).hexdigest()
        self.assertEqual(base64.b64decode(data["admin-token-hash"]).decode(), f"{match.group(1)} {hashed}\n")
        server = [one for one in objects if one["kind"] == "StatefulSet"][0]
        mounted = [volume["secret"] for volume in checks.pod(server)["volumes"] if volume["name"] == "admin"][0]
        self.assertEqual(mounted["items"], [{"key": "admin-token-hash", "path": "hash"}])

    def test_scaling_counts_the_busy_and_says_nothing_when_the_server_is_away(self):
        _, scaled = self.the("ScaledObject", "rel-trainyard-worker-cpu")
        trigger = scaled["spec"]["triggers"][0]["metadata"]
        self.assertEqual(trigger["ignoreNullValues"], "false")
        alive = 'or 0 * sum(trainyard_build_info{namespace="default"})'
        self.assertEqual(
            trigger["query"],
            f'(sum(trainyard_queue_wanted_devices{{kind="cpu",namespace="default"}}) {alive}) + '
            '(sum(trainyard_device_busy{kind="cpu",worker=~"rel-trainyard-worker-cpu-[0-9a-z]+-[0-9a-z]{5}",namespace="default"}) '
            f'{alive})')

    def test_scraped_series_have_the_job_that_alerts_ask_for(self):
        objects, monitor = self.the("ServiceMonitor", "rel-trainyard-server")
        service = [one for one in objects if one["kind"] == "Service" and one["metadata"]["name"] == "rel-trainyard-metrics"][0]
        job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
        asked = re.findall(r'job=~"([^"]*)"', helm_chart.read(os.path.join(FILES, "rules.yml")))
        self.assertTrue(asked)
        for pattern in asked:
            self.assertRegex(job, f"^(?:{pattern})$")

    def test_notes_say_what_to_do_next(self):
        if self.chart.helm:
            return print("not checked: helm template prints no notes")
        for name, objects in self.sets.items():
            self.assertIn("trainctl", objects.notes, name)
            self.assertIn("rollout status statefulset/rel-trainyard-server", objects.notes)
            self.assertNotIn("<no value>", objects.notes)
        self.assertNotIn("WARNING", self.sets["defaults"].notes)
        self.assertIn("server.insecure: whoever reaches", self.sets["minimal"].notes)
        self.assertIn("lost with the pod", self.sets["minimal"].notes)
        outside = {"server": {"service": {"type": "LoadBalancer"}}}
        self.assertIn("networkPolicy.clientsFrom lets in", self.chart.render_values(outside).notes)
        blind = {"workerPools": {"cpu": {"devices": "cuda"}}}
        self.assertIn("workerPools.cpu offers cuda but asks for no nvidia.com/gpu", self.chart.render_values(blind).notes)


class SchemaTest(helm_chart.ChartTest):
    def test_sets_and_defaults_are_as_the_schema_says(self):
        self.assertEqual(self.chart.schema_errors(self.chart.defaults), [])
        for path in helm_chart.value_sets().values():
            self.assertEqual(self.chart.schema_errors(helm_chart.yaml.safe_load(helm_chart.read(path))), [])

    def test_broken_values_are_refused_with_the_reason(self):
        folder = os.path.join(HERE, "helm", "broken")
        self.assertGreater(len(os.listdir(folder)), 20)
        for name in sorted(os.listdir(folder)):
            with self.subTest(name):
                path = os.path.join(folder, name)
                reason = helm_chart.read(path).splitlines()[0].removeprefix("# refused: ")
                with self.assertRaises(helm_chart.Refused) as refused:
                    self.chart.render([path])
                self.assertRegex(str(refused.exception), reason)

    def test_the_schema_is_closed(self):
        self.assertEqual(open_objects(self.chart.schema), [])
        self.assertEqual(open_objects({"properties": {"a": {"type": "object"}}}), ["properties.a"])

    def test_every_value_of_the_schema_has_a_default(self):
        self.assertEqual(set(self.chart.schema["properties"]) - {"global"}, set(self.chart.defaults))
        self.assertEqual(set(self.chart.schema["definitions"]["pool"]["properties"]), set(self.chart.defaults["workerDefaults"]))
        for part in ("server", "tls", "tokens", "networkPolicy", "ingress", "gateway"):
            self.assertEqual(set(self.chart.schema["properties"][part]["properties"]), set(self.chart.defaults[part]))


def open_objects(schema, path=()):
    """Places where a key that nobody knows would pass."""
    found = []
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            if not str(schema.get("$comment", "")).startswith("open: "):
                found.append(".".join(path))
        for key, value in schema.items():
            found += open_objects(value, (*path, key))
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            found += open_objects(value, (*path, str(index)))
    return found


class QueryTest(helm_chart.ChartTest):
    """What KEDA is told, computed by Prometheus."""

    def test_workers_wanted(self):
        fetched = subprocess.run([os.path.join(HERE, "fetch_tools.sh"), "prometheus"], stdout=subprocess.PIPE, text=True,
                                 timeout=280, check=False)
        last = (fetched.stdout.strip().splitlines() or [""])[-1]
        if fetched.returncode == 77:
            raise yard.Skip(last.removeprefix("skipped: "))
        self.assertEqual(fetched.returncode, 0, last)
        query = self.the("ScaledObject", "rel-trainyard-worker-cpu")[1]["spec"]["triggers"][0]["metadata"]["query"]
        up, wanted, busy = "trainyard_build_info", "trainyard_queue_wanted_devices", "trainyard_device_busy"
        self.assertEqual(set(re.findall(r"\btrainyard_\w+", query)), {up, wanted, busy})
        described = helm_chart.read(os.path.join(yard.SOURCE, "docs", "metrics.md"))
        for name, labels in ((up, "version"), (wanted, "kind"), (busy, "worker, device, kind")):
            self.assertRegex(described, rf"\| `{name}` \| gauge \| 1 \| {labels} \|")
        here = 'namespace="default"'
        mine = "rel-trainyard-worker-cpu-5d9c7b8f6d-x2x4z"
        cases = [  # series, what the query gives: None: nothing, which changes nothing
            ({}, None),
            ({f"{up}{{{here}}}": 1}, 0),
            ({f"{up}{{{here}}}": 1, f'{wanted}{{kind="cpu",{here}}}': 3}, 3),
            ({f"{up}{{{here}}}": 1, f'{wanted}{{kind="cuda",{here}}}': 3}, 0),
            ({f"{up}{{{here}}}": 1, f'{wanted}{{kind="cpu",{here}}}': 0, f'{busy}{{kind="cpu",worker="{mine}",{here}}}': 1}, 1),
            ({f"{up}{{{here}}}": 1, f'{wanted}{{kind="cpu",{here}}}': 2, f'{busy}{{kind="cpu",worker="{mine}",{here}}}': 1,
              f'{busy}{{kind="cpu",worker="{mine[:-1]}y",{here}}}': 1}, 4),
            # Another pool, whose name begins alike; another server.
            ({f"{up}{{{here}}}": 1, f'{busy}{{kind="cpu",worker="rel-trainyard-worker-cpu-big-5d9c7b8f6d-x2x4z",{here}}}': 1}, 0),
            ({f'{up}{{namespace="b"}}': 1, f'{wanted}{{kind="cpu",namespace="b"}}': 3}, None),
        ]
        promtool = os.path.join(last, "promtool")
        code, said = self.compute(promtool, query, cases)
        self.assertEqual(code, 0, said)
        self.assertNotEqual(self.compute(promtool, query, [({f"{up}{{{here}}}": 1}, 1)])[0], 0)

    def compute(self, promtool, query, cases):
        path = os.path.join(self.work, "query_test.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"evaluation_interval": "1m", "tests": [{
                "interval": "1m",
                "input_series": [{"series": name, "values": f"{value}x5"} for name, value in series.items()],
                "promql_expr_test": [{"expr": query, "eval_time": "2m",
                                      "exp_samples": [] if result is None else [{"labels": "{}", "value": result}]}],
            } for series, result in cases]}, file)
        done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, timeout=yard.DEADLINE, check=False)
        return done.returncode, done.stdout + done.stderr


class DocsTest(helm_chart.ChartTest):
    """docs/deploy.md speaks of values that are there."""

    def section(self):
        text = helm_chart.read(os.path.join(yard.SOURCE, "docs", "deploy.md"))
        return re.search(r"^## A cluster$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL).group(1)

    def test_values_files(self):
        blocks = re.findall(r"^```\n((?:workerDefaults|monitoring):.*?)^```$", self.section(), re.MULTILINE | re.DOTALL)
        self.assertEqual(len(blocks), 2)
        for block in blocks:
            self.chart.render_values(helm_chart.yaml.safe_load(block), release="trainyard", namespace="trainyard")

    def test_settings(self):
        given = re.findall(r"--set ([^\s`]+)", self.section())
        self.assertGreater(len(given), 3)
        for setting in given:
            path, _, value = setting.partition("=")
            values = helm_chart.yaml.safe_load("x" if value.startswith("$") else value)
            for key in reversed(path.split(".")):
                values = {key: values}
            self.chart.render_values(values)

    def test_names(self):
        objects = self.chart.render_values({}, release="trainyard", namespace="trainyard")
        there = {one["metadata"]["name"] for one in objects}
        named = set(re.findall(r"(?:service/|get secret |service\n?`)(trainyard[-a-z]*)", self.section()))
        self.assertLessEqual({"trainyard", "trainyard-server-tls"}, named)
        self.assertLessEqual(named, there | {"trainyard-join-token"})
        # The steps are the notes'.
        for line in re.findall(r"^(?:kubectl|export|trainctl tokens) .*", self.section(), re.MULTILINE):
            if "delete pvc" not in line and not self.chart.helm:
                self.assertIn(line, objects.notes)
        self.assertIn("trainyard-server", checks.names_of(objects, "StatefulSet"))


class CopiesTest(unittest.TestCase):
    """What the chart copies is as the originals are."""

    def test_dashboards_and_rules(self):
        dashboards = os.path.join(yard.SOURCE, "deploy", "grafana", "dashboards")
        ours = os.path.join(FILES, "dashboards")
        names = sorted(name for name in os.listdir(dashboards) if name.endswith(".json"))
        self.assertTrue(names)
        self.assertEqual(sorted(os.listdir(ours)), names, "helm/update.sh copies them")
        for name in names:
            self.assertTrue(filecmp.cmp(os.path.join(dashboards, name), os.path.join(ours, name), shallow=False),
                            f"{name} differs: helm/update.sh copies it")
        rules = os.path.join(yard.SOURCE, "deploy", "prometheus", "rules.yml")
        self.assertTrue(filecmp.cmp(rules, os.path.join(FILES, "rules.yml"), shallow=False), "helm/update.sh copies rules.yml")

    def test_readme(self):
        try:
            import yaml  # noqa: F401  (the program below needs it)
        except ImportError:
            raise yard.Skip("python3's module yaml is missing") from None
        table = subprocess.run([sys.executable, "-B", os.path.join(HELM, "values_table.py")], capture_output=True, text=True,
                               check=True, timeout=yard.DEADLINE).stdout.strip()
        self.assertIn(f"\n{table}\n", helm_chart.read(os.path.join(helm_chart.CHART, "README.md")), "helm/update.sh writes the table")


if __name__ == "__main__":
    helm_chart.main()
