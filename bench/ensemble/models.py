"""The benchmark's members: seeded random weights, as safetensors for trainyard-runner and as modules for the peer.

models.py FOLDER ARCHITECTURE MEMBERS writes them and prints their paths as JSON.
"""

import json
import os
import sys

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as missing:
    print(f"skipped: {sys.executable} has no {missing.name} (Debian: python3-numpy, python3-torch, python3-torchvision)")
    sys.exit(77)

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "peer"))
import safetensors_numpy  # noqa: E402

nn = torch.nn
CLASSES = 10


class MnistCnn(nn.Module):
    """workers/runner/models/mnist_cnn.cc, written as PyTorch's tutorials do."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3)
        self.fc1, self.fc2 = nn.Linear(576, 64), nn.Linear(64, CLASSES)

    def forward(self, x):
        functional = nn.functional
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.conv3(x)).flatten(1)
        return self.fc2(functional.relu(self.fc1(x)))


def build(architecture):
    return torchvision.models.resnet18(num_classes=CLASSES) if architecture == "resnet18" else MnistCnn()


def write_weights(folder, architecture, members):
    """members files, made as wanted: returns their paths."""
    paths = []
    for seed in range(members):
        torch.manual_seed(seed)
        model = build(architecture)
        if architecture == "resnet18":
            with torch.no_grad():
                model(torch.randn(8, 3, 64, 64))  # running statistics of its own
        path = os.path.join(folder, f"{architecture}-{seed}.safetensors")
        safetensors_numpy.save(path, {name: value.numpy() for name, value in model.state_dict().items()})
        paths.append(path)
    return paths


def load(architecture, path):
    model = build(architecture)
    arrays, _ = safetensors_numpy.load(path)
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()})
    return model.eval()


if __name__ == "__main__":
    print(json.dumps(write_weights(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
