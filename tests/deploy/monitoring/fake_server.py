"""An exporter that looks like a Trainyard server with CUDA and Apple GPUs, which the machine
of the test need not have: three workers, two running jobs, a queue, some failures.

    with FakeServer() as fake:
        scrape(fake.address)     # "127.0.0.1:43210"

Each scrape is a second of its life.
"""

import http.server
import math
import threading
import time

#          worker     device    kind    model                 total GB  has power
DEVICES = (("rack", "cuda:0", "cuda", "NVIDIA H100 80GB HBM3", 80, True),
           ("rack", "cuda:1", "cuda", "NVIDIA H100 80GB HBM3", 80, True),
           ("mini", "mps", "mps", "Apple M4 Pro", 24, False),
           ("mini", "cpu", "cpu", "Apple M4 Pro", 24, False))
BUSY = ("cuda:0", "mps")
#        id    name       worker  device
JOBS = (("17", "resnet50", "rack", "cuda:0"), ("18", "vit", "mini", "mps"))
GB = 1e9


def _buckets(name, labels, count, bounds=(0.1, 1, 10, 60)):
    for i, bound in enumerate(bounds):
        yield f"{name}_bucket", {**labels, "le": str(bound)}, count * (i + 1) / (len(bounds) + 1)
    yield f"{name}_bucket", {**labels, "le": "+Inf"}, count
    yield f"{name}_sum", labels, count * 2.5
    yield f"{name}_count", labels, count


def _server(second, now):
    yield "trainyard_build_info", {"version": "0.1.0"}, 1
    yield "trainyard_server_start_time_seconds", {}, now - 1000
    yield "trainyard_server_disk_free_bytes", {}, 400 * GB
    yield "trainyard_server_disk_size_bytes", {}, 1000 * GB
    for state, jobs in (("queued", 4 + second % 3), ("starting", 1), ("running", 2)):
        yield "trainyard_jobs", {"state": state}, jobs
    yield "trainyard_queue_oldest_wait_seconds", {}, 60 + second
    for kind, wanted in (("cpu", 0), ("cuda", 3), ("mps", 1)):
        yield "trainyard_queue_wanted_devices", {"kind": kind}, wanted
    for state, workers in (("online", 2), ("silent", 0)):
        yield "trainyard_workers", {"state": state}, workers
    yield "trainyard_workers_lost_total", {}, second // 5
    yield "trainyard_jobs_submitted_total", {}, 2 * second
    for state, rate in (("succeeded", 1), ("failed", 0.5), ("cancelled", 0.1)):
        yield "trainyard_jobs_ended_total", {"state": state}, rate * second
    for outcome in ("succeeded", "failed", "lost", "cancelled", "preempted"):
        yield "trainyard_attempts_ended_total", {"outcome": outcome}, second
    for name in ("commit_records_total", "commit_failures_total", "telemetry_lines_total",
                 "telemetry_points_total"):
        yield f"trainyard_{name}", {}, second
    yield "trainyard_engine_inbox_commands", {}, 0
    for method in ("SubmitJob", "ListJobs"):
        yield "trainyard_rpcs_total", {"method": method, "code": "OK"}, 3 * second
        yield from _buckets("trainyard_rpc_duration_seconds", {"method": method, "code": "OK"}, second)
    yield "trainyard_streams", {"method": "Synchronize"}, 2
    for name in ("commit_duration_seconds", "commit_commands", "job_queue_wait_seconds",
                 "job_run_duration_seconds"):
        yield from _buckets(f"trainyard_{name}", {}, second)
    yield "trainyard_job_series_omitted", {}, 0


def _workers(second, now):
    for worker in ("rack", "mini"):
        labels = {"worker": worker}
        yield "trainyard_worker_up", labels, 1
        yield "trainyard_worker_draining", labels, 0
        yield "trainyard_worker_last_seen_timestamp_seconds", labels, now - 1
        yield "trainyard_worker_attempts", labels, 1
        yield "trainyard_worker_disk_free_bytes", labels, 300 * GB
        yield "trainyard_worker_disk_size_bytes", labels, 500 * GB
    for worker, device, kind, model, total, has_power in DEVICES:
        labels = {"worker": worker, "device": device, "kind": kind}
        busy = device in BUSY
        yield "trainyard_device_info", {**labels, "model": model}, 1
        yield "trainyard_device_busy", labels, int(busy)
        yield "trainyard_device_utilization_ratio", labels, 0.9 if busy else 0.02
        yield "trainyard_device_memory_bytes", labels, total * GB
        yield "trainyard_device_memory_free_bytes", labels, total * GB * (0.3 if busy else 0.95)
        yield "trainyard_device_temperature_celsius", labels, 60 + 5 * math.sin(second / 10)
        if has_power:
            yield "trainyard_device_power_watts", labels, 400 if busy else 70


def _jobs(second, now):
    for job, name, worker, device in JOBS:
        labels = {"job_id": job, "job_name": name, "worker": worker}
        for metric, value in (
                ("step", 10 * second), ("steps", 10000), ("epoch", 1 + second // 20),
                ("loss", 2 / (1 + second)), ("learning_rate", 0.1), ("samples_per_second", 2500),
                ("data_wait_seconds", 0.01), ("compute_seconds", 0.09), ("eta_seconds", 900 - second),
                ("resident_memory_bytes", 3 * GB), ("validation_loss", 2.2 / (1 + second)),
                ("validation_accuracy_ratio", 1 - 1 / (2 + second)),
                ("last_progress_timestamp_seconds", now)):
            yield f"trainyard_job_{metric}", labels, value
        labels["device"] = device
        for metric, value in (("utilization_ratio", 0.9), ("memory_bytes", 50 * GB),
                              ("temperature_celsius", 66), ("power_watts", 400)):
            yield f"trainyard_job_device_{metric}", labels, value


def page(second, now):
    """The whole of /metrics; a metric's lines stand together."""
    lines = {}
    for part in (_server, _workers, _jobs):
        for name, labels, value in part(second, now):
            text = ",".join(f'{key}="{value}"' for key, value in labels.items())
            lines.setdefault(name, []).append(f"{name}{{{text}}} {value}")
    return "\n".join(line for group in lines.values() for line in group) + "\n"


class FakeServer:
    def __init__(self):
        seconds = iter(range(1, 1 << 30))

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = page(next(seconds), time.time()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
