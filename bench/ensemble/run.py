"""bench/run.sh ensemble: trainyard-runner beside PyTorch in Python; bench/README.md says how to read the lines.

JSON objects on stdout, one per line; all else on stderr.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = ("sequential", "threads", "decoded_once")

sys.dont_write_bytecode = True
try:
    # No more than this: a child's peak memory, as the system counts it, begins with its parent's.
    import numpy as np
except ImportError:
    print(f"skipped: {sys.executable} has no numpy (Debian: python3-numpy)", flush=True)
    sys.exit(77)

# name, architecture, members, image side (0: IDX glyphs), samples for about a minute a side on two cores
CASES = (
    ("4_resnet18", "resnet18", 4, 224, 300),
    ("4_resnet18_64px", "resnet18", 4, 64, 1500),
    ("8_mnist_cnn", "mnist_cnn", 8, 0, 10000),
)


def say(text):
    print(text, file=sys.stderr, flush=True)


def emit(**fields):
    print(json.dumps(fields), flush=True)


def measured(command):
    """Runs it; returns stdout, seconds, user seconds and the peak resident MB of the process itself.

    OpenMP threads sleep while they wait, on both sides: the runner chooses that itself, and on a machine that is not
    idle a peer that spins is several times slower."""
    began = time.perf_counter()
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {process.returncode}: {text[-500:]}")
    return text, time.perf_counter() - began, usage.ru_utime, usage.ru_maxrss / 1024


class Case:
    def __init__(self, case, args, folder):
        self.name, self.architecture, self.members, self.side, samples = case
        self.args, self.folder = args, folder
        self.samples = max(args.batch_size, int(samples * args.scale))
        self.data = os.path.join(folder, "images" if self.side else f"glyphs{self.samples}")
        self.make_data()
        done = subprocess.run([sys.executable, os.path.join(HERE, "models.py"), folder, self.architecture,
                               str(self.members)], stdout=subprocess.PIPE, text=True, check=False)
        self.stop_without(done)
        self.weights = json.loads(done.stdout)

    def make_data(self):
        if self.side:
            self.data += str(self.samples)
            done = subprocess.run([sys.executable, os.path.join(HERE, "images.py"), self.data, str(self.samples)],
                                  stdout=subprocess.PIPE, text=True, check=False)
            self.stop_without(done)
        else:
            subprocess.run([os.path.join(self.args.bin, "glyphs"), "--out", self.data, "--train", "1000", "--test",
                            str(self.samples)], check=True, stdout=sys.stderr)

    @staticmethod
    def stop_without(done):
        """Ends as skipped where the other program was, and said why."""
        if done.returncode != 0:
            print(done.stdout, end="", flush=True)
            sys.exit(done.returncode)

    def ours(self):
        work_dir = os.path.join(self.folder, "work")
        shutil.rmtree(work_dir, ignore_errors=True)
        os.makedirs(work_dir)
        data = {"format": "image_folder" if self.side else "idx", "source": {"path": self.data}}
        if self.side:
            data["image_size"] = self.side
        members = [{"model": {"architecture": self.architecture, "weights": {"path": path}}} for path in self.weights]
        spec = {"trainyard_runner": 1, "job": 1, "attempt": 1, "work_dir": work_dir,
                "device": {"kind": "cpu", "threads": self.args.threads},
                "ensemble": {"members": members, "data": data, "batch_size": self.args.batch_size, "outputs": ["npy"]}}
        path = os.path.join(self.folder, "spec.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(spec, file)
        _, seconds, user, peak = measured([os.path.join(self.args.bin, "trainyard-runner"), "--spec", path,
                                           "--events-fd", "1", "--commands-fd", "-1"])
        with open(os.path.join(work_dir, "output", "report.json"), encoding="utf-8") as file:
            report = json.load(file)
        return {"seconds": report["total_seconds"], "process_seconds": seconds, "user_seconds": user, "peak_mb": peak,
                "samples": report["samples"], "split": report["seconds"],
                "probabilities": np.load(os.path.join(work_dir, "output", "probabilities.npy"))}

    def peer(self, mode):
        out = os.path.join(self.folder, "peer.npy")
        command = [sys.executable, os.path.join(HERE, "peer.py"), mode, "--architecture", self.architecture, "--data",
                   self.data, "--batch-size", str(self.args.batch_size), "--threads", str(self.args.threads), "--out",
                   out, "--weights", *self.weights]
        if self.side:
            command += ["--image-size", str(self.side)]
        text, seconds, user, _ = measured(command)
        figures = json.loads(text)
        return {**figures, "process_seconds": seconds, "process_user_seconds": user, "probabilities": np.load(out)}


def check_same_work(name, ours, peer):
    """Both must have predicted the same: decoders and resizing differ by some grey levels, models do not."""
    if ours.shape != peer.shape:
        raise SystemExit(f"{name}: {ours.shape} probabilities here, {peer.shape} there")
    gap = float(np.abs(ours - peer).max())
    agree = float((ours.argmax(axis=1) == peer.argmax(axis=1)).mean())
    say(f"{name}: predictions agree on {agree:.2%} of the samples, probabilities within {gap:.1e}")
    if gap > 0.05:
        raise SystemExit(f"{name}: the two sides do not compute the same")


def measure(case):
    ours, peers, ratios, user_ratios = [], {mode: [] for mode in MODES}, {}, {}
    for round_number in range(case.args.rounds):
        one = case.ours()
        ours.append(one)
        for mode in MODES:
            other = case.peer(mode)
            check_same_work(f"{case.name} {mode}", one["probabilities"], other["probabilities"])
            peers[mode].append(other)
            ratios.setdefault(mode, []).append(other["seconds"] / one["seconds"])
            user_ratios.setdefault(mode, []).append(other["user_seconds"] / one["user_seconds"])
            say(f"{case.name} round {round_number + 1}: {one['seconds']:.2f} s, {mode} {other['seconds']:.2f} s; "
                f"user {one['user_seconds']:.2f} s, {other['user_seconds']:.2f} s; "
                f"peak {one['peak_mb']:.0f} MB, {other['peak_mb']:.0f} MB")

    def median(runs, field):
        return round(statistics.median(run[field] for run in runs), 3)

    common = {"members": case.members, "samples": ours[0]["samples"], "batch_size": case.args.batch_size,
              "threads": case.args.threads}
    if case.side:
        common["image_size"] = case.side
    emit(name=f"ensemble_seconds_{case.name}", value=median(ours, "seconds"), unit="s", **common,
         process_seconds=median(ours, "process_seconds"), user_seconds=median(ours, "user_seconds"),
         split={name: round(seconds, 3) for name, seconds in ours[-1]["split"].items()})
    suffix = {"sequential": "", "threads": "_vs_threads", "decoded_once": "_vs_decoded_once"}
    for mode in MODES:
        emit(name=f"ensemble_ratio_{case.name}{suffix[mode]}", value=round(statistics.median(ratios[mode]), 3),
             unit="times as fast", peer=mode, ours_seconds=median(ours, "seconds"),
             peer_seconds=median(peers[mode], "seconds"), user_ratio=round(statistics.median(user_ratios[mode]), 3),
             **common)
        emit(name=f"ensemble_memory_{case.name}{suffix[mode]}",
             value=round(median(ours, "peak_mb") / median(peers[mode], "peak_mb") - 1, 3), unit="of the peer's peak",
             peer=mode, ours_mb=median(ours, "peak_mb"), peer_mb=median(peers[mode], "peak_mb"),
             peer_decoder_mb=median(peers[mode], "decoder_peak_mb"), **common)


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh ensemble")
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--folder", required=True, help="where data is made for the time of the run")
    parser.add_argument("--case", action="append", choices=[case[0] for case in CASES], help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--scale", type=float, default=1, help="of the numbers of samples")
    args = parser.parse_args()
    for case in CASES:
        if args.case and case[0] not in args.case:
            continue
        with tempfile.TemporaryDirectory(dir=args.folder, prefix="bench-ensemble-") as folder:
            measure(Case(case, args, folder))


if __name__ == "__main__":
    main()
