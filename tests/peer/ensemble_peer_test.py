"""PyTorch and numpy as peers of ensemble inference: what trainyard-runner writes equals a reference within 1e-5.

Needs TRAINYARD_BIN (the programs' folder). Exit status 77: something is missing, and which.
"""

import csv
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

RUNNER = os.path.join(os.environ.get("TRAINYARD_BIN", "."), "trainyard-runner")
SKIPPED = 77


def skip(what):
    print(f"skipped: {what}", flush=True)
    sys.exit(SKIPPED)


if not os.access(RUNNER, os.X_OK):
    skip(f"there is no {RUNNER}; build the target trainyard-runner")
try:
    import numpy as np
    import torch
    import torchvision
except ImportError as error:
    skip(f"{sys.executable} has no {error.name} (Debian: python3-numpy, python3-torch, python3-torchvision)")

sys.dont_write_bytecode = True
import ensemble_reference as reference  # noqa: E402  beside this file
import safetensors_numpy  # noqa: E402

nn = torch.nn
CLASSES = 10
TOLERANCE = 1e-5
MNIST = {"channels": 1, "height": 28, "width": 28}


class MnistCnn(nn.Module):
    """The runner's mnist_cnn, as workers/runner/models/mnist_cnn.cc describes it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3)
        self.fc1, self.fc2 = nn.Linear(576, 64), nn.Linear(64, CLASSES)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.relu(self.conv3(x)).flatten(1)
        return self.fc2(torch.relu(self.fc1(x)))


def sharpened(model, shape, spread=3.0):
    """In eval mode, with running statistics of some batches and logits that spread: every sample has a favourite."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(16, *shape))
        model.eval()
        head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        head.weight.mul_(spread / model(torch.randn(64, *shape)).std())
    return model


def colour_net(dropout):
    """A small network that is no built-in one; with and without dropout layers."""
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
                         nn.MaxPool2d(2), nn.Dropout2d(dropout), nn.Conv2d(16, 32, 3, stride=2), nn.SiLU(),
                         nn.Flatten(), nn.Dropout(dropout), nn.Linear(32 * 7 * 7, CLASSES))


def write_idx(folder, samples):
    rng = np.random.default_rng(8)
    os.makedirs(folder)
    pixels = rng.integers(0, 256, (samples, 28, 28), dtype=np.uint8)
    labels = (np.arange(samples) % CLASSES).astype(np.uint8)
    for prefix in ("train", "t10k"):
        for kind, magic, values in (("images-idx3", 0x803, pixels), ("labels-idx1", 0x801, labels)):
            with open(os.path.join(folder, f"{prefix}-{kind}-ubyte"), "wb") as file:
                file.write(np.array([magic, *values.shape], dtype=">u4").tobytes() + values.tobytes())
    return pixels[:, None], labels.astype(np.int64)


def write_png(path, planes):
    """An RGB PNG of 3 x H x W bytes, lossless, so that both sides see the same pixels."""
    _, height, width = planes.shape

    def chunk(kind, content):
        return (struct.pack(">I", len(content)) + kind + content +
                struct.pack(">I", zlib.crc32(kind + content)))

    rows = b"".join(b"\0" + planes[:, y].T.tobytes() for y in range(height))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_folder(folder, samples, side=32):
    """An image folder of ten classes; returns pixels, labels and paths in the order of sorted paths."""
    rng = np.random.default_rng(9)
    pixels, labels, names = [], [], []
    for label in range(CLASSES):
        os.makedirs(os.path.join(folder, f"class{label}"))
        for i in range(samples // CLASSES):
            planes = rng.integers(0, 256, (3, side, side), dtype=np.uint8)
            names.append(f"class{label}/{i:03}.png")
            write_png(os.path.join(folder, names[-1]), planes)
            pixels.append(planes)
            labels.append(label)
    return np.stack(pixels), np.array(labels), names


def normalised(pixels, mean, std):
    shape = (1, -1, 1, 1)
    scaled = (pixels / 255 - np.reshape(mean, shape)) / np.reshape(std, shape)
    return torch.from_numpy(scaled.astype(np.float32))


def run(work_dir, ensemble):
    """Runs the runner as docs/runner_protocol.md says, by hand; returns its events and its output folder."""
    os.makedirs(work_dir)
    spec_path = os.path.join(os.path.dirname(work_dir), os.path.basename(work_dir) + ".json")
    with open(spec_path, "w", encoding="utf-8") as file:
        json.dump({"trainyard_runner": 1, "job": 1, "attempt": 1, "ensemble": ensemble,
                   "device": {"kind": "cpu", "threads": 2}, "work_dir": work_dir}, file)
    done = subprocess.run([RUNNER, "--spec", spec_path, "--events-fd", "1", "--commands-fd", "-1"],
                          stdout=subprocess.PIPE, text=True, timeout=240, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, events, os.path.join(work_dir, "output")


class EnsemblePeerTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(5)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    # --- members -----------------------------------------------------------

    def built_in(self, name, architecture, model, config=None):
        weights = self.path(f"{name}.safetensors")
        safetensors_numpy.save(weights, {key: value.numpy() for key, value in model.state_dict().items()})
        member = {"name": name, "model": {"architecture": architecture, "weights": {"path": weights}}}
        if config is not None:
            member["config"] = {"path": self.path(f"{name}.json")}
            with open(member["config"]["path"], "w", encoding="utf-8") as file:
                json.dump({"trainyard_model": 1, "architecture": architecture, "num_classes": CLASSES, **config}, file)
        return member

    def torchscript(self, name, module, example=None):
        path = self.path(f"{name}.pt")
        (torch.jit.script(module) if example is None else torch.jit.trace(module, example)).save(path)
        return {"name": name, "torchscript": {"path": path}}

    # --- what is compared --------------------------------------------------

    def predict(self, name, ensemble):
        status, events, output = run(self.path(name), ensemble)
        self.assertEqual(status, 0, events[-1:])
        self.assertEqual(events[-1]["event"], "finished")
        return output, events[-1]["outputs"]

    def assert_close(self, ours, theirs, what):
        ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
        self.assertEqual(ours.shape, theirs.shape, what)
        self.assertLessEqual(np.abs(ours - theirs).max(), TOLERANCE, what)

    def check_npy(self, output, fused):
        probabilities = np.load(os.path.join(output, "probabilities.npy"))
        uncertainty = np.load(os.path.join(output, "uncertainty.npy"))
        self.assertEqual((probabilities.dtype, uncertainty.dtype), (np.float32, np.float32))
        self.assert_close(probabilities, fused.probabilities, "probabilities.npy")
        for column, name in enumerate(("entropy", "aleatoric", "epistemic", "disagreement")):
            self.assert_close(uncertainty[:, column], getattr(fused, name), f"uncertainty.npy {name}")

    def check_rows(self, rows, fused, labels, names):
        """Rows of the JSONL or the CSV file, as dicts."""
        self.assertEqual([int(row["index"]) for row in rows], list(range(len(labels))))
        self.assertEqual([int(row["label"]) for row in rows], list(labels))
        self.assertEqual([int(row["prediction"]) for row in rows], list(fused.prediction))
        if names is not None:
            self.assertEqual([row["sample"] for row in rows], names)
        for name in ("confidence", "entropy", "aleatoric", "epistemic", "disagreement"):
            self.assert_close([float(row[name]) for row in rows], getattr(fused, name), name)

    def check_all(self, output, fused, labels, names=None):
        self.check_npy(output, fused)
        with open(os.path.join(output, "predictions.jsonl"), encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        self.check_rows(rows, fused, labels, names)
        self.assert_close([row["probabilities"] for row in rows], fused.probabilities, "probabilities")
        with open(os.path.join(output, "predictions.csv"), encoding="utf-8", newline="") as file:
            self.check_rows(list(csv.DictReader(file)), fused, labels, names)

    def check_report(self, output, fused, labels, logits):
        with open(os.path.join(output, "report.json"), encoding="utf-8") as file:
            report = json.load(file)
        expected = reference.calibration(fused.probabilities, fused.prediction, labels)
        self.assert_figures(report, expected, "ensemble")
        for member, one in zip(report["members"], logits):
            alone = reference.fuse([one], "mean")
            self.assert_figures(member, reference.calibration(alone.probabilities, alone.prediction, labels),
                                member["name"])

    def assert_figures(self, ours, expected, what):
        for name, value in expected.items():
            self.assertAlmostEqual(ours[name], value, delta=TOLERANCE, msg=f"{what} {name}")

    @staticmethod
    def logits(module, images):
        with torch.inference_mode():
            return module(images).double().numpy()[None]

    # --- tests -------------------------------------------------------------

    def test_mnist_cnns_under_every_fusion_rule(self):
        pixels, labels = write_idx(self.path("idx"), 203)
        mean, std = pixels.mean() / 255, pixels.std() / 255
        config = {"input": MNIST, "normalization": {"mean": [0.4], "std": [0.2]}}
        models = [sharpened(MnistCnn(), (1, 28, 28)) for _ in range(4)]
        members = [self.built_in("a", "mnist_cnn", models[0]),
                   self.built_in("b", "mnist_cnn", models[1], config),
                   self.torchscript("c", models[2]),
                   self.torchscript("d", models[3], torch.randn(1, 1, 28, 28))]
        weights = [2, 0.5, 0, 1]
        for member, weight in zip(members, weights):
            member["weight"] = weight
        by_data, by_config = normalised(pixels, mean, std), normalised(pixels, 0.4, 0.2)
        logits = [self.logits(model, by_config if i == 1 else by_data) for i, model in enumerate(models)]
        seen = {}
        for fusion in ("mean", "vote", "weighted", "uncertainty"):
            with self.subTest(fusion=fusion):
                output, files = self.predict(fusion, {
                    "members": members, "data": {"format": "idx", "source": {"path": self.path("idx")}},
                    "fusion": fusion, "batch_size": 64, "outputs": ["jsonl", "csv", "npy"]})
                self.assertEqual(sorted(files), ["metrics.jsonl", "predictions.csv", "predictions.jsonl",
                                                 "probabilities.npy", "report.json", "uncertainty.npy"])
                fused = seen[fusion] = reference.fuse(logits, fusion, weights)
                self.check_all(output, fused, labels)
                self.check_report(output, fused, labels, logits)
        self.assertTrue((seen["vote"].prediction != seen["mean"].prediction).any(), "vote and mean were never told apart")
        self.assertGreater(np.abs(seen["uncertainty"].probabilities - seen["mean"].probabilities).max(), 0.01)
        self.assertGreater(seen["mean"].epistemic.max(), 0.1)

    def test_resnet18s_and_torchscript_on_an_image_folder(self):
        pixels, labels, names = write_folder(self.path("images"), 50)
        models = [sharpened(torchvision.models.resnet18(num_classes=CLASSES), (3, 32, 32)) for _ in range(2)]
        models.append(sharpened(colour_net(0.5), (3, 32, 32)))
        members = [self.built_in("one", "resnet18", models[0]), self.torchscript("two", models[1]),
                   self.torchscript("three", models[2])]
        images = normalised(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        logits = [self.logits(model, images) for model in models]
        fused = reference.fuse(logits, "mean")
        output, _ = self.predict("out", {
            "members": members, "batch_size": 16, "outputs": ["jsonl", "csv", "npy"],
            "data": {"format": "image_folder", "source": {"path": self.path("images")}, "image_size": 32}})
        self.check_all(output, fused, labels, names)
        self.check_report(output, fused, labels, logits)

    def dropout_run(self, name, member, passes, seed=1):
        output, _ = self.predict(name, {
            "members": [member], "mc_samples": passes, "seed": seed, "outputs": ["npy"],
            "data": {"format": "image_folder", "source": {"path": self.path("images")}, "image_size": 32}})
        return (np.load(os.path.join(output, "probabilities.npy")), np.load(os.path.join(output, "uncertainty.npy")))

    def test_mc_dropout_is_pytorchs_in_distribution(self):
        pixels, _, _ = write_folder(self.path("images"), 20)
        images = normalised(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        model = sharpened(colour_net(0.3), (3, 32, 32))
        passes = 1000
        for kind in ("scripted", "traced"):
            with self.subTest(kind=kind):
                member = self.torchscript(kind, model, images[:1] if kind == "traced" else None)
                ours, uncertainty = self.dropout_run(kind + "-out", member, passes)
                again, _ = self.dropout_run(kind + "-again", member, passes)
                other, _ = self.dropout_run(kind + "-other", member, passes, seed=2)
                self.assertTrue(np.array_equal(ours, again), "same seed, same masks")
                self.assertFalse(np.array_equal(ours, other), "another seed, other masks")
                for module in model.modules():
                    module.train(isinstance(module, (nn.Dropout, nn.Dropout2d)))
                draws = reference.softmax(np.concatenate([self.logits(model, images) for _ in range(passes)]))
                model.eval()
                theirs = reference.fuse([np.log(draws)], "mean")
                # Two means of 1,000 draws each, of values from 0 to 1: their variance is at most p (1 - p), however
                # rare the passes in which a class is likely. Five standard errors of their difference.
                p = np.maximum(ours, theirs.probabilities)
                room = 5 * np.sqrt(p * (1 - p) * 2 / passes) + 1e-3
                self.assertTrue((np.abs(ours - theirs.probabilities) <= room).all(),
                                np.abs(ours - theirs.probabilities).max())
                noise = 5 * reference.entropy(draws).std(axis=0) * np.sqrt(2 / passes) + 1e-2
                self.assertTrue((np.abs(uncertainty[:, 1] - theirs.aleatoric) <= noise).all(),
                                np.abs(uncertainty[:, 1] - theirs.aleatoric).max())
                self.assertGreater(uncertainty[:, 2].mean(), 0.02, "passes differ, so there is epistemic uncertainty")
                self.assertLess(np.abs(uncertainty[:, 2] - theirs.epistemic).max(), 0.1)

    def test_passes_without_dropout_are_one_pass(self):
        pixels, _, _ = write_folder(self.path("images"), 20)
        images = normalised(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        model = sharpened(colour_net(0.0), (3, 32, 32))
        probabilities, uncertainty = self.dropout_run("out", self.torchscript("still", model), 7)
        self.assert_close(probabilities, reference.fuse([self.logits(model, images)], "mean").probabilities, "mean")
        self.assertLessEqual(np.abs(uncertainty[:, 2]).max(), TOLERANCE)

    def test_a_member_that_does_not_fit_is_named(self):
        write_idx(self.path("idx"), 20)
        good = self.built_in("good", "mnist_cnn", sharpened(MnistCnn(), (1, 28, 28)))
        broken = {"name": "broken", "torchscript": {"path": self.path("broken.pt")}}
        with open(broken["torchscript"]["path"], "wb") as file:
            file.write(b"PK\3\4 and then nothing")
        status, events, _ = run(self.path("out"), {
            "members": [good, broken], "data": {"format": "idx", "source": {"path": self.path("idx")}}})
        self.assertEqual(status, 1)
        self.assertEqual((events[-1]["event"], events[-1]["category"]), ("failed", "user_error"))
        self.assertIn('member "broken"', events[-1]["message"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
