"""A Prometheus of a test's own: on a free port of this machine, in a folder of its own,
scraping once a second, with the rules of deploy/ that wait for nothing.

    with Prometheus(tools, folder, "127.0.0.1:43210") as prometheus:
        prometheus.query("sum(trainyard_jobs)")

Answers are Prometheus' own: [{"metric": {...}, "value": [...]}].
"""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import monitoring

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: trainyard
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    def __init__(self, tools, folder, target):
        os.makedirs(folder, exist_ok=True)
        rules, waits = re.subn(r"^( *for:) .*$", r"\1 0s",
                               monitoring.read("deploy", "prometheus", "rules.yml"),
                               flags=re.MULTILINE)
        assert waits > 5, "rules.yml has no 'for:' lines in the expected form"
        for name, text in (("prometheus.yml", CONFIG.format(target=target)), ("rules.yml", rules)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.log = os.path.join(folder, "prometheus.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [os.path.join(tools, "prometheus"), "--config.file=prometheus.yml",
                 "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.url = None

    def __enter__(self):
        try:
            address = self._wait(lambda: re.search(r'msg="Listening on" address=(\S+)', self._text()),
                                 "its address")
            self.url = f"http://{address.group(1)}"
            self._wait(self._ready, "being ready")
            # It looks for targets only every 5 s: what a test does before the first scrape makes no
            # rate, since that scrape's values are where the counting starts.
            self._wait(lambda: self.query("up == 1"), "a scrape")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def _text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _ready(self):
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _wait(self, condition, what, deadline=60):
        end = time.monotonic() + deadline
        while time.monotonic() < end and self.process.poll() is None:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"prometheus without {what}:\n{self._text()}")

    def _ask(self, path, **parameters):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def query(self, expr):
        """The newest values."""
        return self._ask("query", query=expr)

    def query_range(self, expr, seconds, step=1, end=None):
        """Curves over the seconds before end, or now."""
        end = end or time.time()
        return self._ask("query_range", query=expr, start=end - seconds, end=end, step=step)
