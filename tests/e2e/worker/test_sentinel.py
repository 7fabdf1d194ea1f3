"""Broker, results, locks and events on the master that a real Redis Sentinel names."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest
import redis

from tests.support.needs import need
from tests.support.running import World, wait_until
from tests.support.sentinel import MASTER_NAME, Sentinel
from worker.config.redis_client import open_redis


@pytest.fixture(scope="module")
def sentinel() -> Iterator[Sentinel]:
    need([] if shutil.which("redis-server") else ["redis-server"], "redis-server")
    with Sentinel() as sentinel:
        yield sentinel


def test_scans_are_done_on_the_master_before_and_after_a_failover(sentinel, tmp_path, make_scan):
    settings = {"CELERY_BROKER_URL": sentinel.url(), "REDIS_MASTER_NAME": MASTER_NAME, "LOCK_TTL_S": "6"}
    world = World(tmp_path, settings)
    with world.start_worker() as worker:
        worker.wait_for_event("worker_ready")
        world.put_scan("before", make_scan(frames=1))
        world.enqueue("before")
        world.wait_for("before", "completed")
        with redis.Redis(port=sentinel.master()) as master:
            keys = {key.decode() for key in master.keys("*")}
            assert "pose:events" in keys
            assert any(key.startswith("celery-task-meta-") for key in keys)

        first = sentinel.master()
        sentinel.kill_master()
        world.put_scan("after", make_scan(frames=1))
        wait_until(lambda: world.call("worker", "enqueue", "after").returncode == 0, "the new master")
        world.wait_for("after", "completed")
        assert sentinel.master() != first
        assert worker.process.poll() is None
        assert world.call("worker", "health", "--ready").stdout == "ready\n"
    # Nothing of it is in local files.
    assert {path.name for path in (tmp_path / ".run").iterdir()} <= {"health"}


def test_a_sentinel_that_is_away_costs_no_time(sentinel):
    start = time.monotonic()
    with open_redis(sentinel.url(), master_name=MASTER_NAME) as client:
        assert client.ping()
    assert time.monotonic() - start < 5  # redis-py's own tries take ten seconds and more


def test_a_master_of_another_name_is_not_used(sentinel, tmp_path):
    world = World(tmp_path, {"CELERY_BROKER_URL": sentinel.url(), "REDIS_MASTER_NAME": "other"})
    done = world.call("worker", "enqueue", "scan")
    assert done.returncode == 2
    assert "Redis (REDIS_URL, or the broker's) cannot be used: MasterNotFoundError" in done.stderr
