"""The Helm chart, rendered for the tests.

    chart = helm_chart.Chart(work_folder)     # else yard.Skip, naming what is missing
    objects = chart.render([values_file], release="rel")

By helm where it is installed, else by helm_render, Helm's template engine without the rest. As helm does, values are
checked against values.schema.json first.
"""

import atexit
import copy
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import yard  # noqa: E402  (its folder is known only now)

try:
    import jsonschema
    import yaml
except ImportError as missing:
    jsonschema = yaml = None
    MISSING = missing.name

HERE = os.path.dirname(os.path.abspath(__file__))
CHART = os.path.join(yard.SOURCE, "helm", "trainyard")
GO_SOURCES = "/usr/share/gocode"


class Refused(Exception):
    """The chart does not render with such values, or they are not as the schema says."""


class Rendered(list):
    """Objects, and what NOTES says."""

    notes = ""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def value_sets():
    """Name to file, of the sets that come with the chart."""
    folder = os.path.join(CHART, "ci")
    return {name.removesuffix("-values.yaml"): os.path.join(folder, name) for name in sorted(os.listdir(folder))}


def merged(defaults, over):
    """Values over defaults as Helm does it: maps key by key, null removes."""
    result = dict(defaults)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


class Chart:
    def __init__(self, work):
        if yaml is None:
            raise yard.Skip(f"python3's module {MISSING} is missing (python3-yaml, python3-jsonschema)")
        self.work = work
        self.defaults = yaml.safe_load(read(os.path.join(CHART, "values.yaml")))
        self.schema = json.loads(read(os.path.join(CHART, "values.schema.json")))
        jsonschema.Draft7Validator.check_schema(self.schema)
        self.helm = shutil.which("helm")
        self.renderer = None if self.helm else self._build_renderer()

    def _build_renderer(self):
        if shutil.which("go") is None:
            raise yard.Skip("neither helm nor go is installed")
        for package in ("github.com/Masterminds/sprig", "sigs.k8s.io/yaml"):
            if not os.path.isdir(os.path.join(GO_SOURCES, "src", package)):
                raise yard.Skip(f"neither helm nor the Go package {package} is installed")
        program = os.path.join(self.work, "helm_render")
        cache = os.path.join(yard.SOURCE, "build", "go")
        built = subprocess.run(["go", "build", "-o", program, "."], cwd=os.path.join(HERE, "helm_render"), check=False,
                               env=dict(os.environ, GOPATH=GO_SOURCES, GO111MODULE="off", GOCACHE=cache, GOFLAGS=""),
                               capture_output=True, text=True, timeout=300)
        if built.returncode != 0:
            raise AssertionError(f"helm_render does not build: {built.stderr}")
        return program

    def values(self, files=()):
        values = self.defaults
        for path in files:
            values = merged(values, yaml.safe_load(read(path)) or {})
        return values

    def schema_errors(self, values):
        found = jsonschema.Draft7Validator(self.schema).iter_errors(values)
        return [f"{'.'.join(map(str, error.absolute_path))}: {describe(error)}" for error in found]

    def render(self, files=(), release="rel", namespace="default", there=None):
        """`there`: objects that the cluster has, which helm_render lets the chart look up."""
        errors = self.schema_errors(self.values(files))
        if errors:
            raise Refused("\n".join(errors))
        values = [argument for path in files for argument in ("-f", path)]
        if self.helm:
            command = [self.helm, "template", release, CHART, "--namespace", namespace, *values]
        else:
            command = [self.renderer, "-name", release, "-n", namespace, *values]
            if there is not None:
                path = os.path.join(self.work, "there.yaml")
                with open(path, "w", encoding="utf-8") as file:
                    yaml.safe_dump_all(there, file)
                command += ["-lookup", path]
            command.append(CHART)
        done = subprocess.run(command, capture_output=True, text=True, timeout=yard.DEADLINE, check=False)
        if done.returncode != 0:
            raise Refused(done.stderr.strip())
        rendered = Rendered(one for one in yaml.load_all(done.stdout, Loader=StrictLoader) if one)
        rendered.notes = done.stderr
        return rendered

    def render_values(self, values, **options):
        path = os.path.join(self.work, "given-values.yaml")
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump(values, file)
        return self.render([path], **options)


@functools.cache
def rendered():
    """The chart, and its objects by set of values: once for all tests of a process."""
    work = tempfile.mkdtemp(prefix="helm-test-")
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    chart = Chart(work)
    print("rendered by", chart.helm or "helm_render, for helm is not installed")
    return chart, {name: chart.render([path]) for name, path in value_sets().items()}


class ChartTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.chart, cls.sets = rendered()
        cls.work = cls.chart.work

    def the(self, kind, name, of="everything-on"):
        """A copy of a set's objects, and the one object in it."""
        objects = copy.deepcopy(list(self.sets[of]))
        found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
        self.assertEqual(len(found), 1, f"{kind}/{name}")
        return objects, found[0]


def main(needs=()):
    """As yard.main, but one part that could not be checked makes the whole a skipped one: exit status 77."""
    missing = [name for name in needs if not os.access(yard.program(name), os.X_OK)]
    if missing:
        print(f"skipped: not built here: {', '.join(missing)}")
        sys.exit(77)
    run = unittest.main(module="__main__", exit=False, verbosity=2).result
    for reason in sorted({reason for _, reason in run.skipped}):
        print(f"skipped: {reason}")
    sys.exit(1 if not run.wasSuccessful() else 77 if run.skipped else 0)


def describe(error):
    """What is wrong, of the most telling alternative."""
    while error.context:
        error = jsonschema.exceptions.best_match(error.context)
    return error.message


if yaml is not None:
    class StrictLoader(yaml.SafeLoader):
        """A key that is there twice is an error, as it is for Kubernetes."""

        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
            twice = {key for key in keys if keys.count(key) > 1}
            if twice:
                raise yaml.constructor.ConstructorError(None, None, f"keys are there twice: {sorted(twice)}", node.start_mark)
            return super().construct_mapping(node, deep)
