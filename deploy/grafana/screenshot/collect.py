"""What a dashboard would ask its Prometheus for: every panel's answers, as draw.mjs takes them."""

import time

import monitoring


def collect(prometheus, name, seconds, values, chosen):
    """values: of the variables; chosen: [(label, text)] shown at the top."""
    dashboard = monitoring.load(name)
    # About one point for three pixels of a panel that is a third of the page.
    step = max(1, round(seconds / 200))
    values = {"__range": f"{seconds}s", "__interval": f"{step}s", **values}
    # One end for all, on the grid of the steps, as Grafana asks.
    end = time.time() // step * step
    panels = []
    for panel in dashboard["panels"]:
        answers = []
        # Rare events: a longer window, though not the dashboard's 5 minutes in so short a run.
        values["__rate_interval"] = "60s" if "interval" in panel else f"{max(4, 4 * step)}s"
        for target in panel.get("targets", []):
            expr = monitoring.fill(target["expr"], values)
            answers.append(prometheus.query(expr) if target["instant"]
                           else prometheus.query_range(expr, seconds, step, end))
        panels.append({"panel": panel, "answers": answers})
    return {"title": dashboard["title"], "variables": [["Data source", "Prometheus"], *chosen],
            "from": end - seconds, "to": end, "step": step, "panels": panels}
