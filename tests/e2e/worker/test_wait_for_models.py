"""A worker whose model takes long to load: nothing is taken, and nobody answered, before it is there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import redis

from tests.support.running import PATIENCE_S, Running, World, wait_until

# An app whose processes wait for a file before they load their model.
SLOW = """
import sys, time
from pathlib import Path
from worker import app

started = sys.modules["worker.app"]
load = started.get_estimator

def load_late(settings):
    Path(f"loading-{__import__('os').getpid()}").touch()
    while not Path("go").exists():
        time.sleep(0.05)
    return load(settings)

started.get_estimator = load_late
"""


@pytest.fixture
def world(tmp_path, redis_server) -> World:
    (tmp_path / "slow.py").write_text(SLOW)
    tasks, answers = redis_server.emptied(6, 7)
    return World(tmp_path, {"CELERY_BROKER_URL": tasks, "CELERY_RESULT_BACKEND": answers})


def loading(folder: Path) -> list[Path]:
    return list(folder.glob("loading-*"))


def start_slow_worker(world: World, *options: str) -> Running:
    return world.start("celery", "-A", "slow", "worker", "-n", "slow@%h", *options, CONCURRENCY="2")


def test_no_message_is_taken_and_no_ping_answered_before_every_process_has_its_model(world, make_scan):
    world.put_scan("early", make_scan(frames=1))
    with (
        start_slow_worker(world) as worker,
        redis.Redis.from_url(world.environment["CELERY_BROKER_URL"]) as r,
    ):
        wait_until(lambda: len(loading(world.folder)) == 2, "two processes to load")
        world.enqueue("early")
        ping = world.call("celery", "-A", "worker", "inspect", "ping", "--timeout", "2")
        assert "pong" not in ping.stdout
        assert r.llen("celery") == 1
        assert not worker.events("worker_ready")

        (world.folder / "go").touch()
        worker.wait_for_event("worker_ready")
        world.ping()
        world.wait_for("early", "completed")
    order = [name for name in ("process_ready", "worker_ready", "scan_started") for _ in worker.events(name)]
    assert order == ["process_ready", "process_ready", "worker_ready", "scan_started"]
    times = [event["timestamp"] for name in dict.fromkeys(order) for event in worker.events(name)]
    assert times == sorted(times)


def test_a_process_that_dies_while_it_loads_ends_the_worker(world):
    with start_slow_worker(world) as worker:
        wait_until(lambda: len(loading(world.folder)) == 2, "two processes to load")
        os.kill(int(loading(world.folder)[0].name.partition("-")[2]), signal.SIGKILL)
        assert worker.process.wait(PATIENCE_S) == 1
        assert worker.alive() == []
        assert "a process ended while it loaded its model" in worker.log()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_can_be_ended_while_it_waits(world, signum):
    with start_slow_worker(world) as worker:
        wait_until(lambda: len(loading(world.folder)) == 2, "two processes to load")
        worker.process.send_signal(signum)
        assert worker.process.wait(PATIENCE_S) in (0, 1)
        assert worker.alive() == []


def test_enqueue_warns_only_while_no_worker_takes_from_the_queue(world, make_scan):
    world.put_scan("scan", make_scan(frames=1))
    with world.start_worker("-Q", "others") as other:
        other.wait_for_event("queue_not_served")
        assert "no worker answers" in world.call("worker", "enqueue", "scan").stderr
        with world.start_worker("--hostname", "second@%h") as worker:
            worker.wait_for_event("worker_ready")
            assert world.call("worker", "enqueue", "scan").stderr == ""
