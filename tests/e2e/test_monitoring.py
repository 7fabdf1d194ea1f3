"""A real Prometheus looks at a real beat and a real worker: alerts fire, and the dashboard has numbers."""

from __future__ import annotations

import json
import re
import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker.test_metrics import free_port
from tests.support.needs import need
from tests.support.prometheus_server import DEPLOYED, RANGE, Prometheus
from tests.support.running import ROOT, World, wait_until

DASHBOARD = ROOT / "deploy" / "grafana" / "pose-worker.json"
APP = ("celery", "-A", "tests.support.faulty_app")
# No scan takes a minute here, and no GPU is full: tests/integration/test_prometheus.py makes these two fire.
NOT_HERE = {"PoseScansSlow", "PoseGpuMemoryFull"}
ALERTS = set(re.findall(r"alert: (\w+)", (DEPLOYED / "alerts.yml").read_text())) - NOT_HERE
SETTINGS = {"MAX_DEATHS": "1", "LOCK_TTL_S": "6", "RETRY_BASE_S": "0.1"}


@dataclass
class Day:
    """What Prometheus saw on a bad day: all alerts that fired, and what each query of the dashboard gave."""

    fired: set[str] = field(default_factory=set)
    answers: dict[str, list[Any]] = field(default_factory=dict)


def queries() -> list[tuple[str, str]]:
    """Title and query of each panel of the dashboard."""
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [(each["title"], target["expr"]) for each in panels for target in each.get("targets", ())]


def put(world: World, prefix: str, count: int, files: dict[str, bytes]) -> list[str]:
    names = [f"{prefix}-{number}" for number in range(count)]
    for name in names:
        world.put_scan(name, files)
    return names


@pytest.fixture(scope="module")
def day(tmp_path_factory, redis_server, make_scan) -> Day:
    """Start Prometheus, beat and a worker, and let things go wrong step by step."""
    need([] if shutil.which("prometheus") else ["prometheus"], "prometheus")
    folder: Path = tmp_path_factory.mktemp("monitoring")
    (url,) = redis_server.emptied(8)
    world = World(folder, {"CELERY_BROKER_URL": url, **SETTINGS})
    ports = {"pose-beat": free_port(), "pose-worker": free_port()}
    put(world, "seen", 1, make_scan(frames=25))
    broken = put(world, "broken", 6, make_scan(frames=1) | {"camera_calibration.txt": b"nothing"})
    poison = put(world, "poison", 3, make_scan(frames=1))
    day, scans, away = Day(), folder / "scans", folder / "away"
    with ExitStack() as stack:
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", free_port(), ports))
        client = stack.enter_context(redis_server.client(8))

        def wait_for_alerts(*names: str) -> None:
            def all_fired() -> bool:
                day.fired |= prometheus.firing()
                return set(names) <= day.fired

            with suppress(AssertionError):  # the tests say which alert is missing
                wait_until(all_fired, ", ".join(names), 120)

        beat = stack.enter_context(world.start(*APP, "beat", METRICS_PORT=str(ports["pose-beat"])))
        world.enqueue("seen-0")
        entry = json.loads(client.rpop("celery"))
        entry["headers"]["pose_sent_at"] = time.time() - 1000
        client.rpush("celery", json.dumps(entry))
        wait_for_alerts("PoseNoWorker", "PoseOldestScanWaits")

        stack.enter_context(world.start(*APP, "worker", METRICS_PORT=str(ports["pose-worker"])))
        world.wait_for("seen-0", "completed")
        wait_until(lambda: prometheus.query("pose_worker_ready == 1"), "a look at the worker")
        scans.rename(away)  # as if its disk were not mounted
        world.enqueue(*broken)
        wait_for_alerts("PoseWorkerNotReady", "PoseScansRetried", "PosePicturesWithheld")
        away.rename(scans)

        world.enqueue(*poison)
        client.lpush("celery", "no message")
        for name in (*broken, *poison):
            world.wait_for(name, "failed")
        wait_for_alerts("PoseScansFail", "PoseProcessesCrash", "PoseScansInQuarantine", "PoseDeadEntries")
        wait_for_alerts("PoseFaceDetectorWeak")
        for _, query in queries():
            day.answers[query] = prometheus.query(query.replace("$__rate_interval", RANGE))

        def beat_is_lost() -> bool:
            client.delete("pose:lock:*beat*")
            return "PoseBeatMissing" in prometheus.firing()

        wait_until(beat_is_lost, "PoseBeatMissing", 120)
        day.fired.add("PoseBeatMissing")
        beat.stop()
        wait_for_alerts("PoseMetricsMissing")
    return day


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_each_alert_fires_for_what_it_is_there_for(day, alert):
    assert alert in day.fired


def test_no_alert_fires_that_has_no_reason_to(day):
    assert day.fired == ALERTS


@pytest.mark.parametrize(("title", "query"), queries())
def test_each_query_of_the_dashboard_gives_numbers(day, title, query):
    # There is no GPU here; Prometheus has taken the query all the same.
    assert day.answers[query] or "gpu" in query, title


def test_no_scan_is_named_in_what_the_dashboard_shows(day):
    assert "seen-0" not in json.dumps(day.answers)
