#!/usr/bin/env python3
"""Submits a small training job and watches it to its end.

  submit_and_watch.py --server 127.0.0.1:7070 --data /data/glyphs

--data is a folder on the worker or an artifact ("sha256:…"). Prints a line per
state, and the outputs at the end. Exit status: 0 succeeded, 1 failed or
cancelled, 2 bad usage or an error.

TRAINYARD_TLS_CA, TRAINYARD_TLS_CERT and TRAINYARD_TLS_KEY name PEM files where the
server speaks TLS; TRAINYARD_TOKEN, or the file TRAINYARD_TOKEN_FILE, holds a token.

Needs grpcio and protobuf, and protoc with grpc_python_plugin to make the stubs
(Debian: python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc).
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import grpc

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")
# Worth another try: the server is away or busy. A submission keeps its
# request_id, so trying again cannot make a second job.
RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


def make_stubs(folder):
    """Generates the Python modules of the API into the folder and imports them."""
    plugin = shutil.which("grpc_python_plugin")
    if plugin is None:
        sys.exit("grpc_python_plugin is not on PATH (Debian: protobuf-compiler-grpc)")
    protos = [os.path.join(at, name) for at, _, names in os.walk(os.path.join(PROTO, "trainyard"))
              for name in names if name.endswith(".proto")]
    subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={folder}",
                    f"--grpc_python_out={folder}", f"--plugin=protoc-gen-grpc_python={plugin}",
                    *protos], check=True)
    sys.path.insert(0, folder)
    # pylint: disable=import-outside-toplevel,import-error
    from trainyard.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, training_pb2
    return job_pb2, job_service_pb2, job_service_pb2_grpc, training_pb2


def content(variable):
    """Of the file that an environment variable names; None where it is not set."""
    if not os.environ.get(variable):
        return None
    with open(os.environ[variable], "rb") as file:
        return file.read()


class Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends the token with every call."""

    def __init__(self, token):
        self.metadata = [("authorization", f"Bearer {token}")]

    def intercept_unary_unary(self, continuation, client_call_details, request):
        return continuation(self.add_to(client_call_details), request)

    intercept_unary_stream = intercept_unary_unary

    def add_to(self, details):
        details = details._replace(metadata=[*(details.metadata or []), *self.metadata])
        return details


def connect(server):
    """A channel as the environment says; a token goes over TLS or within this machine only."""
    # A proxy for the wide world must not come between programs of one machine.
    options = [("grpc.enable_http_proxy", 0), ("grpc.keepalive_time_ms", 30000)]
    ca = content("TRAINYARD_TLS_CA")
    token = os.environ.get("TRAINYARD_TOKEN") or (content("TRAINYARD_TOKEN_FILE") or b"").decode()
    local = server.startswith(("127.", "localhost:", "[::1]:"))
    if token and ca is None and not local:
        raise SystemExit("TRAINYARD_TLS_CA is not set: the token would go out in plain text")
    if ca is None:
        channel = grpc.insecure_channel(server, options=options)
    else:
        credentials = grpc.ssl_channel_credentials(ca, content("TRAINYARD_TLS_KEY"),
                                                   content("TRAINYARD_TLS_CERT"))
        channel = grpc.secure_channel(server, credentials, options=options)
    return grpc.intercept_channel(channel, Token(token.strip())) if token else channel


def pauses():
    """Seconds between two tries: doubling from 0.2 to 5."""
    pause = 0.2
    while True:
        yield pause
        pause = min(pause * 2, 5)


def submit(jobs, request, tries=5):
    for attempt, pause in enumerate(pauses(), 1):
        try:
            return jobs.SubmitJob(request, timeout=30).job
        except grpc.RpcError as error:
            if error.code() not in RETRYABLE or attempt == tries:
                raise
            time.sleep(pause)


def watch(jobs, service, name, on_change):
    """Calls on_change(job) with each change until the job is final; returns it."""
    revision, job, waits = 0, None, pauses()
    while True:
        request = service.WatchJobsRequest(from_revision=revision, until_final=True)
        request.filter.names.append(name)
        try:
            for response in jobs.WatchJobs(request, timeout=300):
                for job in response.jobs:
                    on_change(job)
                revision = response.revision or revision  # to go on from here
                waits = pauses()
            return job
        except grpc.RpcError as error:
            renewed = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            if not renewed and error.code() not in RETRYABLE + (grpc.StatusCode.CANCELLED,):
                raise
            if not renewed:
                print(f"connection lost ({error.details()}); trying again", file=sys.stderr)
                time.sleep(next(waits))


def run(flags, stubs):
    job_pb2, service, service_grpc, training_pb2 = stubs
    spec = job_pb2.JobSpec(name="example-python")
    spec.training.model.architecture = flags.architecture
    spec.training.data.format = training_pb2.DataSpec.FORMAT_IDX
    if flags.data.startswith("sha256:"):
        spec.training.data.source.artifact = flags.data
    else:
        spec.training.data.source.path = flags.data
    spec.training.epochs = flags.epochs

    with contextlib.closing(connect(flags.server)) as channel:
        jobs = service_grpc.JobServiceStub(channel)
        request = service.SubmitJobRequest(request_id=flags.request_id, spec=spec)
        name = submit(jobs, request).name
        shown = []

        def show(job):
            state = job_pb2.Job.State.Name(job.state).removeprefix("STATE_").lower()
            line = f"{job.name} {state} {job.reason}".rstrip()
            if shown[-1:] != [line]:
                print(line, flush=True)
            shown[:] = [line]

        job = watch(jobs, service, name, show)
    for output in job.outputs:
        print(f"output {output.name} {output.size_bytes} bytes {output.artifact}")
    return 0 if job.state == job_pb2.Job.STATE_SUCCEEDED else 1


def main():
    parser = argparse.ArgumentParser(description="Submit a training job and watch it.")
    parser.add_argument("--server", default=os.environ.get("TRAINYARD_SERVER", "127.0.0.1:7070"))
    parser.add_argument("--data", required=True, help="folder on the worker, or sha256:…")
    parser.add_argument("--architecture", default="mlp")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--request-id", default=str(uuid.uuid4()),
                        help="the same id gives the same job again")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trainyard-stubs-") as folder:
        try:
            return run(flags, make_stubs(folder))
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
