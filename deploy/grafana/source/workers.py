"""Workers and GPUs: who is there, what each device does, how warm and how full it is."""

from panels import (BLUE, GREEN, GREY, ORANGE, PURPLE, RED, YELLOW, Column, Query, curves, dashboard,
                    line, row, stat, table, timeline, variable)

WORKER = '{worker=~"$worker"}'
DEVICE = '{worker=~"$worker", kind=~"$kind"}'
BY_WORKER = "max by (worker)"
BY_DEVICE = "max by (worker, device, kind)"
NAME = "{{worker}} {{device}}"
ONLY_THIS = ("Show only this worker", "/d/trainyard-workers?var-datasource=${datasource}"
             "&var-worker=${__data.fields.Worker}&${__url_time_range}")
UP = ((0, "silent", ORANGE), (1, "online", GREEN))
BUSY = ((0, "free", GREY), (1, "busy", GREEN))
USED_MEMORY = (f"({BY_DEVICE} (trainyard_device_memory_bytes{DEVICE}) - "
               f"{BY_DEVICE} (trainyard_device_memory_free_bytes{DEVICE}))")


def at_a_glance():
    return line(
        4,
        stat("Online", "Chosen workers whose stream to the server is open.", "short",
             [Query(f"sum(trainyard_worker_up{WORKER})")], width=3, steps=(RED, (1, GREEN)),
             none="0", graph=False),
        stat("Draining", "Chosen workers that take no new work.", "short",
             [Query(f"sum(trainyard_worker_draining{WORKER})")], width=3, steps=(GREY, (1, YELLOW)),
             none="0", graph=False),
        stat("Lost", "Workers, of all, that did not come back within their lease, in the time range "
             "shown above.", "short", [Query("sum(increase(trainyard_workers_lost_total[$__range]))",
                                             now=True)],
             width=3, steps=(GREEN, (0.5, RED)), graph=False, decimals=0),
        stat("Devices in all", "Devices of the chosen workers and kinds.", "short",
             [Query(f"count(trainyard_device_info{DEVICE})")], width=3, none="0", graph=False),
        stat("Free now", "Devices that no attempt holds.", "short",
             [Query(f"sum(1 - trainyard_device_busy{DEVICE})")], width=3, none="0", graph=False),
        stat("Use while busy", "Mean utilization of the devices that an attempt holds. Low: the jobs "
             "starve for data or their batches are too small for the device.", "percentunit",
             [Query(f"avg(trainyard_device_utilization_ratio{DEVICE} and on (instance, worker, device) "
                    "trainyard_device_busy == 1)")], width=3,
             steps=(RED, (0.3, YELLOW), (0.6, GREEN)), decimals=0, none="none busy"),
        stat("Hottest device", "Highest temperature of the chosen devices.", "celsius",
             [Query(f"max(trainyard_device_temperature_celsius{DEVICE})")], width=3,
             steps=(GREEN, (75, YELLOW), (85, RED)), decimals=0, none="cannot tell"),
        stat("Power", "Sum over the chosen devices that can tell.", "watt",
             [Query(f"sum(trainyard_device_power_watts{DEVICE})")], width=3, decimals=0,
             none="cannot tell", steps=(PURPLE,)))


def workers():
    return line(
        7,
        table("Workers", "Workers that are online or silent. A silent one is either on its way back "
              "or about to be lost: its jobs then go to other workers.",
              {
                  "up": f"{BY_WORKER} (trainyard_worker_up{WORKER})",
                  "draining": f"{BY_WORKER} (trainyard_worker_draining{WORKER})",
                  "attempts": f"{BY_WORKER} (trainyard_worker_attempts{WORKER})",
                  "seen": f"time() - {BY_WORKER} "
                          f"(trainyard_worker_last_seen_timestamp_seconds{WORKER})",
                  "full": f"1 - {BY_WORKER} (trainyard_worker_disk_free_bytes{WORKER}) / "
                          f"{BY_WORKER} (trainyard_worker_disk_size_bytes{WORKER})",
                  "free": f"{BY_WORKER} (trainyard_worker_disk_free_bytes{WORKER})",
              },
              [
                  Column("Worker", label="worker", link=ONLY_THIS),
                  Column("State", "up", texts=UP, colored=True, width=90),
                  Column("Drain", "draining", texts=((0, "no", GREY), (1, "draining", YELLOW)),
                         colored=True, width=90),
                  Column("Attempts", "attempts", unit="short", width=90),
                  Column("Heard", "seen", unit="s", decimals=0, width=90, colored=True,
                         steps=(GREEN, (30, YELLOW), (120, RED))),
                  Column("Disk used", "full", unit="percentunit", decimals=0, gauge=True, width=170,
                         steps=(GREEN, (0.8, YELLOW), (0.9, RED))),
                  Column("Disk free", "free", unit="bytes", width=95),
              ], width=14, none="no worker has reported"),
        timeline("Connection", "When each worker was online, silent (not connected, its lease runs) or "
                 "gone.", [Query(f"{BY_WORKER} (trainyard_worker_up{WORKER})", "{{worker}}")],
                 width=10, texts=UP, none="no worker has reported"))


def devices():
    return line(
        8,
        table("Devices", "What each device is and does now. A dash: the device cannot tell.",
              {
                  "busy": f"{BY_DEVICE} (trainyard_device_busy{DEVICE})",
                  "info": f"max by (worker, device, kind, model) (trainyard_device_info{DEVICE})",
                  "use": f"{BY_DEVICE} (trainyard_device_utilization_ratio{DEVICE})",
                  "memory": f"{USED_MEMORY} / {BY_DEVICE} (trainyard_device_memory_bytes{DEVICE})",
                  "total": f"{BY_DEVICE} (trainyard_device_memory_bytes{DEVICE})",
              },
              [
                  Column("Worker", label="worker", link=ONLY_THIS),
                  Column("Device", label="device", width=90),
                  Column("Kind", label="kind", width=70),
                  Column("Model", label="model"),
                  Column("State", "busy", texts=BUSY, colored=True, width=70),
                  Column("Use", "use", unit="percentunit", decimals=0, gauge=True, width=150,
                         steps=(GREEN,)),
                  Column("Memory used", "memory", unit="percentunit", decimals=0, gauge=True, width=150,
                         steps=(GREEN, (0.75, YELLOW), (0.9, RED))),
                  Column("Memory", "total", unit="bytes", width=90),
              ], width=14, none="no device has been reported"),
        timeline("Held by an attempt", "When each device was busy. Gaps while jobs wait are lost time.",
                 [Query(f"{BY_DEVICE} (trainyard_device_busy{DEVICE})", NAME)], width=10, texts=BUSY,
                 none="no device has been reported"))


def over_time():
    return [
        line(
            8,
            curves("Utilization", "Share of the time in which the device computed.", "percentunit",
                   [Query(f"{BY_DEVICE} (trainyard_device_utilization_ratio{DEVICE})", NAME)], width=12,
                   low=0, high=1, none="no device can tell"),
            curves("Memory used", "Memory of the device that is not free, whoever uses it.", "bytes",
                   [Query(USED_MEMORY, NAME)], width=12, low=0, none="no device can tell")),
        line(
            8,
            curves("Temperature", "Where the device can tell. From 85 °C on most slow themselves down.",
                   "celsius", [Query(f"{BY_DEVICE} (trainyard_device_temperature_celsius{DEVICE})", NAME)],
                   width=12, steps=("transparent", (85, RED)), none="no device can tell",
                   legend=("lastNotNull", "max")),
            curves("Power by device", "Where the device can tell.", "watt",
                   [Query(f"{BY_DEVICE} (trainyard_device_power_watts{DEVICE})", NAME)], width=12, low=0,
                   none="no device can tell", stacked=True)),
        line(
            8,
            curves("Attempts by worker", "Attempts that each worker holds.", "short",
                   [Query(f"{BY_WORKER} (trainyard_worker_attempts{WORKER})", "{{worker}}")], width=12,
                   low=0, stacked=True, decimals=0, none="no worker has reported"),
            curves("Free disk by worker", "On the disk of the worker's folder: inputs, checkpoints and "
                   "logs on their way to the server.", "bytes",
                   [Query(f"{BY_WORKER} (trainyard_worker_disk_free_bytes{WORKER})", "{{worker}}")],
                   width=12, low=0, legend=("lastNotNull", "min"), none="no worker has reported")),
    ]


def make():
    return dashboard(
        "trainyard-workers", "Trainyard: workers and GPUs",
        "Who is there, what each device does, how warm and how full it is.",
        [at_a_glance(), row("Now"), workers(), devices(), row("Over time"), *over_time()],
        variables=[
            variable("worker", "Worker", "label_values(trainyard_worker_up, worker)",
                     "Workers seen in the time range.", multi=True, every=True),
            variable("kind", "Kind", 'label_values(trainyard_device_info{worker=~"$worker"}, kind)',
                     "cpu, cuda, mps.", multi=True, every=True),
        ])
