#!/usr/bin/env python3
"""Ensembles: train two models, predict with both and a TorchScript module, compare the outputs;
cancel, drain, and what is refused."""

import csv
import json
import math
import os
import re
import shutil
import struct
import subprocess

import yard

NOT_FOUND, REFUSED = 4, 6  # trainctl's exit statuses (docs/trainctl.md)
CLASSES = 10
TEST_SAMPLES = 300
# Figures are written with 6 or more significant digits.
CLOSE = 1e-5

# Debian's python3 has its python3-torch; another one may come first on PATH.
TORCH_PYTHON = os.environ.get("TRAINYARD_PEER_PYTHON", "/usr/bin/python3")
MAKE_MODULE = """
import sys, torch
torch.manual_seed(7)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 32), torch.nn.ReLU(),
                            torch.nn.Linear(32, 10)).eval()
torch.jit.script(model).save(sys.argv[1])
"""


def read_npy(path):
    """Rows of a 2-d F32 array in NumPy's format."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:6] == b"\x93NUMPY", "no npy file"
    (length,) = struct.unpack("<H", data[8:10])
    header = data[10:10 + length].decode("latin-1")
    assert "'<f4'" in header and "'fortran_order': False" in header, header
    rows, columns = (int(part) for part in
                     header.split("(")[1].split(")")[0].replace(" ", "").split(",")[:2])
    values = struct.unpack(f"<{rows * columns}f", data[10 + length:])
    return [values[row * columns:(row + 1) * columns] for row in range(rows)]


def ensemble_job(source, members, **ensemble):
    spec = {"members": members, "data": {"format": "idx", "source": {"upload": source}},
            "threads": 1}
    spec.update(ensemble)
    return {"name": "both", "ensemble": spec, "resources": {"devices": [{"kind": "cpu"}]}}


class Ensembles(yard.TestCase):
    def train(self, **training):
        spec = yard.glyphs_job(self.yard.glyphs(600, TEST_SAMPLES), **training)
        job = self.yard.submit(spec)
        self.yard.wait_for_state(job, "succeeded")
        return job

    def torchscript(self):
        """A module on this machine; None where there is no PyTorch to make it."""
        path = self.yard.path("module.pt")
        try:
            done = subprocess.run([TORCH_PYTHON, "-c", MAKE_MODULE, path], capture_output=True,
                                  text=True, timeout=yard.DEADLINE, check=False)
            problem = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except OSError as error:
            problem = [str(error)]
        if not os.path.isfile(path):
            print(f"skipped: the TorchScript member: {TORCH_PYTHON}: {' '.join(problem)}")
            return None
        return path

    def test_predicts_with_two_jobs_and_a_torchscript_module(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        members = [
            {"name": "cnn", "job": self.train()},
            {"job": self.train(model={"architecture": "mlp", "hidden_sizes": [64]}, seed=3)},
        ]
        module = self.torchscript()
        if module:
            members.append({"name": "script", "torchscript": {"upload": module}})
        spec = ensemble_job(self.yard.glyphs(600, TEST_SAMPLES), members,
                            outputs=["jsonl", "csv", "npy"], mc_samples=3, seed=5, batch_size=32)
        followed = self.yard.ctl("submit", self.yard.job_file(spec), "--follow")
        self.assertEqual(followed.code, 0, str(followed) + self.yard.logs())
        self.assertIn("the predictions are in predictions.jsonl, predictions.csv, "
                      "probabilities.npy, uncertainty.npy", followed.out.replace("\n", " "))

        job = self.yard.get("jobs/3")
        self.assertEqual(job["state"], "succeeded")
        stored = job["spec"]["ensemble"]["members"]
        self.assertEqual([m["name"] for m in stored], ["cnn", "member-2", "script"][:len(stored)])
        left = {o["name"]: o["artifact"] for o in self.yard.get("jobs/1")["outputs"]}
        self.assertEqual(stored[0]["job"], "jobs/1")
        self.assertEqual(stored[0]["model"]["architecture"], "mnist_cnn")
        self.assertEqual(stored[0]["model"]["weights"]["artifact"], left["model.safetensors"])
        self.assertEqual(stored[0]["config"]["artifact"], left["model.json"])
        self.assertEqual(stored[1]["model"]["hidden_sizes"], [64])

        folder = self.yard.path("out")
        self.yard.ctl_ok("artifacts", "download", "jobs/3", "--out", folder)
        accuracy = self.check_outputs(folder)
        self.assertGreater(accuracy, 0.5)
        shown = self.yard.ctl_ok("get", "jobs/3").out
        self.assertIn(f"accuracy {accuracy * 100:.2f} %", shown)
        self.assertIn(f"accuracy {accuracy * 100:.2f} %", followed.out)
        self.assertIn("cnn (jobs/1)", shown)
        points = self.yard.metrics("jobs/3")
        self.assertEqual(points[-1]["point"]["step"], math.ceil(TEST_SAMPLES / 32))
        self.assertAlmostEqual(points[-1]["point"]["validation_accuracy"], accuracy, delta=CLOSE)
        for point in points:
            self.assertNotIn("loss", point["point"])
        for command in (("list",), ("metrics", "jobs/3"), ("logs", "jobs/3")):
            self.yard.ctl_ok(*command)

        example = os.path.join(yard.SOURCE, "examples", "jobs", "glyphs_ensemble.yaml")
        checked = self.yard.ctl_ok("submit", example, "--dry-run", "--output", "json", "--set",
                                   "ensemble.data.source=/data/glyphs", "--set",
                                   "ensemble.members[1].job=jobs/2").json()
        self.assertEqual(checked["ensemble"]["members"][1]["config"]["artifact"],
                         stored[1]["config"]["artifact"])

        # What was asked for can be asked for again as it is shown.
        again = self.yard.write("again.yaml", self.yard.ctl_ok("get", "jobs/3", "--spec").out)
        same = self.yard.ctl_ok("submit", again, "--output", "json").json()["name"]
        self.yard.wait_for_state(same, "succeeded")
        folder = self.yard.path("again")
        self.yard.ctl_ok("artifacts", "download", same, "--out", folder)
        self.assertAlmostEqual(self.check_outputs(folder), accuracy, delta=CLOSE)

    def test_data_without_labels_is_predicted_but_not_trained_on(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        source = self.yard.glyphs(600, TEST_SAMPLES)
        bare = self.yard.path("bare")
        os.mkdir(bare)
        for name in os.listdir(source):
            if "-images-idx3-" in name:
                shutil.copy(os.path.join(source, name), bare)
        self.assertEqual(len(os.listdir(bare)), 2, os.listdir(source))

        job = self.yard.submit(ensemble_job(bare, [{"job": self.train()}]))
        self.yard.wait_for_state(job, "succeeded")
        folder = self.yard.path("out")
        self.yard.ctl_ok("artifacts", "download", job, "--out", folder)
        with open(os.path.join(folder, "predictions.jsonl"), encoding="utf-8") as file:
            samples = [json.loads(line) for line in file]
        self.assertEqual(len(samples), TEST_SAMPLES)
        self.assertGreater(len({s["prediction"] for s in samples}), 1)
        for sample in samples:
            self.assertNotIn("label", sample)
        with open(os.path.join(folder, "report.json"), encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual((report["samples"], report["labelled_samples"]), (TEST_SAMPLES, 0))
        for figure in ("accuracy", "nll", "brier", "ece"):
            self.assertNotIn(figure, report)
        for point in self.yard.metrics(job):
            self.assertNotIn("validation_accuracy", point["point"])
            self.assertNotIn("validation_loss", point["point"])
        self.assertNotIn("accuracy", self.yard.ctl_ok("get", job).out)

        training = self.yard.submit(yard.glyphs_job(bare))
        failed = self.yard.wait_for_state(training, "failed")
        self.assertEqual(len(failed["attempts"]), 1, "not retried")
        failure = failed["attempts"][0]["failure"]
        self.assertEqual(failure["category"], "user_error")
        self.assertIn("training.data: ", failure["message"])
        self.assertIn("train-labels-idx1-ubyte[.gz] is missing", failure["message"])

    def documented(self, mark):
        """Names in the first column of the table of docs/ensembles.md below a mark: the row's
        other columns."""
        with open(os.path.join(yard.SOURCE, "docs", "ensembles.md"), encoding="utf-8") as file:
            text = file.read().split(f"<!-- {mark}: checked by", 1)[1]
        rows = {}
        for line in text.split("\n\n")[1].splitlines()[2:]:
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            for name in re.findall(r"`([a-zA-Z_.]+)`", cells[0]):
                rows[name] = cells[1:]
        self.assertGreater(len(rows), 10, "the table was not found")
        return rows

    def check_documented(self, report, samples, columns):
        """The docs name every field of the files, and no other."""
        fields = self.documented("fields")
        in_jsonl = {name for name, cells in fields.items() if "jsonl" in cells[0]}
        self.assertEqual(set().union(*samples), in_jsonl - {"sample", "class"} |
                         ({"class"} & set(samples[0])))
        in_csv = [name for name, cells in fields.items() if "csv" in cells[0]]
        at = in_csv.index("probability_N")
        plain = in_csv[:at] + in_csv[at + 1:]
        self.assertEqual(columns, plain + [f"probability_{c}" for c in range(CLASSES)])

        names = set()
        for name, value in report.items():
            names.add(name)
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    names.update(f"{name}.{inner}" for inner in part)
        absent = {"peak_device_memory_bytes", "formulas.epsilon"}  # on the CPU, by mean
        self.assertEqual(names, set(self.documented("report")) - absent)

    def check_outputs(self, folder):
        """All formats say the same, and what they say fits together; the accuracy by hand."""
        with open(os.path.join(folder, "predictions.jsonl"), encoding="utf-8") as file:
            samples = [json.loads(line) for line in file]
        with open(os.path.join(folder, "predictions.csv"), encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames), list(reader)
        probabilities = read_npy(os.path.join(folder, "probabilities.npy"))
        uncertainty = read_npy(os.path.join(folder, "uncertainty.npy"))
        for what in (samples, rows, probabilities, uncertainty):
            self.assertEqual(len(what), TEST_SAMPLES)
        for i, sample in enumerate(samples):
            self.assertEqual(sample["index"], i)
            self.assertEqual(len(sample["probabilities"]), CLASSES)
            self.assertAlmostEqual(sum(sample["probabilities"]), 1, delta=1e-4)
            self.assertEqual(sample["prediction"],
                             sample["probabilities"].index(max(sample["probabilities"])))
            self.assertAlmostEqual(sample["confidence"], max(sample["probabilities"]), delta=CLOSE)
            for mine, theirs in zip(sample["probabilities"], probabilities[i]):
                self.assertAlmostEqual(mine, theirs, delta=CLOSE)
            entropy = -sum(p * math.log(p) for p in probabilities[i] if p > 0)
            self.assertAlmostEqual(sample["entropy"], entropy, delta=1e-4)
            self.assertAlmostEqual(sample["entropy"], sample["aleatoric"] + sample["epistemic"],
                                   delta=1e-4)
            figures = ("entropy", "aleatoric", "epistemic", "disagreement")
            for figure, value in zip(figures, uncertainty[i]):
                self.assertAlmostEqual(sample[figure], value, delta=CLOSE)
            for column in ("index", "label", "prediction"):
                self.assertEqual(int(rows[i][column]), sample[column])
            self.assertEqual(rows[i]["sample"], str(i))
            for c, p in enumerate(sample["probabilities"]):
                self.assertAlmostEqual(float(rows[i][f"probability_{c}"]), p, delta=CLOSE)
            for column in ("confidence",) + figures:
                self.assertAlmostEqual(float(rows[i][column]), sample[column], delta=CLOSE)
        with open(os.path.join(folder, "report.json"), encoding="utf-8") as file:
            self.check_documented(json.load(file), samples, columns)
        return sum(s["label"] == s["prediction"] for s in samples) / TEST_SAMPLES

    def start_long_ensemble(self):
        """Hundreds of batches, each for many members."""
        self.yard.start_server()
        self.yard.start_worker("w1")
        spec = ensemble_job(self.yard.glyphs(600, TEST_SAMPLES), [{"job": self.train()}] * 64,
                            batch_size=1)
        job = self.yard.submit(spec)
        self.yard.wait_for_step(job, 1)
        return job

    def test_cancelled_means_the_process_is_gone(self):
        job = self.start_long_ensemble()
        self.assertIn("batch ", self.yard.ctl_ok("get", job).out)
        self.yard.ctl_ok("cancel", job)
        self.yard.wait_for_state(job, "cancelled")
        self.assertEqual(self.yard.runner_pids(), [])
        self.assertEqual(self.yard.get(job).get("outputs", []), [])

    def test_a_drained_worker_gives_it_back_and_it_starts_anew(self):
        job = self.start_long_ensemble()
        self.yard.ctl_ok("drain", "w1")
        waiting = self.yard.wait_for_state(job, "queued")
        self.assertEqual(waiting["attempts"][0]["outcome"], "preempted")
        self.assertNotIn("checkpoint", waiting)
        self.assertIn("preempted after ", self.yard.ctl_ok("get", job).out)
        self.yard.ctl_ok("drain", "w1", "--undo")
        done = self.yard.wait_for_state(job, "succeeded")
        self.assertEqual([a["outcome"] for a in done["attempts"]], ["preempted", "succeeded"])
        folder = self.yard.path("out")
        self.yard.ctl_ok("artifacts", "download", job, "--out", folder)
        with open(os.path.join(folder, "predictions.jsonl"), encoding="utf-8") as file:
            self.assertEqual([json.loads(line)["index"] for line in file],
                             list(range(TEST_SAMPLES)), "every sample, not the rest only")

    def test_a_member_must_be_a_job_that_left_a_model(self):
        self.yard.start_server()
        glyphs = self.yard.glyphs(600, TEST_SAMPLES)

        def refusal(job, code=REFUSED):
            path = self.yard.job_file(ensemble_job(glyphs, [{"job": job}]))
            result = self.yard.ctl("submit", path)
            self.assertEqual(result.code, code, str(result))
            self.assertIn(f"ensemble.members[0].job: {job} ", result.err)
            return result.err

        self.assertIn("does not exist", refusal("jobs/1", NOT_FOUND))
        training = self.yard.submit(yard.glyphs_job(glyphs))
        self.assertIn("is queued: submit the ensemble once it has succeeded", refusal(training))
        self.yard.ctl_ok("cancel", training)
        self.yard.wait_for_state(training, "cancelled")
        self.assertIn("was cancelled and left no model", refusal(training))
        self.assertEqual(len(self.yard.jobs()), 1)

    def test_a_member_that_is_no_model_fails_at_once_with_its_cause(self):
        self.yard.start_server()
        self.yard.start_worker("w1")
        broken = self.yard.write("broken.safetensors", b"no tensors at all")
        spec = ensemble_job(self.yard.glyphs(600, TEST_SAMPLES),
                            [{"name": "bad", "model": {"architecture": "mnist_cnn",
                                                       "weights": {"upload": broken}}}])
        result = self.yard.ctl("submit", self.yard.job_file(spec), "--follow")
        self.assertEqual(result.code, 1, str(result))
        job = self.yard.jobs()[0]
        self.assertEqual(len(job["attempts"]), 1, "not retried")
        self.assertEqual(job["attempts"][0]["failure"]["category"], "user_error", str(result))
        self.assertIn("bad", job["attempts"][0]["failure"]["message"])


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainyard-worker", "trainyard-runner", "trainctl", "glyphs"])
