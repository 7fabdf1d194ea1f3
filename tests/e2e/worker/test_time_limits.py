"""A scan's time limit holds whatever happens to the broker meanwhile."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.redis_server import RedisServer
from tests.support.running import World
from worker.runtime.time_limits import set_timers

ENVIRONMENT = {"SOFT_TIME_LIMIT_S": "11", "TIME_LIMIT_S": "12", "LOCK_TTL_S": "5", "QUEUE_LEASE_S": "60"}


class Pool:
    def __init__(self, **job: Any) -> None:
        known = {"_time_accepted": 100.0, "_soft_timeout": 10, "_timeout": 15, "ready": lambda: False}
        self._cache = {1: SimpleNamespace(**{**known, **job})}
        self.timers: list[tuple[float | None, float]] = []

    def on_timeout_set(self, job: Any, soft: float | None, hard: float) -> None:
        self.timers.append((soft, hard))


@pytest.mark.parametrize(
    ("now", "timers"),
    [(104.0, (6.0, 11.0)), (112.0, (None, 3.0)), (130.0, (None, 0.01))],
    ids=["before both", "after the soft one", "after both"],
)
def test_what_runs_has_the_time_that_is_left_of_its_limits(now, timers):
    pool = Pool()
    set_timers(pool, now)
    assert pool.timers == [timers]


@pytest.mark.parametrize(
    "job",
    [{"_time_accepted": None}, {"ready": lambda: True}, {"_timeout": None}],
    ids=["waits", "done", "no limit"],
)
def test_what_does_not_run_or_has_no_limit_gets_none(job):
    pool = Pool(**job)
    set_timers(pool, 104.0)
    assert pool.timers == []


def test_a_scan_that_never_ends_is_ended_also_where_redis_was_restarted_meanwhile(tmp_path, make_scan):
    with RedisServer() as redis_server:
        world = World(tmp_path, {**ENVIRONMENT, "CELERY_BROKER_URL": redis_server.url()})
        world.put_scan("scan", make_scan(frames=25))
        with world.start_worker() as worker:
            worker.wait_for_event("process_ready")
            world.enqueue("scan")
            world.wait_for("scan", "progress")
            (child,) = worker.children()
            os.kill(child, signal.SIGSTOP)
            redis_server.stop()
            redis_server.start()
            worker.wait_for_event("scan_took_too_long")
            # Another process does the scan: nobody knows yet whose fault it was.
            assert world.wait_for("scan", "failed", "completed")["deaths"] == 1
            assert worker.stop() == 0
