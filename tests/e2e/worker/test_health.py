"""Healthy is who does its work: by a clock of one's own, and of real workers that are stopped or deaf."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery
from celery.worker import state

import worker.app  # registers the transports  # noqa: F401
from tests.support.running import Running, World, wait_until
from worker.cli.health import (
    LOOK_S,
    STALE_S,
    BrokerUnusable,
    Unhealthy,
    check_alive,
    check_ready,
    read_heartbeat,
    waiting_messages,
)
from worker.config.settings import load_settings, read_settings
from worker.runtime import heartbeat
from worker.runtime.heartbeat import OVERTIME_S, START_S, Heartbeat, HeartbeatStep, heartbeat_file
from worker.runtime.reports import MAX_UNFIT, Condition, Kind, Report

GOOD = Heartbeat(at=1000.0, taken=3, free=True, queues=["celery"], problem=None)


class Moment:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self, now: float = 1001.0) -> None:
        self.now = now

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def checked(heartbeats: Callable[[float], Heartbeat], waiting: int = 0, now: float = 1001.0) -> str:
    """What `check` says of a worker whose heartbeat at a time is `heartbeats(time)`."""
    moment = Moment(now)
    try:
        check_alive(lambda: heartbeats(moment.now), lambda _: waiting, moment.clock, moment.sleep)
    except Unhealthy as error:
        return str(error)
    return "healthy"


def alive(now: float, **changes: Any) -> Heartbeat:
    return replace(GOOD, at=now - 1, **changes)


def test_a_worker_whose_loop_turns_is_healthy():
    assert checked(alive) == "healthy"


def test_one_whose_loop_stands_still_is_not():
    assert checked(lambda _: GOOD, now=1000 + STALE_S - 1) == "healthy"
    assert checked(lambda _: GOOD, now=1000 + STALE_S + 1) == "its main loop has not turned for 31 s"


def test_a_heartbeat_from_before_a_restart_of_the_machine_does_not_count():
    assert "before this machine started" in checked(lambda _: GOOD, now=10)


def test_what_the_worker_sees_itself_is_told():
    assert checked(lambda now: alive(now, problem="it hurts")) == "it hurts"


def test_one_that_is_free_while_messages_wait_is_not_healthy():
    wrong = "5 messages wait in its queue, it is free and takes none"
    assert checked(alive, waiting=5) == wrong


def test_one_that_takes_them_is():
    assert checked(lambda now: alive(now, taken=3 + (now > 1003)), waiting=5) == "healthy"
    assert checked(lambda now: alive(now, free=now < 1003), waiting=5) == "healthy"


def test_one_that_works_is_and_nobody_asks_the_broker():
    moment = Moment()
    check_alive(lambda: alive(moment.now, free=False), lambda _: 1 // 0, moment.clock, moment.sleep)


def test_a_loop_that_stops_while_it_is_looked_at_is_seen():
    assert checked(lambda _: GOOD, waiting=5, now=1000 + STALE_S - LOOK_S / 2).startswith("its main loop")


def unusable(_: list[str]) -> int:
    raise BrokerUnusable("the broker refuses to work: OOM")


def test_one_whose_broker_is_away_or_full_is_healthy_and_not_ready():
    moment = Moment()
    last = check_alive(lambda: alive(moment.now), unusable, moment.clock, moment.sleep)
    with pytest.raises(Unhealthy, match="refuses to work: OOM"):
        check_ready(last, unusable, lambda: None)


def test_one_without_a_connection_is_healthy_and_not_ready():
    moment = Moment()

    def heartbeat() -> Heartbeat:
        return alive(moment.now, queues=[], not_ready="it has no connection to the broker")

    last = check_alive(heartbeat, lambda _: 1 // 0, moment.clock, moment.sleep)
    with pytest.raises(Unhealthy, match="no connection"):
        check_ready(last, lambda _: 0, lambda: None)


def test_one_whose_storage_cannot_be_used_is_not_ready():
    check_ready(GOOD, lambda _: 0, lambda: None)
    with pytest.raises(Unhealthy, match="it is full"):
        check_ready(GOOD, lambda _: 0, lambda: "the storage of results: it is full")


class Consumer(SimpleNamespace):
    """As much of Celery's as the heartbeat looks at."""

    def __init__(self, processes: int = 2, consuming: bool = True) -> None:
        queue = SimpleNamespace(name="celery")
        super().__init__(
            hostname="celery@test",
            pool=SimpleNamespace(num_processes=processes),
            task_consumer=SimpleNamespace(queues=[queue], consuming_from=lambda _: consuming),
        )


class Request(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


def written(consumer: Consumer, not_ready: str | None = None) -> Heartbeat:
    HeartbeatStep(consumer).write(consumer, not_ready)
    return read_heartbeat(heartbeat_file(read_settings(), "celery@test"))


@pytest.fixture
def requests(here, monkeypatch) -> Iterator[SimpleNamespace]:
    """What Celery holds of messages that came: none, to begin with."""
    load_settings.cache_clear()
    monkeypatch.setattr(heartbeat, "condition", Condition())
    held = SimpleNamespace(reserved=set(), active=set())
    monkeypatch.setattr(state, "reserved_requests", held.reserved)
    monkeypatch.setattr(state, "active_requests", held.active)
    yield held
    load_settings.cache_clear()


def test_a_heartbeat_says_whether_another_scan_could_be_taken(requests):
    assert written(Consumer()).free
    requests.reserved.update(Request(id=name) for name in "ab")
    assert not written(Consumer()).free


def test_a_worker_that_listens_to_no_queue_says_so(requests):
    assert written(Consumer(consuming=False)).problem == "it takes no messages from any queue"


def test_one_that_pauses_or_has_no_connection_listens_to_none_for_a_reason(requests):
    without = written(Consumer(), "it has no connection to the broker")
    assert (without.problem, without.not_ready) == (None, "it has no connection to the broker")
    for _ in range(MAX_UNFIT):
        heartbeat.condition.add(Report(Kind.UNFIT, "no device"))
    pausing = written(Consumer(consuming=False))
    assert pausing.problem is None
    assert str(pausing.not_ready).startswith("it takes no scans: 3 processes could not work")


def test_a_scan_that_no_process_begins_with_is_told(requests, monkeypatch):
    now = 5000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    requests.reserved.add(Request(id="a"))
    consumer = Consumer()
    step = HeartbeatStep(consumer)
    step.write(consumer)
    now += START_S + 1
    step.write(consumer)
    wrong = "a scan has waited for 301 s although a process is free"
    assert read_heartbeat(step._file._path).problem == wrong
    requests.active.update(requests.reserved)
    for each in requests.active:
        each.time_start, each.task = time.time(), SimpleNamespace(time_limit=None)
    step.write(consumer)
    assert read_heartbeat(step._file._path).problem is None


def test_a_scan_that_waits_for_a_busy_process_is_counted_from_when_one_is_free(requests, monkeypatch):
    now = 5000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limit = SimpleNamespace(time_limit=1e6)
    busy = [Request(id=name, time_start=time.time(), task=limit) for name in "ab"]
    requests.reserved.update([Request(id="waits"), *busy])
    requests.active.update(busy)
    consumer = Consumer()
    step = HeartbeatStep(consumer)
    for seconds, problem in ((0, None), (10 * START_S, None)):
        now += seconds
        step.write(consumer)
        assert read_heartbeat(step._file._path).problem is problem
    requests.active.remove(busy[0])
    requests.reserved.remove(busy[0])
    step.write(consumer)
    now += START_S - 1
    step.write(consumer)
    assert read_heartbeat(step._file._path).problem is None
    now += 2
    step.write(consumer)
    assert "although a process is free" in str(read_heartbeat(step._file._path).problem)


def test_a_scan_that_runs_beyond_its_time_limit_is_told(requests, monkeypatch):
    now = 5000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    # Somebody has set the clock while it ran.
    request = Request(id="a", time_start=time.time() - 86_400, task=SimpleNamespace(time_limit=None))
    requests.reserved.add(request)
    requests.active.add(request)
    consumer = Consumer()
    step = HeartbeatStep(consumer)

    def problem() -> str | None:
        step.write(consumer)
        return read_heartbeat(step._file._path).problem

    assert problem() is None
    now += read_settings().time_limit_s + OVERTIME_S + 5
    assert "which is over the time limit" in str(problem())
    request.task.time_limit = 600
    assert problem() is None


def test_a_retry_counts_anew(requests, monkeypatch):
    now = 5000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    consumer = Consumer()
    step = HeartbeatStep(consumer)
    for _ in range(3):
        requests.active.clear()
        requests.active.add(Request(id="a", task=SimpleNamespace(time_limit=None)))
        step.write(consumer)
        now += read_settings().time_limit_s
    assert read_heartbeat(step._file._path).problem is None


def test_a_folder_that_cannot_be_written_hinders_nobody(requests):
    consumer = Consumer()
    step = HeartbeatStep(consumer)
    step._file._path.parent.parent.write_text("a file, where a folder should be")
    step.write(consumer)
    with pytest.raises(Unhealthy, match="cannot be read: NotADirectoryError"):
        read_heartbeat(step._file._path)
    step.shutdown(consumer)


# A worker that hears no messages any more, while its loop turns: as after a lost connection that it missed.
DEAF = """
from kombu.transport.redis import MultiChannelPoller
from worker import app

MultiChannelPoller._register_BRPOP = lambda self, channel: None
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory, redis_server) -> World:
    folder = tmp_path_factory.mktemp("health")
    (folder / "deaf.py").write_text(DEAF)
    tasks, answers = redis_server.emptied(8, 9)
    return World(folder, {"CELERY_BROKER_URL": tasks, "CELERY_RESULT_BACKEND": answers})


def health(world: World, *arguments: str) -> tuple[int, str]:
    done = world.call("worker", "health", *arguments)
    return done.returncode, done.stdout.strip() + done.stderr


def test_a_real_worker_is_healthy_from_when_it_is_ready_until_it_ends(world):
    not_there = (1, "unhealthy: it has not begun to take scans, or it has ended")
    assert health(world) == not_there
    with world.start_worker() as worker:
        begun(world, worker)
        assert health(world) == (0, "healthy")
        assert health(world, "--ready") == (0, "ready")
        assert worker.stop() == 0
    assert health(world) == not_there


def begun(world: World, worker: Running, node: str = "celery@%h") -> None:
    """It is ready, and has given its first heartbeat, which comes a moment later."""
    worker.wait_for_event("worker_ready")
    wait_until(
        heartbeat_file(read_settings(run_dir=world.folder / ".run"), node).exists, "its first heartbeat"
    )


def heartbeat_of(world: World, node: str) -> Heartbeat:
    return read_heartbeat(heartbeat_file(read_settings(run_dir=world.folder / ".run"), node))


def has_stopped(pid: int) -> bool:
    """A signal is not there at once."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_worker_that_was_stopped_is_unhealthy_though_its_process_lives(world):
    with world.start_worker("-n", "stopped@%h") as worker:
        begun(world, worker, "stopped@%h")
        os.kill(worker.process.pid, signal.SIGSTOP)
        wait_until(lambda: has_stopped(worker.process.pid), "it to stop")
        last = heartbeat_of(world, "stopped@%h")
        later = Moment(time.monotonic() + STALE_S + 1)
        with pytest.raises(Unhealthy, match="its main loop has not turned for"):
            check_alive(lambda: heartbeat_of(world, "stopped@%h"), lambda _: 0, later.clock, later.sleep)
        time.sleep(3)
        assert heartbeat_of(world, "stopped@%h") == last
        os.kill(worker.process.pid, signal.SIGCONT)
        wait_until(lambda: heartbeat_of(world, "stopped@%h").at > last.at, "another heartbeat")
        assert health(world, "stopped@%h") == (0, "healthy")


def test_a_worker_that_was_told_to_leave_its_queue_is_unhealthy(world):
    with world.start_worker("-n", "left@%h") as worker:
        begun(world, worker, "left@%h")
        world.call("celery", "-A", "worker", "control", "cancel_consumer", "celery")
        wait_until(lambda: heartbeat_of(world, "left@%h").problem, "a problem")
        assert health(world, "left@%h") == (1, "unhealthy: it takes no messages from any queue")


def test_a_worker_whose_loop_turns_but_hears_nothing_is_unhealthy_once_messages_wait(world, make_scan):
    with world.start("celery", "-A", "deaf", "worker", "-n", "deaf@%h") as worker:
        begun(world, worker, "deaf@%h")
        assert health(world, "deaf@%h") == (0, "healthy")
        world.enqueue("unheard")
        wrong = "unhealthy: 1 messages wait in its queue, it is free and takes none"
        assert health(world, "deaf@%h") == (1, wrong)
    with redis.Redis.from_url(world.environment["CELERY_BROKER_URL"]) as client:
        client.flushdb()


def stays_healthy(world: World, node: str, seconds: float, not_ready: str) -> None:
    """It is not to be restarted, though it cannot do scans."""
    until = time.monotonic() + seconds
    last = heartbeat_of(world, node).at
    while time.monotonic() < until:
        assert health(world, node) == (0, "healthy")
        code, said = health(world, "--ready", node)
        assert code == 1
        assert re.match(not_ready, said)
    wait_until(lambda: heartbeat_of(world, node).at > last, "another heartbeat")


def test_a_worker_without_its_broker_lives_and_is_not_ready(world, redis_server):
    with world.start_worker("-n", "alone@%h") as worker:
        begun(world, worker, "alone@%h")
        redis_server.stop()
        try:
            wait_until(lambda: "Trying again" in worker.log() or "retry" in worker.log(), "the loss")
            stays_healthy(world, "alone@%h", STALE_S + 5, "not ready: (it has no|the broker cannot be)")
        finally:
            redis_server.start()
        wait_until(lambda: health(world, "--ready", "alone@%h") == (0, "ready"), "it to be ready")


def test_a_worker_whose_redis_is_full_lives_and_is_not_ready(world, redis_server, make_scan):
    world.put_scan("late", make_scan(frames=1))
    tasks = world.environment["CELERY_BROKER_URL"]
    with world.start_worker("-n", "full@%h") as worker, redis.Redis.from_url(tasks) as client:
        begun(world, worker, "full@%h")
        os.kill(worker.process.pid, signal.SIGSTOP)
        world.enqueue("late")
        client.config_set("maxmemory", "1")
        try:
            os.kill(worker.process.pid, signal.SIGCONT)
            worker.wait_for_event("broker_refuses")
            stays_healthy(
                world, "full@%h", LOOK_S + 5, "not ready: (it has no|the broker refuses to work: OOM)"
            )
        finally:
            client.config_set("maxmemory", "0")
        world.enqueue("late")  # Redis may have lost the first message
        world.wait_for("late", "completed")
        wait_until(lambda: health(world, "--ready", "full@%h") == (0, "ready"), "it to be ready")


def test_a_worker_whose_storage_goes_away_lives_and_is_not_ready(world):
    scans = world.folder / "elsewhere"
    scans.mkdir()
    place = {"SCANS_URL": f"file://{scans}"}
    with world.start_worker("-n", "storage@%h", **place) as worker:
        begun(world, worker, "storage@%h")
        assert world.call("worker", "health", "--ready", "storage@%h", **place).stdout == "ready\n"
        scans.rmdir()
        done = world.call("worker", "health", "--ready", "storage@%h", **place)
        assert done.returncode == 1
        assert done.stdout == "not ready: the storage of scans: its folder does not exist\n"
        assert world.call("worker", "health", "storage@%h", **place).returncode == 0


def test_messages_that_are_due_and_that_nobody_moves_into_the_queue_count_as_waiting(world):
    app = Celery(broker=world.environment["CELERY_BROKER_URL"], set_as_current=False)
    with redis.Redis.from_url(world.environment["CELERY_BROKER_URL"]) as client:
        client.flushdb()
        client.zadd("celery:delayed", {"due": 1, "later": time.time() + 60})
        client.lpush("celery", "now")
        assert waiting_messages(app, ["celery"]) == 2
        client.flushdb()
    app.close()


def test_the_command_says_what_is_wrong_with_the_settings(world):
    done = world.call("worker", "health", DEVICE="gpu")
    assert (done.returncode, "DEVICE: must be" in done.stderr) == (2, True)
