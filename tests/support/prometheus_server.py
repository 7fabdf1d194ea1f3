"""A Prometheus of the tests, with the configuration and the alerts of deploy/prometheus in a hurry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from ruamel.yaml import YAML

from tests.support.running import PATIENCE_S, ROOT
from tests.support.s3_server import die_with_parent

DEPLOYED = ROOT / "deploy" / "prometheus"
RANGE = "5m"  # in place of the quarter of an hour and more that rules look back
SCRAPE_S = 3  # a look of beat takes more than a second


def in_a_hurry(rules: str) -> str:
    """The rules with short times: what fires after minutes fires at once. Their conditions stay the same."""
    return re.sub(r"\[\d+[mh]\]", f"[{RANGE}]", re.sub(r"for: \d+m", "for: 0s", rules))


def configuration(targets: dict[str, int], rules: Path) -> dict[str, Any]:
    """The deployed configuration, with a port of this machine for each of its jobs."""
    found: dict[str, Any] = YAML(typ="safe").load(DEPLOYED / "prometheus.yml")
    seconds = f"{SCRAPE_S}s"
    found["global"] = {"scrape_interval": seconds, "scrape_timeout": seconds, "evaluation_interval": "1s"}
    found["rule_files"] = [str(rules)]
    assert {job["job_name"] for job in found["scrape_configs"]} == set(targets)
    for job in found["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    return found


class Prometheus:
    """Prometheus in a folder and on a port of its own; to be used in a `with` statement."""

    def __init__(self, folder: Path, port: int, targets: dict[str, int]) -> None:
        folder.mkdir()
        rules = folder / "alerts.yml"
        rules.write_text(in_a_hurry((DEPLOYED / "alerts.yml").read_text()))
        path = folder / "prometheus.yml"
        path.write_text(json.dumps(configuration(targets, rules)))  # JSON is YAML
        self._url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        program = shutil.which("prometheus")
        assert program is not None
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={path}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(),
            )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            try:
                with urlopen(f"{self._url}/-/ready", timeout=5):
                    return self
            except URLError:  # HTTP 503 while it starts
                time.sleep(0.1)

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def query(self, query: str) -> list[Any]:
        """The series that a query gives now."""
        found: list[Any] = self.get("query", query=query)["result"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        alerts = self.get("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
