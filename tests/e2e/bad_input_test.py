#!/usr/bin/env python3
"""Bad input: each kind gets a clear error in the caller's terminal and its exit status, at the
earliest place that can know, and nothing crashes."""

import gzip
import os
import shutil
import struct

import yard

# trainctl's exit statuses (docs/trainctl.md).
JOB_FAILED, BAD_INPUT, NOT_FOUND, REFUSED = 1, 2, 4, 6

GOOD = """\
name: table
training:
  model: {architecture: mnist_cnn}
  data: {format: idx, source: {path: /data/glyphs}}
  epochs: 1
"""

ENSEMBLE = """\
name: both
ensemble:
  members: [{job: jobs/1}]
  data: {format: idx, source: {path: /data/glyphs}}
"""

# (what is wrong, job file or a change of it, flags, exit status, parts of stderr).
# The server need not be asked for the first part; it is not even running.
WITHOUT_SERVER = [
    ("unknown field", GOOD + "  optimizer: {lerning_rate: 1}\n", [], BAD_INPUT,
     ["job.yaml", "training.optimizer.lerning_rate", 'did you mean "learning_rate"']),
    ("unknown top field", GOOD + "trainning: {}\n", [], BAD_INPUT,
     ["trainning", 'did you mean "training"']),
    ("wrong type", GOOD.replace("epochs: 1", "epochs: three"), [], BAD_INPUT,
     ["training.epochs", "three", "whole number"]),
    ("list for an object", GOOD.replace("{architecture: mnist_cnn}", "[mnist_cnn]"), [], BAD_INPUT,
     ["training.model", "object"]),
    ("negative whole number", GOOD.replace("epochs: 1", "epochs: -1"), [], BAD_INPUT,
     ["training.epochs", "-1", "not negative"]),
    ("wrong member", ENSEMBLE.replace("{job: jobs/1}", "{jobs: jobs/1}"), [], BAD_INPUT,
     ["ensemble.members[0].jobs", 'did you mean "job"']),
    ("unknown fusion", ENSEMBLE + "  fusion: mode\n", [], BAD_INPUT,
     ["ensemble.fusion", "mode", "uncertainty"]),
    ("unknown output", ENSEMBLE + "  outputs: [npz]\n", [], BAD_INPUT,
     ["ensemble.outputs[0]", "npz", "jsonl"]),
    ("training and ensemble", GOOD + ENSEMBLE.replace("name: both\n", ""), [], BAD_INPUT,
     ["training", "ensemble"]),
    ("bytes that are no text", GOOD.encode() + b"labels: {a: \xff}\n", [], BAD_INPUT,
     ["job.yaml: line 6", "UTF-8"]),
    ("missing module", ENSEMBLE.replace("job: jobs/1", "torchscript: ./no-module.pt"), [],
     NOT_FOUND, ["no-module.pt"]),
    ("NaN", GOOD + "  optimizer: {learning_rate: .nan}\n", [], BAD_INPUT,
     ["training.optimizer.learning_rate", "finite"]),
    ("negative duration", GOOD + "limits: {run_time: -5s}\n", [], BAD_INPUT,
     ["limits.run_time", "-5s"]),
    ("wrong enum value", GOOD.replace("format: idx", "format: idxx"), [], BAD_INPUT,
     ["training.data.format", "idxx", "cifar10"]),
    ("two kinds of source", GOOD.replace("{path: /data/glyphs}", "{path: /a, artifact: b}"), [],
     BAD_INPUT, ["training.data.source", "one of"]),
    ("no YAML", "training: [1, 2\n", [], BAD_INPUT, ["job.yaml"]),
    ("two members of a name", "name: a\nname: b\n", [], BAD_INPUT, ["name"]),
    ("too large a file", "name: " + "x" * (1 << 20) + "\n", [], BAD_INPUT, ["larger than 1048576 bytes"]),
    ("bad --set", GOOD, ["--set", "training.epoch=3"], BAD_INPUT,
     ["training.epoch", 'did you mean "epochs"']),
    ("--set without a value", GOOD, ["--set", "training.epochs"], BAD_INPUT, ["training.epochs"]),
    ("missing upload", GOOD.replace("{path: /data/glyphs}", "{upload: ./nothing-here}"), [],
     NOT_FOUND, ["nothing-here"]),
]

AT_THE_SERVER = [
    ("empty job file", "{}\n", [], BAD_INPUT, ["training"]),
    ("no model", "training: {data: {format: idx, source: {path: /d}}}\n", [], BAD_INPUT,
     ["training.model"]),
    ("unknown model", GOOD.replace("mnist_cnn", "mnist_cn"), [], BAD_INPUT,
     ["training.model.architecture", "mnist_cn", 'did you mean "mnist_cnn"']),
    ("no format", GOOD.replace("format: idx, ", ""), [], BAD_INPUT, ["training.data.format"]),
    ("number over its range", GOOD.replace("epochs: 1", "epochs: 1000001"), [], BAD_INPUT,
     ["training.epochs", "1000001", "1,000,000"]),
    ("split over its range", GOOD.replace("idx,", "idx, validation_split: 0.95,"), [], BAD_INPUT,
     ["training.data.validation_split", "0.95", "0.9"]),
    ("negative learning rate", GOOD + "  optimizer: {learning_rate: -0.1}\n", [], BAD_INPUT,
     ["training.optimizer.learning_rate", "-0.1"]),
    ("relative path", GOOD.replace("/data/glyphs", "data/glyphs"), [], BAD_INPUT,
     ["training.data.source.path", "absolute"]),
    ("no artifact name", GOOD.replace("{path: /data/glyphs}", '{artifact: "sha256:12"}'), [],
     BAD_INPUT, ["training.data.source.artifact", "64"]),
    ("artifact that is not there", GOOD.replace("{path: /data/glyphs}",
                                                '{artifact: "sha256:' + "0" * 64 + '"}'),
     [], REFUSED, ["training.data.source.artifact", "sha256:000", "upload it"]),
    ("model that cannot fit", GOOD.replace("format: idx", "format: cifar10"), [], BAD_INPUT,
     ["training.model.architecture", "28x28"]),
    ("bad name", GOOD.replace("name: table", "name: a b"), [], BAD_INPUT, ["name", "a b"]),
    ("too many retries", GOOD + "retry: {max_retries: 101}\n", [], BAD_INPUT,
     ["retry.max_retries", "101"]),
    ("no members", ENSEMBLE.replace("[{job: jobs/1}]", "[]"), [], BAD_INPUT, ["ensemble.members"]),
    ("member that is nothing", ENSEMBLE.replace("job: jobs/1", "name: a"), [], BAD_INPUT,
     ["ensemble.members[0].model", "torchscript", "job"]),
    ("member that is two things", ENSEMBLE.replace("{job", "{torchscript: {path: /m.pt}, job"), [],
     BAD_INPUT, ["ensemble.members[0].torchscript", "job"]),
    ("untrained member", ENSEMBLE.replace("job: jobs/1", "model: {architecture: mlp}"), [],
     BAD_INPUT, ["ensemble.members[0].model.weights"]),
    ("members of one name", ENSEMBLE.replace("[{job: jobs/1}]", "[{job: jobs/1, name: a}, "
                                             "{job: jobs/2, name: a}]"), [], BAD_INPUT,
     ["ensemble.members[1].name", "members[0]"]),
    ("name of a member", ENSEMBLE.replace("{job", "{name: ../a, job"), [], BAD_INPUT,
     ["ensemble.members[0].name", "../a"]),
    ("weight without weighted", ENSEMBLE.replace("{job", "{weight: 0.5, job"), [], BAD_INPUT,
     ["ensemble.members[0].weight", "0.5", "weighted"]),
    ("negative weight", ENSEMBLE.replace("{job", "{weight: -1, job") + "  fusion: weighted\n", [],
     BAD_INPUT, ["ensemble.members[0].weight", "-1"]),
    ("weights that sum to 0", ENSEMBLE.replace("{job", "{weight: 0, job") + "  fusion: weighted\n",
     [], BAD_INPUT, ["ensemble.members", "sum 0"]),
    ("too many dropout passes", ENSEMBLE + "  mc_samples: 1001\n", [], BAD_INPUT,
     ["ensemble.mc_samples", "1001", "1,000"]),
    ("split of what is predicted", ENSEMBLE.replace("idx,", "idx, validation_split: 0.1,"), [],
     BAD_INPUT, ["ensemble.data.validation_split", "0.1"]),
    ("augmented predictions", ENSEMBLE.replace("idx,", "idx, augment: true,"), [], BAD_INPUT,
     ["ensemble.data.augment"]),
    ("output twice", ENSEMBLE + "  outputs: [csv, csv]\n", [], BAD_INPUT, ["ensemble.outputs[1]"]),
    ("member's artifact that is not there", ENSEMBLE.replace(
        "job: jobs/1", 'torchscript: "sha256:' + "0" * 64 + '"'), [], REFUSED,
     ["ensemble.members[0].torchscript", "sha256:000", "upload it"]),
    ("member job that is not there", ENSEMBLE, [], NOT_FOUND,
     ["ensemble.members[0].job", "jobs/1", "does not exist"]),
    ("member job that is no job", ENSEMBLE.replace("jobs/1", "one"), [], BAD_INPUT,
     ["ensemble.members[0].job", "one", "jobs/"]),
    ("two CPUs for an ensemble", ENSEMBLE + "resources: {devices: [{kind: cpu, count: 2}]}\n", [],
     BAD_INPUT, ["resources.devices[0].count", "2"]),
]


class BadJobFiles(yard.TestCase):
    def check_rows(self, rows):
        for what, text, flags, code, parts in rows:
            with self.subTest(what):
                path = self.yard.write("job.yaml", text)
                result = self.yard.ctl("submit", path, *flags)
                self.assertEqual(result.code, code, str(result))
                for part in parts:
                    self.assertIn(part, result.err)
                self.assertLess(len(result.err), 2000, "an error is a line or two")
                self.assertEqual(result.out, "")

    def test_is_found_before_the_server_is_asked(self):
        # Nothing listens there.
        self.yard.env["TRAINYARD_SERVER"] = "127.0.0.1:1"
        self.check_rows(WITHOUT_SERVER)

    def test_is_refused_by_the_server_and_nothing_is_stored(self):
        self.yard.start_server()
        self.check_rows(AT_THE_SERVER)
        self.assertEqual(self.yard.jobs(), [])

    def test_dry_run_finds_the_same(self):
        self.yard.start_server()
        self.check_rows([(what, text, flags + ["--dry-run"], code, parts)
                         for what, text, flags, code, parts in AT_THE_SERVER[:4]])
        path = self.yard.write("job.yaml", GOOD)
        self.yard.ctl_ok("submit", path, "--dry-run")
        self.assertEqual(self.yard.jobs(), [])

    def test_nothing_is_uploaded_for_a_job_that_is_refused(self):
        self.yard.start_server()
        folder = self.yard.glyphs(200, 100)
        for text in (ENSEMBLE, GOOD.replace("epochs: 1", "epochs: 1000001")):
            path = self.yard.write("job.yaml", text.replace("/data/glyphs", folder)
                                   .replace("{path: ", "{upload: "))
            result = self.yard.ctl("submit", path)
            self.assertNotEqual(result.code, 0, str(result))
            self.assertNotIn("upload", result.err)
        self.assertEqual(self.yard.ctl_ok("artifacts", "list", "--output", "json").json()
                         .get("artifacts", []), [])

    def test_a_request_id_is_for_one_job(self):
        self.yard.start_server()
        path = self.yard.write("job.yaml", GOOD)
        for _ in range(2):
            self.assertIn("jobs/1 ", self.yard.ctl_ok("submit", path, "--request-id", "r").out)
        result = self.yard.ctl("submit", path, "--request-id", "r", "--epochs", "2")
        self.assertEqual(result.code, REFUSED, str(result))
        for part in ('"r"', "jobs/1", "another request_id"):
            self.assertIn(part, result.err)
        self.assertEqual(len(self.yard.jobs()), 1)

    def test_unknown_names_are_named(self):
        self.yard.start_server()
        for command, name in ((("get", "jobs/99"), "jobs/99"), (("cancel", "99"), "jobs/99"),
                              (("logs", "99"), "jobs/99"), (("watch", "99"), "jobs/99"),
                              (("metrics", "99"), "jobs/99"), (("drain", "nobody"), "nobody")):
            with self.subTest(command):
                result = self.yard.ctl(*command)
                self.assertEqual(result.code, NOT_FOUND, str(result))
                self.assertIn(name, result.err)
        self.assertEqual(self.yard.ctl("get", "job-one").code, BAD_INPUT)
        self.assertEqual(self.yard.ctl("submitt").code, BAD_INPUT)


def change(path, function):
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(function(data))


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:]


class BadData(yard.TestCase):
    """What only the worker or the runner can know: the job fails with its cause, at once."""

    def run_job(self, source, fmt="idx", model=None, weights=None):
        """submit --follow of a short job; must fail for good at its first attempt."""
        spec = yard.glyphs_job("", data={"format": fmt, "source": source, "image_size": 32},
                               model=model or {"architecture": "mnist_cnn"})
        if weights:
            spec["training"]["model"]["weights"] = weights
        result = self.yard.ctl("submit", self.yard.job_file(spec), "--follow")
        self.assertEqual(result.code, JOB_FAILED, str(result))
        job = self.yard.jobs()[0]
        self.assertEqual(job["state"], "failed")
        self.assertEqual(len(job["attempts"]), 1, "user errors are not retried: " + str(result))
        failure = job["attempts"][0]["failure"]
        self.assertEqual(failure["category"], "user_error", str(failure))
        text = result.out + result.err
        self.assertIn(failure["message"], text, "the cause is in the terminal")
        self.assertNotIn("/cache/", failure["message"], "a path that the user does not know")
        shown = self.yard.ctl_ok("get", job["name"]).out
        self.assertEqual(shown.count(failure["message"]), 1, shown)
        return failure["message"]

    def copy_of_glyphs(self, name):
        folder = self.yard.path(name)
        shutil.copytree(self.yard.glyphs(200, 100), folder)
        return folder

    def test_data_files(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"

        def gzipped(path, function):
            with open(path, "rb") as file:
                data = gzip.compress(file.read())
            os.remove(path)
            with open(path + ".gz", "wb") as file:
                file.write(function(data))

        rows = [
            ("missing file", lambda f: os.remove(os.path.join(f, images)), [images]),
            ("truncated images", lambda f: change(os.path.join(f, images), lambda d: d[:5000]),
             ["training.data.source/" + images, "truncated"]),
            ("truncated header", lambda f: change(os.path.join(f, images), lambda d: d[:7]),
             [images, "truncated"]),
            ("wrong magic", lambda f: change(os.path.join(f, images), lambda d: flip(d, 2)),
             [images, "magic"]),
            ("absurd size", lambda f: change(
                os.path.join(f, images), lambda d: d[:4] + struct.pack(">I", 2**32 - 1) + d[8:]),
             [images]),
            ("labels of another number", lambda f: change(
                os.path.join(f, labels),
                lambda d: d[:4] + struct.pack(">I", 100) + d[8:108]), ["100", "200"]),
            ("truncated gzip", lambda f: gzipped(os.path.join(f, images), lambda d: d[:-100]),
             [images + ".gz"]),
            ("corrupt gzip", lambda f: gzipped(os.path.join(f, images), lambda d: flip(d, 3000)),
             [images + ".gz"]),
        ]
        for number, (what, damage, parts) in enumerate(rows):
            with self.subTest(what):
                folder = self.copy_of_glyphs(f"damaged-{number}")
                damage(folder)
                message = self.run_job({"upload": folder})
                for part in parts:
                    self.assertIn(part, message)
        self.check_alive()

    def test_other_formats_and_models(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        cifar = self.yard.path("cifar")
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            self.yard.write(os.path.join("cifar", name), bytes(3073 * 10))
        change(os.path.join(cifar, "data_batch_3.bin"), lambda d: d[:-7])
        self.assertIn("data_batch_3.bin", self.run_job({"upload": cifar}, "cifar10",
                                                       {"architecture": "mlp"}))
        images = self.yard.path("images")
        for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"):
            self.yard.write(os.path.join("images", name), b"\xff\xd8\xff\xe0 no picture")
        message = self.run_job({"upload": images}, "image_folder", {"architecture": "mlp"})
        self.assertIn(".jpg", message)
        weights = self.yard.write("weights.safetensors", struct.pack("<Q", 1 << 40) + b"{}")
        message = self.run_job({"upload": self.yard.glyphs(200, 100)},
                               weights={"upload": weights})
        self.assertIn("safetensors", message)
        wrong = {"architecture": "mnist_cnn", "num_classes": 3}
        message = self.run_job({"upload": self.yard.glyphs(200, 100)}, model=wrong)
        self.assertIn("num_classes", message)
        self.check_alive()

    def test_paths_and_blobs(self):
        self.yard.start_server()
        allowed = self.yard.path("allowed")
        os.makedirs(allowed)
        self.yard.start_worker("w1", "--data-root", allowed)
        message = self.run_job({"path": os.path.join(allowed, "nothing")})
        self.assertIn(os.path.join(allowed, "nothing"), message)
        outside = self.yard.glyphs(200, 100)
        message = self.run_job({"path": outside})
        self.assertIn(outside, message)
        self.assertIn("data-root", message)
        os.symlink(outside, os.path.join(allowed, "link"))
        message = self.run_job({"path": os.path.join(allowed, "link")})
        self.assertIn("data-root", message)
        self.check_alive()

    def check_alive(self):
        """A good job still succeeds."""
        spec = yard.glyphs_job(self.yard.glyphs(200, 100))
        result = self.yard.ctl("submit", self.yard.job_file(spec), "--follow")
        self.assertEqual(result.code, 0, str(result))
        for process in (self.yard.server, self.yard.workers["w1"]):
            self.assertIsNone(process.popen.poll(), process.text())


class Blobs(yard.TestCase):
    def test_upload_and_download_give_the_same_bytes_and_a_damaged_blob_is_told(self):
        self.yard.start_server()
        path = self.yard.write("blob.bin", os.urandom(3 << 20))
        name = self.yard.ctl_ok("artifacts", "upload", path).out.split()[0]
        self.assertRegex(name, r"^sha256:[0-9a-f]{64}$")
        back = self.yard.path("back.bin")
        self.yard.ctl_ok("artifacts", "download", name, "--out", back)
        with open(path, "rb") as one, open(back, "rb") as two:
            self.assertEqual(one.read(), two.read())
        self.damage_blob(name)
        result = self.yard.ctl("artifacts", "download", name, "--out", self.yard.path("bad.bin"))
        self.assertEqual(result.code, REFUSED, str(result))
        self.assertIn(name, result.err)
        self.assertNotIn("not in this store", result.err)
        self.assertFalse(os.path.exists(self.yard.path("bad.bin")), "nothing wrong is left behind")

    def damage_blob(self, name):
        digits = name.split(":")[1]
        for folder, _, files in os.walk(self.yard.path("state")):
            for file in files:
                if digits[4:] in os.path.join(folder, file).replace(os.sep, ""):
                    path = os.path.join(folder, file)
                    os.chmod(path, 0o600)
                    change(path, lambda d: flip(d, 1000))
                    return
        self.fail(f"no blob file of {name}")


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
