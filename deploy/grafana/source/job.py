"""Job: is it learning, how fast, how much longer, and what holds it back."""

from panels import (BLUE, GREEN, ORANGE, PURPLE, RED, YELLOW, Query, curves, dashboard, line, row, stat,
                    variable)

JOB = '{job_id="$job"}'
ALONE = "max by (job_id)"
BY_DEVICE = "max by (worker, device)"
DEVICE = "{{worker}} {{device}}"
WAIT = f"{ALONE} (trainyard_job_data_wait_seconds{JOB})"
COMPUTE = f"{ALONE} (trainyard_job_compute_seconds{JOB})"
LOSS = f"{ALONE} (trainyard_job_loss{JOB})"
VALIDATION_LOSS = f"{ALONE} (trainyard_job_validation_loss{JOB})"


def at_a_glance():
    return line(
        4,
        stat("Job and worker", "The job's name and the worker that runs it, or ran it last.", "short",
             [Query(f"max by (job_name, worker) (trainyard_job_step{JOB})", "{{job_name}} on {{worker}}")],
             width=6, graph=False, show="name", none="not in this time range"),
        stat("Progress", "Optimizer steps done of those planned.", "percentunit",
             [Query(f"{ALONE} (trainyard_job_step{JOB} / trainyard_job_steps{JOB})")], width=3,
             decimals=1, none="end unknown", steps=(GREEN,)),
        stat("Time left", "The runner's own estimate from its speed so far.", "s",
             [Query(f"{ALONE} (trainyard_job_eta_seconds{JOB})")], width=3, decimals=0, none="unknown",
             graph=False),
        stat("Epoch", "Pass over the data that runs, counted as the runner counts.", "short",
             [Query(f"{ALONE} (trainyard_job_epoch{JOB})")], width=3, graph=False, decimals=0,
             none="-", steps=(PURPLE,)),
        stat("Last step", "Time since the step count last grew, as the server saw it. Red from 15 "
             "minutes: then TrainyardJobNoProgress fires.", "s",
             [Query(f"time() - {ALONE} (trainyard_job_last_progress_timestamp_seconds{JOB})")],
             width=3, decimals=0, graph=False, none="-", steps=(GREEN, (300, YELLOW), (900, RED))),
        stat("Data wait", "Share of a step spent waiting for data. Above 30 % the device starves: more "
             "loader threads, a smaller decode size or a cache help more than a faster device.",
             "percentunit", [Query(f"{WAIT} / ({WAIT} + {COMPUTE})")], width=3, decimals=0, none="-",
             steps=(GREEN, (0.3, YELLOW), (0.6, RED))),
        stat("Best accuracy", "Highest validation accuracy in the time range.", "percentunit",
             [Query(f"{ALONE} (trainyard_job_validation_accuracy_ratio{JOB})")], width=3, decimals=2,
             none="not validated yet", reduce="max", graph=False, steps=(GREEN,)))


def learning():
    return line(
        9,
        curves("Loss", "Of training, smoothed by the runner, and of the last validation. Validation "
               "that rises while training falls: overfitting.", "short",
               [Query(LOSS, "training"), Query(VALIDATION_LOSS, "validation")], width=8,
               colors={"training": BLUE, "validation": ORANGE}, legend=("min", "lastNotNull")),
        curves("Validation accuracy", "Share of right answers at the end of each epoch.", "percentunit",
               [Query(f"{ALONE} (trainyard_job_validation_accuracy_ratio{JOB})", "accuracy")], width=8,
               colors={"accuracy": GREEN}, legend=("max", "lastNotNull"), none="not validated yet",
               decimals=2),
        curves("Learning rate", "What the schedule gives now.", "sci",
               [Query(f"{ALONE} (trainyard_job_learning_rate{JOB})", "learning rate")], width=8,
               colors={"learning rate": PURPLE}, legend=("lastNotNull",), low=0))


def speed():
    return line(
        8,
        curves("Throughput", "Training samples per second.", "suffix: samples/s",
               [Query(f"{ALONE} (trainyard_job_samples_per_second{JOB})", "samples/s")], width=8, low=0,
               colors={"samples/s": GREEN}, legend=("mean", "max", "lastNotNull")),
        curves("Time of a step", "Mean per step: waiting for data, and computing.", "s",
               [Query(WAIT, "data wait"), Query(COMPUTE, "compute")], width=8, stacked=True, low=0,
               colors={"data wait": ORANGE, "compute": BLUE}),
        curves("Steps", "Done, and planned. A flat piece is a pause; a step back is a resume from a "
               "checkpoint.", "short",
               [Query(f"{ALONE} (trainyard_job_step{JOB})", "done"),
                Query(f"{ALONE} (trainyard_job_steps{JOB})", "planned")], width=8, low=0,
               colors={"done": BLUE, "planned": "text"}, legend=("lastNotNull",)))


def machine():
    return [
        line(
            8,
            curves("Device use", "Utilization of the devices that the job holds.", "percentunit",
                   [Query(f"{BY_DEVICE} (trainyard_job_device_utilization_ratio{JOB})", DEVICE)],
                   width=12, low=0, high=1, none="the device cannot tell"),
            curves("Memory", "The runner's resident memory, and the device memory it took.", "bytes",
                   [Query(f"{ALONE} (trainyard_job_resident_memory_bytes{JOB})", "resident"),
                    Query(f"{BY_DEVICE} (trainyard_job_device_memory_bytes{JOB})", DEVICE)],
                   width=12, low=0, colors={"resident": PURPLE}, legend=("max", "lastNotNull"))),
        line(
            8,
            curves("Device temperature", "Where the device can tell. From 85 °C on most slow themselves "
                   "down, which shows as falling throughput.", "celsius",
                   [Query(f"{BY_DEVICE} (trainyard_job_device_temperature_celsius{JOB})", DEVICE)],
                   width=12, steps=("transparent", (85, RED)), none="the device cannot tell",
                   legend=("max", "lastNotNull")),
            curves("Device power", "Where the device can tell.", "watt",
                   [Query(f"{BY_DEVICE} (trainyard_job_device_power_watts{JOB})", DEVICE)], width=12,
                   low=0, none="the device cannot tell", legend=("mean", "max", "lastNotNull"))),
    ]


def make():
    # Choices read "17 glyphs"; the value is the number alone.
    choices = ('query_result(label_join(max by (job_id, job_name) (max_over_time('
               'trainyard_job_step[$__range])), "title", " ", "job_id", "job_name"))')
    return dashboard(
        "trainyard-job", "Trainyard: job",
        "Is it learning, how fast, how much longer, and what holds it back.",
        [at_a_glance(), row("Is it learning?"), learning(), row("How fast?"), speed(),
         row("On what?"), *machine()],
        variables=[variable("job", "Job", choices, "Jobs that ran in the time range.",
                            regex='/job_id="(?<value>[^"]+)".*title="(?<text>[^"]+)"/')],
        span="now-1h")
