"""The peer: an ensemble by PyTorch in Python, as one would write it. Prints one JSON object.

  sequential    the members one after the other, each with its own pass over a DataLoader
  threads       a ThreadPoolExecutor over the members, each with its own DataLoader
  decoded_once  the data decoded once and kept in memory as tensors, then the members one after the other

Timed is the work alone: not Python's start, imports, or loading weights.
"""

import argparse
import concurrent.futures
import gzip
import json
import os
import resource
import time

import models
import numpy as np
import torch
import torchvision

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Idx(torch.utils.data.Dataset):
    """MNIST's files; a sample becomes a normalised tensor when it is asked for, as torchvision's MNIST does it."""

    def __init__(self, folder):
        train = self.read(os.path.join(folder, "train-images-idx3-ubyte"))
        self.mean, self.std = float(train.mean()) / 255, float(train.std()) / 255
        self.images = torch.from_numpy(self.read(os.path.join(folder, "t10k-images-idx3-ubyte")))

    @staticmethod
    def read(path):
        opener = open if os.path.exists(path) else gzip.open
        with opener(path if opener is open else path + ".gz", "rb") as file:
            content = file.read()
        extents = np.frombuffer(content, ">u4", 3, 4)
        return np.frombuffer(content, np.uint8, offset=16).reshape(extents[0], 1, extents[1], extents[2]).copy()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index].to(torch.float32).div_(255).sub_(self.mean).div_(self.std)


class Folder(torch.utils.data.Dataset):
    """An image folder, resized and cut as trainyard-runner does it: shorter side, centre."""

    def __init__(self, folder, side):
        transforms = torchvision.transforms
        self.folder = torchvision.datasets.ImageFolder(folder, transforms.Compose([
            transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor(),
            transforms.Normalize(*IMAGENET)]))

    def __len__(self):
        return len(self.folder)

    def __getitem__(self, index):
        return self.folder[index][0]


def predict(model, batches):
    with torch.inference_mode():
        return torch.cat([torch.softmax(model(images), dim=1) for images in batches])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("sequential", "threads", "decoded_once"))
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--weights", nargs="+", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    together = args.mode == "threads"
    members = [models.load(args.architecture, path) for path in args.weights]
    at_once = min(len(members), args.threads) if together else 1
    torch.set_num_threads(max(1, args.threads // at_once))
    data = Folder(args.data, args.image_size) if args.image_size else Idx(args.data)
    # JPEGs are decoded beside the model, tiny samples are quicker without another process.
    decoders = 0 if not args.image_size else max(1, args.threads // at_once)

    def loader():
        return torch.utils.data.DataLoader(data, batch_size=args.batch_size, num_workers=decoders)

    def usage():
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + children.ru_utime

    began, used = time.perf_counter(), usage()
    if args.mode == "sequential":
        probabilities = [predict(model, loader()) for model in members]
    elif together:
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            def one(model):
                torch.set_num_threads(max(1, args.threads // at_once))  # holds for one thread
                return predict(model, loader())
            probabilities = list(pool.map(one, members))
    else:
        kept = list(loader())
        probabilities = [predict(model, kept) for model in members]
    fused = torch.stack(probabilities).mean(dim=0).numpy()
    np.save(args.out, fused)
    print(json.dumps({"seconds": time.perf_counter() - began, "user_seconds": usage() - used, "samples": len(fused),
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                      "decoder_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
