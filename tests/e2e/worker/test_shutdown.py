"""What SIGTERM does: to a clock of one's own, and to real workers over the embedded broker and over Redis."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from typing import Any

import billiard
import billiard.pool
import pytest
import redis

from tests.support.running import PATIENCE_S, Running, World
from worker.runtime.shutdown import END_S, Deadlines

SHORT_GRACE_S = 12.0  # which leaves 4 s for finishing a scan

# An app whose processes wait, in a scan of several frames, until a file is there.
SLOW = """
import time
from pathlib import Path
from worker import app, tasks

process = tasks.process

def process_slowly(scan_id, scans, results, estimator, limits, report, **options):
    def report_and_wait(stage, done, frames):
        report(stage, done, frames)
        while (frames or 0) > 1 and not Path("go").exists():
            time.sleep(0.05)
    return process(scan_id, scans, results, estimator, limits, report_and_wait, **options)

tasks.process = process_slowly
"""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_grace_period_is_shared_out_between_finishing_letting_go_and_ending():
    clock = Clock()
    deadlines = Deadlines(25, clock)
    clock.now += 1000
    assert (deadlines.requested, deadlines.stop_now(), deadlines.kill_now()) == (False, False, False)
    deadlines.request()
    asked = []
    for _ in range(26):
        asked.append((deadlines.stop_now(), deadlines.kill_now()))
        clock.now += 1
    assert asked == [(second >= 17, second >= 22) for second in range(26)]


def test_a_process_waits_for_its_last_answer_to_be_read_for_less_time_than_the_worker_has_to_end(monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr(billiard.pool.time, "sleep", waited.append)
    process = billiard.pool.Worker(
        billiard.SimpleQueue(), billiard.SimpleQueue(), on_ready_counter=billiard.Value("i", 0)
    )
    assert not process._ensure_messages_consumed(completed=1)
    assert 0 < sum(waited) < END_S


def test_a_second_request_changes_nothing():
    clock = Clock()
    deadlines = Deadlines(25, clock)
    deadlines.request()
    clock.now += 17
    deadlines.request()
    assert deadlines.stop_now()


@pytest.mark.parametrize("grace_s", [1, 2, 5, 8])
def test_a_short_grace_period_leaves_some_time_for_each(grace_s):
    clock = Clock()
    deadlines = Deadlines(grace_s, clock)
    deadlines.request()
    assert not deadlines.stop_now()
    clock.now += grace_s / 3
    assert (deadlines.stop_now(), deadlines.kill_now()) == (True, False)
    clock.now += grace_s / 3
    assert deadlines.kill_now()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="module")
def over_redis(tmp_path_factory, redis_server) -> World:
    tasks, answers = redis_server.emptied(4, 5)
    broker = {"CELERY_BROKER_URL": tasks, "CELERY_RESULT_BACKEND": answers}
    return World(tmp_path_factory.mktemp("redis"), broker)


@pytest.fixture(params=["embedded", "over_redis"])
def world(request) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


def started(world: World, name: str, grace_s: float = SHORT_GRACE_S, **environment: str) -> Running:
    """A worker that is at a scan of two frames until `go` is there, and at one of a single frame as ever."""
    (world.folder / "slow.py").write_text(SLOW)
    (world.folder / "go").unlink(missing_ok=True)
    command = ("celery", "-A", "slow", "worker", "-n", f"{name}@%h")
    return world.start(*command, SHUTDOWN_GRACE_S=str(grace_s), **environment)


def go(world: World) -> None:
    (world.folder / "go").touch()


def test_a_scan_that_can_be_finished_is_finished_and_the_worker_ends_with_it(world, make_scan):
    world.put_scan("finished", make_scan(frames=2))
    with started(world, "finishes", grace_s=120) as worker:
        worker.wait_for_event("worker_ready")
        world.enqueue("finished")
        world.wait_for("finished", "progress")
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for_event("worker_stopping")
        go(world)
        assert worker.process.wait(PATIENCE_S) == 0
        ended = time.time()
        assert worker.alive() == []
        (completed,) = worker.events("scan_completed")
    assert world.status("finished")["status"] == "completed"
    assert ended - when(completed) < 60


def test_one_that_cannot_goes_to_another_worker_within_the_grace_period(world, make_scan):
    world.put_scan("handed", make_scan(frames=2))
    with started(world, "one") as one, started(world, "other") as other:
        for worker in (one, other):
            worker.wait_for_event("worker_ready")
        world.enqueue("handed")
        world.wait_for("handed", "progress")
        first, second = (one, other) if one.events("scan_started") else (other, one)
        asked = time.time()
        first.process.send_signal(signal.SIGTERM)
        assert first.stop() == 0  # a second SIGTERM does no harm
        took = time.time() - asked
        assert first.alive() == []
        begun = when(second.wait_for_event("scan_started")) - asked
        assert took < SHORT_GRACE_S
        assert begun < SHORT_GRACE_S
        go(world)
        status = world.wait_for("handed", "completed")
    # Told to stop is no death, and no failed try.
    assert (status["deaths"], status["attempt"]) == (0, 1)
    assert first.events("scan_handed_back")
    assert not first.events("process_killed")
    assert not first.events("scan_failed")
    assert "Traceback" not in first.log()


def test_of_two_scans_each_goes_its_way(over_redis, make_scan):
    over_redis.put_scan("long", make_scan(frames=2))
    over_redis.put_scan("short", make_scan(frames=1))
    with started(over_redis, "two", CONCURRENCY="2") as worker:
        worker.wait_for_event("worker_ready")
        over_redis.enqueue("long", "short")
        over_redis.wait_for("long", "progress")
        over_redis.wait_for("short", "started", "progress", "completed")
        assert worker.stop() == 0
        assert worker.alive() == []
        assert len(worker.events("scan_handed_back")) == 1
    assert over_redis.status("short")["status"] == "completed"
    status = over_redis.status("long")
    assert (status["status"], status["reason"]) == ("queued", "handed back: its worker was told to end")
    with redis.Redis.from_url(over_redis.environment["CELERY_BROKER_URL"]) as client:
        assert client.llen("celery") == 1
        assert client.exists("pose:lock:long") == 0
        client.delete("celery")


def test_a_process_that_does_not_listen_is_killed_and_its_scan_goes_back(over_redis, make_scan):
    over_redis.put_scan("deaf", make_scan(frames=2))
    with started(over_redis, "deaf") as worker:
        worker.wait_for_event("worker_ready")
        over_redis.enqueue("deaf")
        over_redis.wait_for("deaf", "progress")
        (child,) = worker.children()
        os.kill(child, signal.SIGSTOP)
        asked = time.time()
        assert worker.stop() == 0
        assert time.time() - asked < SHORT_GRACE_S
        assert worker.alive() == []
        assert worker.events("process_killed")
    with redis.Redis.from_url(over_redis.environment["CELERY_BROKER_URL"]) as client:
        assert client.llen("celery") == 1
        client.delete("celery")


def when(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()
