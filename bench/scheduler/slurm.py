#!/usr/bin/env python3
"""No-op jobs per second of Slurm on this machine: the peer of bench/run.sh scheduler.

One slurmctld, one slurmd and one munged of Debian's packages on loopback, with
their files in a folder that is removed at the end; each job runs /bin/true.
Nothing of the system's own Slurm is used or changed.
"""

import argparse
import getpass
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
SLOTS = 64
SKIPPED = 77  # for a test; a benchmark of all cases goes on without it
START_SECONDS = 60
JOBS_SECONDS = 600

CONFIG = """
ClusterName=bench
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,default_queue_depth=10000,defer,max_rpc_cnt=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MaxJobCount=100000
MinJobAge=300
NodeName=localhost NodeAddr=127.0.0.1 CPUs={slots} Boards=1 SocketsPerBoard=1 CoresPerSocket={slots} ThreadsPerCore=1 State=UNKNOWN
PartitionName=bench Nodes=localhost Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
SlurmdParameters=config_overrides
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, done, seconds=START_SECONDS):
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} not within {seconds} s")
        time.sleep(0.1)


class Slurm:
    """The three daemons, from Start to Stop."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.env = dict(os.environ, SLURM_CONF=f"{folder}/slurm.conf")

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def spawn(self, *command):
        log = open(f"{self.folder}/daemons.log", "ab")
        self.processes.append(
            subprocess.Popen(command, env=self.env, stdout=log, stderr=log, cwd=self.folder)
        )

    def start(self):
        folder = self.folder
        for name in ("state", "spool"):
            os.mkdir(f"{folder}/{name}")
        with open(f"{folder}/munge.key", "wb") as key:
            key.write(secrets.token_bytes(128))
        os.chmod(f"{folder}/munge.key", 0o600)
        with open(f"{folder}/slurm.conf", "w", encoding="utf-8") as config:
            config.write(
                CONFIG.format(
                    user=getpass.getuser(),
                    folder=folder,
                    slots=SLOTS,
                    controller_port=free_port(),
                    node_port=free_port(),
                )
            )
        self.spawn(
            shutil.which("munged"), "--foreground", "--force",
            f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        )
        wait_for("munged", lambda: os.path.exists(f"{folder}/munge.socket"))
        self.spawn(shutil.which("slurmctld"), "-D", "-c")
        self.spawn(shutil.which("slurmd"), "-D", "-N", "localhost")
        wait_for("an idle node", lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"))

    def run(self, *command):
        return subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False
        ).stdout

    def left(self):
        return len(self.run("squeue", "-h", "-t", "PD,R,CG", "-r", "-o", "%i").split())


def measure(slurm, jobs):
    """Jobs per second, all of one array: one submit, which is Slurm's fastest."""
    script = f"{slurm.folder}/noop.sh"
    with open(script, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexec true\n")
    begin = time.monotonic()
    said = slurm.run("sbatch", "-o", "/dev/null", "-n", "1", f"--array=1-{jobs}", script)
    if "Submitted" not in said:
        raise RuntimeError("sbatch took no jobs")
    wait_for("the jobs' end", lambda: slurm.left() == 0, JOBS_SECONDS)
    return jobs / (time.monotonic() - begin)


def tail(folder):
    for name in ("daemons.log", "slurmctld.log", "slurmd.log"):
        path = f"{folder}/{name}"
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                yield from (f"{name}: {line.rstrip()}" for line in file.readlines()[-5:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--case", action="append", default=[])
    flags, _ = parser.parse_known_args()
    if flags.case and "slurm" not in flags.case:
        return 0
    # Daemons are in sbin, which is not on everyone's PATH.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        print(
            f"slurm_noop_jobs_per_second skipped: {', '.join(missing)} not found; Debian's "
            "packages munge, slurmctld, slurmd and slurm-client have them",
            file=sys.stderr,
        )
        return SKIPPED if flags.case else 0
    jobs = max(20, min(1000, int(1000 * flags.scale)))
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-slurm-") as folder:
        try:
            with Slurm(folder) as slurm:
                measure(slurm, max(2, jobs // 10))
                value = measure(slurm, jobs)
        except RuntimeError as error:
            print(f"slurm_noop_jobs_per_second failed: {error}", *tail(folder), sep="\n",
                  file=sys.stderr)
            return 1
    print(json.dumps({"name": "slurm_noop_jobs_per_second", "value": round(value, 1),
                      "unit": "jobs/s", "jobs": jobs, "slots": SLOTS}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
