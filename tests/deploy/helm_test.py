"""The Helm chart's objects, for each set of values in helm/trainyard/ci, checked as strictly as can be without a cluster.
Every kind of check is also given something wrong, which it must find."""

import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import helm_chart  # noqa: E402  (its folder is known only now)
import helm_checks as checks  # noqa: E402

yard = helm_chart.yard

# Made by whoever installs the chart, as NOTES says.
JOIN = ("Secret", "rel-trainyard-join-token")
# What each set of values says exists already.
EXTERNAL = {
    "existing-secrets": {("Secret", "registry-credentials"), ("Secret", "trainyard-server-certificate"),
                         ("Secret", "trainyard-worker-certificate"), ("Secret", "trainyard-tokens"), ("Secret", "proxy"),
                         ("ServiceAccount", "trainyard-workload"), ("PersistentVolumeClaim", "trainyard-state")},
    "minimal": {("ServiceAccount", "default")},
    "defaults": {JOIN},
    "cuda-and-spot": {JOIN, ("PersistentVolumeClaim", "datasets")},
    "everything-on": {("Secret", "trainyard-join"), ("Secret", "train-example-com")},
}
LONG_RELEASE = "a-release-name-that-is-as-long-as-helm-allows-it-12345"[:53]


class ObjectsTest(helm_chart.ChartTest):
    def test_every_set_holds_together(self):
        self.assertEqual(set(self.sets), {"cuda-and-spot", "defaults", "everything-on", "existing-secrets", "minimal"})
        for name, objects in self.sets.items():
            with self.subTest(name):
                self.assertEqual(checks.everything(objects, EXTERNAL.get(name, set())), [])

    def test_long_release_names_fit_and_stay_apart(self):
        self.assertEqual(len(LONG_RELEASE), 53)
        values = {"workerPools": {name: {"enabled": True, "kind": kind, "cache": {"type": cache}} for name, kind, cache in (
            ("cuda", "StatefulSet", "persistentClaim"), ("the-longest-pool", "Deployment", "emptyDir"),
            ("a-longest-pool", "StatefulSet", "persistentClaim"))}}
        path = os.path.join(self.work, "long.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(values, file)
        everything = helm_chart.value_sets()["everything-on"]
        objects = self.chart.render([everything, path], release=LONG_RELEASE)
        self.assertEqual(checks.everything(objects, EXTERNAL["everything-on"]), [])
        other = self.chart.render([everything, path], release=LONG_RELEASE[:-1] + "x")
        ours = {checks.title(one) for one in objects}
        self.assertEqual(ours & {checks.title(one) for one in other}, set())
        dotted = self.chart.render(release="team.a")
        self.assertEqual(checks.everything(dotted, {("Secret", "team-a-trainyard-join-token")}), [])

    def test_what_is_wrong_is_found(self):
        """One wrong thing at a time, and the words that must be said of it."""
        server, cpu = ("StatefulSet", "rel-trainyard-server"), ("Deployment", "rel-trainyard-worker-cpu")
        main = lambda one: one["spec"]["template"]["spec"]["containers"][0]  # noqa: E731
        spec = lambda one: one["spec"]["template"]["spec"]  # noqa: E731
        cases = [
            (server, lambda o: o["metadata"].update(name="x" * 53), "the name has 53 characters"),
            (server, lambda o: o["metadata"].update(name="Server"), "not a DNS label"),
            (server, lambda o: o["metadata"]["labels"].update(a="b c"), "is no label value"),
            (cpu, lambda o: o["metadata"].update(name="rel-trainyard-worker-edge"), "there twice"),
            (cpu, lambda o: o["spec"]["selector"]["matchLabels"].pop("trainyard.dev/pool"), "its selector picks the pods of"),
            (cpu, lambda o: spec(o)["topologySpreadConstraints"][0].pop("labelSelector"), "does not pick its own pods"),
            (("PodDisruptionBudget", "rel-trainyard-server"), lambda o: o["spec"]["selector"]["matchLabels"].update(x="y"),
             "PodDisruptionBudget/rel-trainyard-server: must pick the pods of one workload"),
            (("Service", "rel-trainyard"), lambda o: o["spec"]["selector"].update(x="y"),
             "Service/rel-trainyard: must pick the pods of one workload"),
            (("NetworkPolicy", "rel-trainyard-worker"), lambda o: o["spec"]["podSelector"]["matchLabels"].update(x="y"),
             "picks no pods"),
            (server, lambda o: o["spec"].update(serviceName="rel-trainyard"), "no such headless service"),
            (("ScaledObject", "rel-trainyard-worker-cpu"), lambda o: o["spec"]["scaleTargetRef"].update(name="x"), "which is not there"),
            (cpu, lambda o: o["spec"].update(replicas=1), "an upgrade would undo the scaling"),
            (("Service", "rel-trainyard"), lambda o: o["spec"]["ports"][0].update(targetPort="http"), "targetPort http"),
            (("Service", "rel-trainyard"), lambda o: o["spec"]["ports"][0].update(name="h2"), "backend rel-trainyard:grpc"),
            (("GRPCRoute", "rel-trainyard"), lambda o: o["spec"]["rules"][0]["backendRefs"][0].update(port=1), "backend rel-trainyard:1"),
            (("ServiceMonitor", "rel-trainyard-server"), lambda o: o["spec"]["endpoints"][0].update(port="web"), "port web"),
            (("ServiceMonitor", "rel-trainyard-server"),
             lambda o: o["spec"]["selector"]["matchLabels"].pop("trainyard.dev/metrics"), "must pick one service"),
            (server, lambda o: main(o)["readinessProbe"]["httpGet"].update(port="web"), "readinessProbe: port web"),
            (("NetworkPolicy", "rel-trainyard-server"), lambda o: o["spec"]["ingress"][0]["ports"][0].update(port=1),
             "port 1: no pod serves it"),
            (("ServiceMonitor", "rel-trainyard-server"), lambda o: o["spec"]["endpoints"][0]["tlsConfig"]["keySecret"].update(key="x"),
             "Secret rel-trainyard-client-tls has no key x"),
            (cpu, lambda o: spec(o).update(serviceAccountName="x"), "ServiceAccount x is not there"),
            (cpu, lambda o: spec(o)["volumes"][-1]["secret"].update(secretName="x"), "Secret x is not there"),
            (server, lambda o: main(o)["args"].append("--a=/etc/trainyard/tls/other.crt"), "gives no such file"),
            (server, lambda o: main(o)["args"].append("--a=/etc/other/x"), "nothing is mounted there"),
            (cpu, lambda o: main(o)["env"].append({"name": "A", "valueFrom": {"secretKeyRef": {"name": "rel-trainyard-server-tls",
             "key": "password"}}}), "has no key password"),
            (server, lambda o: spec(o)["volumes"].append({"name": "x", "persistentVolumeClaim": {"claimName": "x"}}),
             "PersistentVolumeClaim x is not there"),
            (server, lambda o: o["spec"].pop("volumeClaimTemplates"), "mount of state: no such volume"),
            (server, lambda o: spec(o)["volumes"].append({"name": "x", "emptyDir": {}}), "volume x is mounted nowhere"),
            (server, lambda o: main(o)["volumeMounts"].append({"name": "tmp", "mountPath": "/tmp"}), "two mounts at /tmp"),
            (server, lambda o: spec(o)["volumes"].append(spec(o)["volumes"][0]), "volume tmp is there twice"),
            (server, lambda o: spec(o)["securityContext"].update(runAsUser=0), "must run as 10001"),
            (server, lambda o: spec(o)["securityContext"].pop("seccompProfile"), "seccompProfile must be"),
            (server, lambda o: spec(o).pop("automountServiceAccountToken"), "must not mount the service account's token"),
            (server, lambda o: spec(o).update(hostNetwork=True), "host's namespaces"),
            (server, lambda o: main(o)["securityContext"].pop("readOnlyRootFilesystem"), "must be read-only"),
            (server, lambda o: main(o)["securityContext"].pop("allowPrivilegeEscalation"), "must not gain privileges"),
            (server, lambda o: main(o)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "must drop all capabilities"),
            (server, lambda o: main(o)["securityContext"].update(privileged=True), "must not be privileged"),
            (cpu, lambda o: main(o)["resources"].pop("limits"), "a limit for memory"),
            (cpu, lambda o: main(o).pop("livenessProbe"), "needs a liveness and a readiness probe"),
            (cpu, lambda o: main(o).update(image="trainyard-worker"), "has no tag and no digest"),
            (cpu, lambda o: spec(o).update(terminationGracePeriodSeconds=80), "must be over the drain's 80 s"),
            (cpu, lambda o: main(o)["args"].append("--grace=1s"), "--grace is there twice"),
            (cpu, lambda o: main(o)["args"].insert(0, "--data-root=/"), "--data-root must name a mounted folder"),
            (cpu, lambda o: main(o)["args"].insert(0, "--work-dir=/work"), "--work-dir must lie on a mounted volume"),
        ]
        for (kind, name), spoil, words in cases:
            with self.subTest(words):
                objects, one = self.the(kind, name)
                spoil(one)
                problems = checks.everything(objects, EXTERNAL["everything-on"])
                self.assertTrue(any(words in problem for problem in problems), problems)

    def test_keys_that_are_there_twice_are_found(self):
        with self.assertRaisesRegex(helm_chart.yaml.YAMLError, "keys are there twice"):
            helm_chart.yaml.load("{a: 1, a: 2}", Loader=helm_chart.StrictLoader)


class TypesTest(helm_chart.ChartTest):
    """Against the types of Kubernetes and of the operators."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if shutil.which("node") is None:
            raise yard.Skip("node is not installed")
        fetched = subprocess.run([os.path.join(helm_chart.HERE, "fetch_tools.sh"), "npm", os.path.join(helm_chart.HERE, "helm")],
                                 stdout=subprocess.PIPE, text=True, timeout=280, check=False)
        last = (fetched.stdout.strip().splitlines() or [""])[-1]
        if fetched.returncode == 77:
            raise yard.Skip(last.removeprefix("skipped: "))
        assert fetched.returncode == 0, last
        cls.modules = os.path.join(last, "node_modules")

    def problems(self, objects):
        """`objects`: (where, object) pairs."""
        path = os.path.join(self.work, "objects.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump([{"where": where, "object": one} for where, one in objects], file)
        done = subprocess.run(["node", os.path.join(helm_chart.HERE, "helm", "types.mjs"), self.modules, path, os.path.join(self.work, "ts")],
                              capture_output=True, text=True, timeout=200, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [(found["where"], found["problem"]) for found in json.loads(done.stdout)]

    def test_objects_are_of_their_types_and_wrong_ones_are_not(self):
        right = [(f"{name}: {checks.title(one)}", one) for name, objects in self.sets.items() for one in objects]
        wrong, words = [], {}
        for kind, name, spoil, word in (
                ("Deployment", "rel-trainyard-worker-cpu", lambda s: s.update(replica=1), '"replica"'),
                ("Deployment", "rel-trainyard-worker-cpu", lambda s: s["template"]["spec"]["containers"][0].update(comand=[]), '"comand"'),
                ("StatefulSet", "rel-trainyard-server", lambda s: s.update(replicas="one"), "replicas"),
                ("StatefulSet", "rel-trainyard-server", lambda s: s.pop("selector"), "selector"),
                ("ScaledObject", "rel-trainyard-worker-cpu", lambda s: s["triggers"][0].update(metadat={}), '"metadat"'),
                ("ServiceMonitor", "rel-trainyard-server", lambda s: s["endpoints"][0].update(intervall="1s"), '"intervall"'),
                ("PrometheusRule", "rel-trainyard-server", lambda s: s["groups"][0]["rules"][0].update(four="1m"), '"four"'),
                ("Certificate", "rel-trainyard-server-tls", lambda s: s.pop("issuerRef"), "issuerRef"),
                ("GRPCRoute", "rel-trainyard", lambda s: s.update(hostname="x"), '"hostname"'),
                ("NetworkPolicy", "rel-trainyard-server", lambda s: s["ingress"][0].update(form=[]), '"form"'),
        ):
            one = self.the(kind, name)[1]
            spoil(one["spec"])
            wrong.append((f"wrong {len(wrong)}", one))
            words[wrong[-1][0]] = word
        found = self.problems(right + wrong)
        self.assertEqual([problem for problem in found if problem[0] not in words], [])
        for where, word in words.items():
            self.assertTrue(any(at == where and word in problem for at, problem in found), f"{where}: no word of {word}: {found}")

    def test_a_kind_that_does_not_exist_is_found(self):
        self.assertEqual(self.problems([("x", {"apiVersion": "apps/v1", "kind": "Deploiment", "metadata": {}})]),
                         [("x", "no such kind: apps/v1 Deploiment")])


if __name__ == "__main__":
    helm_chart.main()
