"""PyTorch and torchvision as peers: weights pass between them and trainyard-runner unchanged, with the same logits.

Needs TRAINYARD_BIN (the programs' folder). Exit status 77: something is missing, and which.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

RUNNER = os.path.join(os.environ.get("TRAINYARD_BIN", "."), "trainyard-runner")
SKIPPED = 77


def skip(what):
    print(f"SKIPPED: {what}", flush=True)
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
import safetensors_numpy  # noqa: E402  beside this file

CLASSES = 10
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def write_cifar10(folder, train, test):
    """CIFAR-10's binary format: a label and 3x32x32 pixels a record; each class has a colour of its own."""
    rng = np.random.default_rng(7)
    colours = rng.integers(60, 200, (CLASSES, 3, 1, 1))
    os.makedirs(folder)
    for name, samples in (("data_batch_1.bin", train), ("test_batch.bin", test)):
        labels = np.arange(samples) % CLASSES
        pixels = np.clip(colours[labels] + rng.normal(0, 40, (samples, 3, 32, 32)), 0, 255)
        records = np.concatenate([labels[:, None], pixels.reshape(samples, -1)], axis=1)
        records.astype(np.uint8).tofile(os.path.join(folder, name))


def write_idx(folder, train, test):
    """MNIST's format: random 28x28 images of ten classes."""
    rng = np.random.default_rng(8)
    os.makedirs(folder)
    for prefix, samples in (("train", train), ("t10k", test)):
        for kind, magic, extents in (("images-idx3", 0x803, (samples, 28, 28)), ("labels-idx1", 0x801, (samples,))):
            values = np.arange(samples) % CLASSES if magic == 0x801 else rng.integers(0, 256, extents)
            head = np.array([magic, *extents], dtype=">u4").tobytes()
            with open(os.path.join(folder, f"{prefix}-{kind}-ubyte"), "wb") as file:
                file.write(head + values.astype(np.uint8).tobytes())


def train(work_dir, data_format, data, model, steps):
    """Runs the runner as a worker does; returns its events."""
    os.makedirs(work_dir)
    spec = {"trainyard_runner": 1, "job": 1, "attempt": 1, "work_dir": work_dir, "device": {"kind": "cpu"},
            "training": {"model": model, "data": {"format": data_format, "source": {"path": data}},
                         "epochs": 100, "max_steps": steps, "batch_size": 32, "seed": 3,
                         "optimizer": {"learning_rate": 0.02, "momentum": 0.9}}}
    spec_path = os.path.join(work_dir, "spec.json")
    with open(spec_path, "w", encoding="utf-8") as file:
        json.dump(spec, file)
    done = subprocess.run([RUNNER, "--spec", spec_path, "--events-fd", "1", "--commands-fd", "-1"],
                          stdout=subprocess.PIPE, text=True, timeout=240, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0:
        raise AssertionError(f"the runner failed: {events[-1:]}")
    return events


def predict(model_dir, images):
    """The runner's logits."""
    with tempfile.TemporaryDirectory() as folder:
        given, written = os.path.join(folder, "input.safetensors"), os.path.join(folder, "logits.safetensors")
        safetensors_numpy.save(given, {"input": images.numpy()})
        subprocess.run([RUNNER, "--predict", "--model-dir", model_dir, "--input", given, "--output", written],
                       timeout=240, check=True)
        return torch.from_numpy(safetensors_numpy.load(written)[0]["logits"])


def as_state(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


class PeerTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(5)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def assert_same_logits(self, ours, theirs):
        self.assertEqual(ours.shape, theirs.shape)
        self.assertTrue(torch.allclose(ours, theirs, **TOLERANCE), (ours - theirs).abs().max())
        self.assertGreater(theirs.std().item(), 0.01, "logits that are all the same show nothing")

    def test_a_trained_resnet18_loads_into_torchvision(self):
        write_cifar10(self.path("cifar"), train=320, test=64)
        events = train(self.path("work"), "cifar10", self.path("cifar"), {"architecture": "resnet18"}, steps=20)
        self.assertEqual(events[-1]["event"], "finished")
        output = self.path("work/output")

        arrays, metadata = safetensors_numpy.load(os.path.join(output, "model.safetensors"))
        self.assertEqual(metadata, {"architecture": "resnet18", "num_classes": str(CLASSES)})
        model = torchvision.models.resnet18(num_classes=CLASSES)
        model.load_state_dict(as_state(arrays), strict=True)
        self.assertEqual(model.bn1.num_batches_tracked.item(), 20)

        images = torch.randn(8, 3, 32, 32)
        with torch.no_grad():
            self.assert_same_logits(predict(output, images), model.eval()(images))

    def test_torchvisions_weights_load_into_ours(self):
        for side in (64, 224):
            model = torchvision.models.resnet18(num_classes=1000)
            with torch.no_grad():
                model(torch.randn(4, 3, side, side))  # moves the running statistics
            folder = self.path(f"theirs{side}")
            os.makedirs(folder)
            safetensors_numpy.save(os.path.join(folder, "model.safetensors"),
                                   {name: tensor.numpy() for name, tensor in model.state_dict().items()})
            with open(os.path.join(folder, "model.json"), "w", encoding="utf-8") as file:
                json.dump({"trainyard_model": 1, "architecture": "resnet18", "num_classes": 1000,
                           "input": {"channels": 3, "height": side, "width": side}}, file)
            images = torch.randn(2, 3, side, side)
            with torch.no_grad():
                self.assert_same_logits(predict(folder, images), model.eval()(images))

    def test_training_starts_from_torchvisions_weights(self):
        write_cifar10(self.path("cifar"), train=64, test=32)
        model = torchvision.models.resnet18(num_classes=CLASSES)
        weights = self.path("theirs.safetensors")
        safetensors_numpy.save(weights, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
        train(self.path("work"), "cifar10", self.path("cifar"),
              {"architecture": "resnet18", "weights": {"path": weights}}, steps=1)
        arrays, _ = safetensors_numpy.load(self.path("work/output/model.safetensors"))
        ours, theirs = as_state(arrays)["layer4.1.conv2.weight"], model.layer4[1].conv2.weight
        self.assertTrue(torch.allclose(ours, theirs, atol=0.01))
        self.assertFalse(torch.equal(ours, theirs), "one step must have moved it")

    def test_the_small_models_give_pytorchs_logits(self):
        nn = torch.nn
        peers = {
            "mnist_cnn": nn.ModuleDict({
                "conv1": nn.Conv2d(1, 32, 3), "conv2": nn.Conv2d(32, 64, 3), "conv3": nn.Conv2d(64, 64, 3),
                "fc1": nn.Linear(576, 64), "fc2": nn.Linear(64, CLASSES)}),
            "mlp": nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(784, 128), nn.Linear(128, CLASSES)])}),
        }
        write_idx(self.path("idx"), train=128, test=32)
        for name, peer in peers.items():
            train(self.path(name), "idx", self.path("idx"), {"architecture": name}, steps=8)
            output = os.path.join(self.path(name), "output")
            peer.load_state_dict(as_state(safetensors_numpy.load(os.path.join(output, "model.safetensors"))[0]))
            images = torch.randn(8, 1, 28, 28)
            with torch.no_grad():
                self.assert_same_logits(predict(output, images), self.forward(name, peer, images))

    @staticmethod
    def forward(name, peer, x):
        functional = torch.nn.functional
        if name == "mlp":
            return peer.layers[1](torch.relu(peer.layers[0](x.flatten(1))))
        x = functional.max_pool2d(torch.relu(peer.conv1(x)), 2)
        x = functional.max_pool2d(torch.relu(peer.conv2(x)), 2)
        x = torch.relu(peer.conv3(x)).flatten(1)
        return peer.fc2(torch.relu(peer.fc1(x)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
