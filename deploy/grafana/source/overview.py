"""Overview: what runs, what waits and why, what is broken."""

from panels import (BLUE, GREEN, GREY, ORANGE, RED, YELLOW, Column, Query, curves, dashboard, line,
                    row, stat, table)

JOB_LINK = ("Open this job", "/d/trainyard-job?var-datasource=${datasource}"
            "&var-job=${__data.fields.Job}&${__url_time_range}")
WORKER_LINK = ("Open this worker", "/d/trainyard-workers?var-datasource=${datasource}"
               "&var-worker=${__data.fields.Worker}&${__url_time_range}")
WORKERS_LINK = ("Workers and GPUs", "/d/trainyard-workers?var-datasource=${datasource}&${__url_time_range}")

RUNNING_JOB = "max by (job_id, job_name, worker)"

# 1 for each worker that may be given work.
OPEN_WORKER = "(trainyard_worker_up * on (instance, worker) (1 - trainyard_worker_draining))"
FREE = "(1 - trainyard_device_busy)"
ON_ITS_WORKER = "* on (instance, worker) group_left ()"

RATE = "[$__rate_interval]"


def at_a_glance():
    return line(
        4,
        stat("Alerts firing", "Trainyard's alerts that fire now. What to do about each: "
             "docs/operations.md. Needs the rules of deploy/prometheus/rules.yml.", "short",
             [Query('count(ALERTS{alertname=~"Trainyard.+", alertstate="firing"}) or vector(0)')],
             width=3, steps=(GREEN, (1, RED)), graph=False),
        stat("Running", "Jobs on a device now; those whose runner is just starting count too.",
             "short", [Query('sum(trainyard_jobs{state=~"starting|running"})')], width=3,
             steps=(GREY, (1, GREEN)), graph=False),
        stat("Queued", "Jobs that wait for a device.", "short",
             [Query('sum(trainyard_jobs{state="queued"})')], width=3, steps=(GREEN, (1, BLUE)),
             graph=False),
        stat("Longest wait", "Age of the job that has waited longest and still does. Yellow from "
             "30 minutes, red from 2 hours.", "s", [Query("max(trainyard_queue_oldest_wait_seconds)")],
             width=3, steps=(GREEN, (1800, YELLOW), (7200, RED)), decimals=0),
        stat("Devices busy", "Share of all devices that an attempt holds. Low is only bad while jobs "
             "wait.", "percentunit", [Query("avg(trainyard_device_busy)")], width=3, steps=(BLUE,),
             none="no devices", decimals=0),
        stat("Workers online", "Workers whose stream to the server is open.", "short",
             [Query('sum(trainyard_workers{state="online"})')], width=3, steps=(RED, (1, GREEN)),
             graph=False, link=WORKERS_LINK),
        stat("Workers silent", "Workers that were heard of and are not connected now. After their "
             "lease they count as lost and their jobs go back to the queue.", "short",
             [Query('sum(trainyard_workers{state="silent"})')], width=3, steps=(GREEN, (1, ORANGE)),
             graph=False, link=WORKERS_LINK),
        stat("Jobs failed", "Jobs that ended as failed within the time range shown above.", "short",
             [Query('sum(increase(trainyard_jobs_ended_total{state="failed"}[$__range]))', now=True)],
             width=3, steps=(GREEN, (0.5, RED)), graph=False, decimals=0),
    )


def what_runs():
    jobs = table(
        "Running jobs", "One row for each attempt that runs. Click a job for its curves. Data wait is "
        "the share of a step spent waiting for data: above 30 % the device starves.",
        {
            "progress": f"{RUNNING_JOB} (trainyard_job_step / trainyard_job_steps)",
            "epoch": f"{RUNNING_JOB} (trainyard_job_epoch)",
            "loss": f"{RUNNING_JOB} (trainyard_job_loss)",
            "speed": f"{RUNNING_JOB} (trainyard_job_samples_per_second)",
            "wait": f"{RUNNING_JOB} (trainyard_job_data_wait_seconds / "
                    "(trainyard_job_data_wait_seconds + trainyard_job_compute_seconds))",
            "eta": f"{RUNNING_JOB} (trainyard_job_eta_seconds)",
            "stale": f"{RUNNING_JOB} (time() - trainyard_job_last_progress_timestamp_seconds)",
        },
        [
            Column("Job", label="job_id", width=50, link=JOB_LINK),
            Column("Name", label="job_name", link=JOB_LINK),
            Column("Worker", label="worker", link=WORKER_LINK),
            Column("Progress", "progress", unit="percentunit", decimals=0, gauge=True, width=150,
                   steps=(GREEN,)),
            Column("Epoch", "epoch", unit="short", width=60),
            Column("Loss", "loss", unit="short", decimals=4, width=75),
            Column("Samples/s", "speed", unit="short", width=90),
            Column("Data wait", "wait", unit="percentunit", decimals=0, width=85, colored=True,
                   steps=(GREEN, (0.3, YELLOW), (0.6, RED))),
            Column("Left", "eta", unit="s", decimals=0, width=75),
            Column("Last step", "stale", unit="s", decimals=0, width=80, colored=True,
                   steps=(GREEN, (300, YELLOW), (900, RED))),
        ], width=16, none="no job is running")
    return line(
        9, jobs,
        curves("Jobs by state", "Jobs that are not final. A queued area that only grows means that "
               "more is submitted than the devices can take.", "short",
               [Query("sum by (state) (trainyard_jobs)", "{{state}}")], width=8, stacked=True, low=0,
               colors={"queued": BLUE, "starting": YELLOW, "running": GREEN}, decimals=0))


def what_waits():
    return line(
        8,
        table(
            "Why jobs wait", "Devices by kind: wanted by queued jobs, free, busy, and away (on a "
            "drained or silent worker). Wanted and nothing else: no worker has this kind. Wanted and "
            "none free: all are busy. Wanted and free: the job asks for more memory or other labels "
            "than the free ones have; trainctl get JOB says which.",
            {
                "wanted": "sum by (kind) (trainyard_queue_wanted_devices)",
                "free": f"sum by (kind) ({FREE} {ON_ITS_WORKER} {OPEN_WORKER})",
                "busy": "sum by (kind) (trainyard_device_busy)",
                "away": f"sum by (kind) ({FREE} {ON_ITS_WORKER} (1 - {OPEN_WORKER}))",
            },
            [
                Column("Kind", label="kind"),
                Column("Wanted", "wanted", unit="short", colored=True, width=95,
                       steps=(GREY, (1, BLUE))),
                Column("Free", "free", unit="short", colored=True, width=80,
                       steps=(GREY, (1, GREEN))),
                Column("Busy", "busy", unit="short", width=80),
                Column("Away", "away", unit="short", colored=True, width=80,
                       steps=(GREY, (1, ORANGE))),
            ], width=8, none="no devices"),
        curves("Wait before a start", "How long jobs had waited in the queue when they were placed.",
               "s", [Query(f"histogram_quantile({q}, sum by (le) (rate("
                           f"trainyard_job_queue_wait_seconds_bucket{RATE})))", name)
                     for q, name in ((0.5, "half within"), (0.9, "90 % within"))],
               width=8, low=0, legend=("lastNotNull", "max"), rare=True),
        curves("Run time", "How long jobs that ended had run since their last start.", "s",
               [Query(f"histogram_quantile({q}, sum by (le) (rate("
                      f"trainyard_job_run_duration_seconds_bucket{RATE})))", name)
                for q, name in ((0.5, "half within"), (0.9, "90 % within"))],
               width=8, low=0, legend=("lastNotNull", "max"), rare=True))


def what_is_broken():
    return line(
        8,
        table("Firing alerts", "Trainyard's alerts that fire now; docs/operations.md has a section for "
              "each. Needs the rules of deploy/prometheus/rules.yml.",
              {"alert": 'max by (alertname, severity, worker, job_id, kind) '
                        '(ALERTS{alertname=~"Trainyard.+", alertstate="firing"})'},
              [
                  Column("Severity", label="severity", width=85, colored=True,
                         texts=(("critical", "critical", RED), ("warning", "warning", ORANGE))),
                  Column("Alert", label="alertname"),
                  Column("Worker", label="worker", link=WORKER_LINK),
                  Column("Job", label="job_id", width=60, link=JOB_LINK),
                  Column("Kind", label="kind", width=65),
              ], width=8, none="nothing fires"),
        curves("Jobs submitted and ended", "Jobs per minute: accepted, and ended by final state.",
               "suffix: /min",
               [Query(f"60 * sum(rate(trainyard_jobs_submitted_total{RATE}))", "submitted"),
                Query(f"60 * sum by (state) (rate(trainyard_jobs_ended_total{RATE}))", "{{state}}")],
               width=8, low=0, rare=True, colors={"submitted": BLUE, "succeeded": GREEN, "failed": RED,
                                       "cancelled": GREY}),
        curves("Attempts that did not succeed", "Attempts per minute by outcome. Lost: the worker went "
               "away. Preempted: given back on purpose, as by a drain. Failed: trainctl get JOB has "
               "the cause.", "suffix: /min",
               [Query('60 * sum by (outcome) (rate(trainyard_attempts_ended_total'
                      f'{{outcome!="succeeded"}}{RATE}))', "{{outcome}}")],
               width=8, low=0, rare=True, colors={"failed": RED, "lost": ORANGE, "preempted": BLUE,
                                       "cancelled": GREY}))


def server():
    return [
        line(
            7,
            curves("Calls", "gRPC calls per second by status code. Anything but OK, NOT_FOUND and "
                   "CANCELLED deserves a look at the server's log.", "reqps",
                   [Query(f"sum by (code) (rate(trainyard_rpcs_total{RATE}))", "{{code}}")], width=8,
                   low=0, colors={"OK": GREEN}),
            curves("Slowest calls", "99 % of the calls of a method are answered within this time: the "
                   "five slowest methods.", "s",
                   [Query("topk(5, histogram_quantile(0.99, sum by (le, method) (rate("
                          f"trainyard_rpc_duration_seconds_bucket{RATE}))))", "{{method}}")],
                   width=8, low=0, legend=("lastNotNull", "max")),
            curves("Time to make a change durable", "One commit of the engine, with its write to disk. "
                   "Every submit waits for one: a slow disk shows here first.", "s",
                   [Query(f"histogram_quantile({q}, sum by (le) (rate("
                          f"trainyard_commit_duration_seconds_bucket{RATE})))", name)
                    for q, name in ((0.5, "half within"), (0.99, "99 % within"))],
                   width=8, low=0, legend=("lastNotNull", "max"))),
        line(
            7,
            curves("Engine", "Commands that wait for the engine, the records that it makes durable, and "
                   "commits that the store refused: any of those is an alert.", "short",
                   [Query("sum(trainyard_engine_inbox_commands)", "waiting commands"),
                    Query(f"sum(rate(trainyard_commit_records_total{RATE}))", "records/s"),
                    Query(f"sum(rate(trainyard_commit_failures_total{RATE}))", "refused commits/s")],
                   width=8, low=0, colors={"refused commits/s": RED}),
            curves("Telemetry stored", "Log lines and metric points per second that came from workers "
                   "and were written.", "cps",
                   [Query(f"sum(rate(trainyard_telemetry_lines_total{RATE}))", "log lines"),
                    Query(f"sum(rate(trainyard_telemetry_points_total{RATE}))", "metric points")],
                   width=8, low=0),
            curves("Open streams", "Long-lived calls by method: workers hold Synchronize and "
                   "ReportTelemetry, those who follow a job WatchJobs and StreamMetrics.", "short",
                   [Query("sum by (method) (trainyard_streams) > 0", "{{method}}")], width=8, low=0,
                   decimals=0)),
        line(
            7,
            curves("Server's disk", "Space on the disk of the server's state folder. Full, it refuses "
                   "submissions and uploads.", "bytes",
                   [Query("sum(trainyard_server_disk_free_bytes)", "free"),
                    Query("sum(trainyard_server_disk_size_bytes)", "size")],
                   width=16, low=0, colors={"free": BLUE, "size": GREY}),
            stat("Version", "Of the server.", "short",
                 [Query("max by (version) (trainyard_build_info)", "{{version}}")], width=4, graph=False,
                 show="name", none="down", steps=(BLUE,)),
            stat("Up for", "Time since the server started.", "s",
                 [Query("time() - max(trainyard_server_start_time_seconds)")], width=4, graph=False,
                 none="down", decimals=1, steps=(YELLOW, (600, GREEN)))),
    ]


def make():
    return dashboard(
        "trainyard-overview", "Trainyard: overview",
        "What runs, what waits and why, what is broken.",
        [at_a_glance(), row("What runs"), what_runs(), row("What waits and why"), what_waits(),
         row("What is broken"), what_is_broken(), row("The server"), *server()])
