"""What must hold between the objects of a rendered chart, beyond each one's type.

    problems = [*names(objects), *selectors(objects), ...]

Each check is a function from a list of objects to a list of "Kind/name: what is wrong" lines; nothing is read or run.
"""

import re

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
WORKLOADS = ("Deployment", "StatefulSet")

# A name's longest. What controllers make of it must fit too: pods of a Deployment (two hashes), the label with a
# StatefulSet's revision, KEDA's label "keda-hpa-NAME".
LONGEST = {"Deployment": 46, "StatefulSet": 52, "ScaledObject": 54}


def title(one):
    return f"{one['kind']}/{one['metadata']['name']}"


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


def names_of(objects, *kinds):
    return {one["metadata"]["name"] for one in of_kind(objects, *kinds)}


def pod(workload):
    return workload["spec"]["template"]["spec"]


def pod_labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def containers(workload):
    return pod(workload)["containers"] + pod(workload).get("initContainers", [])


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def selected(objects, selector):
    return [one for one in of_kind(objects, *WORKLOADS) if matches(selector, pod_labels(one))]


def ports_of(workload):
    """Names and numbers."""
    found = [port for one in containers(workload) for port in one.get("ports", [])]
    return {port["name"] for port in found} | {port["containerPort"] for port in found}


def names(objects):
    problems, seen = [], set()
    for one in objects:
        name, kind = one["metadata"]["name"], one["kind"]
        longest = LONGEST.get(kind, 63)
        if len(name) > longest:
            problems.append(f"{title(one)}: the name has {len(name)} characters, over {longest}")
        if not DNS_LABEL.fullmatch(name):
            problems.append(f"{title(one)}: not a DNS label")
        if (kind, name) in seen:
            problems.append(f"{title(one)}: there twice")
        seen.add((kind, name))
        if not one["metadata"].get("namespace"):
            problems.append(f"{title(one)}: no namespace")
        labels = dict(one["metadata"].get("labels", {}))
        if kind in WORKLOADS:
            labels.update(pod_labels(one))
        for key, value in labels.items():
            if not isinstance(value, str) or len(value) > 63 or not LABEL_VALUE.fullmatch(value):
                problems.append(f"{title(one)}: label {key}: {value!r} is no label value")
    return problems


def selectors(objects):
    problems = []
    for one in of_kind(objects, *WORKLOADS):
        selector = one["spec"]["selector"]["matchLabels"]
        found = [title(other) for other in selected(objects, selector)]
        if found != [title(one)]:
            problems.append(f"{title(one)}: its selector picks the pods of {found}")
        for constraint in pod(one).get("topologySpreadConstraints", []):
            if not matches(constraint.get("labelSelector", {}).get("matchLabels", {"?": "?"}), pod_labels(one)):
                problems.append(f"{title(one)}: topologySpreadConstraints: the selector does not pick its own pods")
    for one in of_kind(objects, "PodDisruptionBudget"):
        if len(selected(objects, one["spec"]["selector"]["matchLabels"])) != 1:
            problems.append(f"{title(one)}: must pick the pods of one workload")
    for one in of_kind(objects, "Service"):
        if len(selected(objects, one["spec"]["selector"])) != 1:
            problems.append(f"{title(one)}: must pick the pods of one workload")
    for one in of_kind(objects, "NetworkPolicy"):
        if not selected(objects, one["spec"]["podSelector"]["matchLabels"]):
            problems.append(f"{title(one)}: picks no pods")
    for one in of_kind(objects, "StatefulSet"):
        service = [other for other in of_kind(objects, "Service") if other["metadata"]["name"] == one["spec"]["serviceName"]]
        if not service or service[0]["spec"].get("clusterIP") != "None":
            problems.append(f"{title(one)}: serviceName {one['spec']['serviceName']}: no such headless service")
    for one in of_kind(objects, "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        found = [other for other in of_kind(objects, target["kind"]) if other["metadata"]["name"] == target["name"]]
        if not found:
            problems.append(f"{title(one)}: scales {target['kind']}/{target['name']}, which is not there")
        elif "replicas" in found[0]["spec"]:
            problems.append(f"{title(one)}: {title(found[0])} has replicas of its own: an upgrade would undo the scaling")
    return problems


def backends(one):
    """(service, port) of an Ingress or a GRPCRoute."""
    for rule in one["spec"]["rules"]:
        for path in rule.get("http", {}).get("paths", []):
            service = path["backend"]["service"]
            yield service["name"], service["port"].get("name") or service["port"].get("number")
        for backend in rule.get("backendRefs", []):
            yield backend["name"], backend["port"]


def ports(objects):
    problems = []
    services = {}
    for one in of_kind(objects, "Service"):
        listed = one["spec"].get("ports", [])
        services[one["metadata"]["name"]] = {port["name"] for port in listed} | {port["port"] for port in listed}
        for workload in selected(objects, one["spec"]["selector"]):
            for port in listed:
                if port["targetPort"] not in ports_of(workload):
                    problems.append(f"{title(one)}: targetPort {port['targetPort']}: {title(workload)} has no such port")
    for one in of_kind(objects, "Ingress", "GRPCRoute"):
        for service, port in backends(one):
            if port not in services.get(service, ()):
                problems.append(f"{title(one)}: backend {service}:{port} is not there")
    for one in of_kind(objects, "ServiceMonitor"):
        picked = [other for other in of_kind(objects, "Service")
                  if matches(one["spec"]["selector"]["matchLabels"], other["metadata"]["labels"])]
        if len(picked) != 1:
            problems.append(f"{title(one)}: must pick one service, not {[title(other) for other in picked]}")
        for endpoint in one["spec"]["endpoints"]:
            for other in picked:
                if endpoint["port"] not in services[other["metadata"]["name"]]:
                    problems.append(f"{title(one)}: port {endpoint['port']}: {title(other)} has no such port")
    for one in of_kind(objects, *WORKLOADS):
        for container in containers(one):
            own = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                get = container.get(probe, {}).get("httpGet")
                if get and get["port"] not in own:
                    problems.append(f"{title(one)}: {probe}: port {get['port']}: no such port")
    for one in of_kind(objects, "NetworkPolicy"):
        served = set().union(*(ports_of(other) for other in of_kind(objects, *WORKLOADS)))
        for rule in one["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                if port["port"] not in served:
                    problems.append(f"{title(one)}: port {port['port']}: no pod serves it")
    return problems


def references(objects, external):
    """`external`: (kind, name) of what exists before the chart."""
    problems = []
    keys = {}
    for one in of_kind(objects, "Secret", "ConfigMap"):
        keys[one["kind"], one["metadata"]["name"]] = set(one.get("data", {})) | set(one.get("stringData", {}))
    for one in of_kind(objects, "Certificate"):
        keys["Secret", one["spec"]["secretName"]] = {"tls.crt", "tls.key", "ca.crt"}
    for one in of_kind(objects, "ServiceAccount", "PersistentVolumeClaim"):
        keys[one["kind"], one["metadata"]["name"]] = set()

    def need(where, kind, name, key=None):
        if (kind, name) in external:
            return
        if (kind, name) not in keys:
            problems.append(f"{where}: {kind} {name} is not there")
        elif key is not None and key not in keys[kind, name]:
            problems.append(f"{where}: {kind} {name} has no key {key}")

    for one in of_kind(objects, *WORKLOADS):
        need(title(one), "ServiceAccount", pod(one)["serviceAccountName"])
        for secret in pod(one).get("imagePullSecrets", []):
            need(title(one), "Secret", secret["name"])
        for volume in pod(one).get("volumes", []):
            for field, kind, name in (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")):
                if field in volume:
                    for item in volume[field].get("items", [{}]):
                        need(title(one), kind, volume[field][name], item.get("key"))
            if "persistentVolumeClaim" in volume:
                need(title(one), "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        for container in containers(one):
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                    if field in source:
                        need(title(one), kind, source[field]["name"], source[field]["key"])
            for path in files_in(container):
                problems += [f"{title(one)}: {path}: {problem}" for problem in missing_file(one, container, path, keys, external)]
    for one in of_kind(objects, "ServiceMonitor"):
        for endpoint in one["spec"]["endpoints"]:
            for part in endpoint.get("tlsConfig", {}).values():
                secret = part.get("secret", part) if isinstance(part, dict) else None
                if secret:
                    need(title(one), "Secret", secret["name"], secret["key"])
    for one in of_kind(objects, "Ingress"):
        for tls in one["spec"].get("tls", []):
            need(title(one), "Secret", tls["secretName"])
    return problems


def files_in(container):
    """Paths of mounted secrets that the arguments name."""
    return [match.group(1) for argument in container.get("args", [])
            if (match := re.fullmatch(r"--[-a-z]+=(/etc/.+)", argument))]


def missing_file(one, container, path, keys, external):
    folder, _, file = path.rpartition("/")
    mount = [mount for mount in container["volumeMounts"] if mount["mountPath"] == folder]
    if not mount:
        return ["nothing is mounted there"]
    volume = next(volume for volume in pod(one)["volumes"] if volume["name"] == mount[0]["name"])["secret"]
    held = {item["path"] for item in volume["items"]} if "items" in volume else keys.get(("Secret", volume["secretName"]))
    if held is None:
        return [] if ("Secret", volume["secretName"]) in external else ["its secret is not there"]
    return [] if file in held else [f"Secret {volume['secretName']} gives no such file"]


def volumes(objects):
    problems = []
    for one in of_kind(objects, *WORKLOADS):
        claims = [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])]
        there = [volume["name"] for volume in pod(one).get("volumes", [])] + claims
        for name in sorted({name for name in there if there.count(name) > 1}):
            problems.append(f"{title(one)}: volume {name} is there twice")
        used = set()
        for container in containers(one):
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            for path in sorted({path for path in paths if paths.count(path) > 1}):
                problems.append(f"{title(one)}: two mounts at {path}")
            for mount in container["volumeMounts"]:
                used.add(mount["name"])
                if mount["name"] not in there:
                    problems.append(f"{title(one)}: mount of {mount['name']}: no such volume")
        for name in sorted(set(there) - used):
            problems.append(f"{title(one)}: volume {name} is mounted nowhere")
    return problems


def hardening(objects):
    problems = []
    for one in of_kind(objects, *WORKLOADS):
        spec = pod(one)
        whole = spec.get("securityContext", {})
        if whole.get("runAsNonRoot") is not True or whole.get("runAsUser") != 10001 or whole.get("fsGroup") != 10001:
            problems.append(f"{title(one)}: must run as 10001, with fsGroup 10001")
        if whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            problems.append(f"{title(one)}: seccompProfile must be RuntimeDefault")
        if spec.get("automountServiceAccountToken") is not False:
            problems.append(f"{title(one)}: must not mount the service account's token")
        if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
            problems.append(f"{title(one)}: must not share the host's namespaces")
        for container in containers(one):
            where = f"{title(one)}: container {container['name']}"
            own = container.get("securityContext", {})
            if own.get("readOnlyRootFilesystem") is not True:
                problems.append(f"{where}: the root file system must be read-only")
            if own.get("allowPrivilegeEscalation") is not False:
                problems.append(f"{where}: must not gain privileges")
            if own.get("capabilities") != {"drop": ["ALL"]}:
                problems.append(f"{where}: must drop all capabilities and add none")
            if own.get("privileged") or own.get("runAsUser") == 0:
                problems.append(f"{where}: must not be privileged")
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
                problems.append(f"{where}: needs requests for cpu and memory and a limit for memory")
            if "livenessProbe" not in container or "readinessProbe" not in container:
                problems.append(f"{where}: needs a liveness and a readiness probe")
            if not re.search(r"(:[^:/]+|@sha256:[0-9a-f]{64})$", container["image"]):
                problems.append(f"{where}: image {container['image']} has no tag and no digest")
    return problems


REPEATED = {"--label", "--data-root"}


def arguments(objects):
    """The programs refuse a flag that is there twice, but for those that are lists."""
    problems = []
    for one in of_kind(objects, *WORKLOADS):
        for container in containers(one):
            given = [text.partition("=")[0] for text in container.get("args", [])]
            for flag in sorted({flag for flag in given if given.count(flag) > 1} - REPEATED):
                problems.append(f"{title(one)}: {flag} is there twice")
    return problems


def argument(container, flag):
    for one in container.get("args", []):
        name, _, value = one.partition("=")
        if name == flag:
            return value
    return None


def workers(objects):
    """A worker's drain must end before Kubernetes kills it, and jobs must read no path by accident."""
    problems = []
    for one in of_kind(objects, *WORKLOADS):
        for container in containers(one):
            if container["name"] != "worker":
                continue
            drain = int(argument(container, "--checkpoint-grace")[:-1]) + 2 * int(argument(container, "--grace")[:-1])
            if pod(one)["terminationGracePeriodSeconds"] <= drain:
                problems.append(f"{title(one)}: terminationGracePeriodSeconds must be over the drain's {drain} s")
            mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
            if argument(container, "--data-root") not in mounts:
                problems.append(f"{title(one)}: --data-root must name a mounted folder")
            if not any(argument(container, "--work-dir").startswith(mount + "/") for mount in mounts):
                problems.append(f"{title(one)}: --work-dir must lie on a mounted volume")
    return problems


def flags(objects, known):
    """`known`: the flags of each container's program, by container name."""
    problems = []
    for one in of_kind(objects, *WORKLOADS):
        for container in containers(one):
            given = list(container.get("args", []))
            for probe in ("livenessProbe", "readinessProbe"):
                given += container.get(probe, {}).get("exec", {}).get("command", [])[1:]
            for text in given:
                flag = text.partition("=")[0]
                if flag not in known[container["name"]]:
                    problems.append(f"{title(one)}: {flag}: trainyard-{container['name']} knows no such flag")
    return problems


def everything(objects, external=frozenset()):
    return [*names(objects), *selectors(objects), *ports(objects), *references(objects, external), *volumes(objects),
            *hardening(objects), *arguments(objects), *workers(objects)]
