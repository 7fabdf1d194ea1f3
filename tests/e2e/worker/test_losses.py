"""Real workers that are killed, stopped and cut off: no scan is lost, and none is done by two at once."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from tests.support.redis_server import RedisServer
from tests.support.running import Running, World, wait_until
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.ledger.base import Ledger
from worker.ledger.opening import open_ledger

SCAN = ScanId("scan")

MANY_FRAMES = 40  # a scan that takes some seconds
QUICK = {
    "RETRY_BASE_S": "0.2",
    "LOCK_TTL_S": "3",
    "QUEUE_LEASE_S": "2",
    "RECONCILE_EVERY_S": "1",
    "MAX_DEATHS": "2",
}


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One that may be stopped."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["embedded", "redis"])
def world(request, tmp_path) -> World:
    environment = dict(QUICK)
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        # A database of its own for each test: what an earlier one left would come again here.
        database = 2 + uuid.uuid4().int % 6
        environment |= {"CELERY_BROKER_URL": server.url(database), "CELERY_RESULT_BACKEND": server.url(1)}
        Celery(
            broker=server.url(database), set_as_current=False
        ).connection().default_channel.client.flushdb()
    return World(tmp_path, environment)


def ready(worker: Running) -> Running:
    worker.wait_for_event("process_ready")
    return worker


def start_scan(world: World, worker: Running, make_scan: Any, frames: int = MANY_FRAMES) -> int:
    """Have a long scan begun; gives the process that works on it."""
    world.put_scan("scan", make_scan(frames=frames))
    ready(worker)
    world.enqueue("scan")
    world.wait_for("scan", "progress")
    (child,) = worker.children()
    return child


def ledger_of(world: World) -> Ledger:
    url = world.environment.get("CELERY_BROKER_URL")
    return open_ledger(read_settings(redis_url=url, run_dir=world.folder / ".run"))


def completed(world: World, scan_id: str = "scan") -> dict[str, Any]:
    status = world.wait_for(scan_id, "completed", "failed")
    assert status["status"] == "completed", status
    assert world.json(f"{scan_id}/result.json") is not None
    return status


def test_a_scan_that_is_over_the_hard_limit_in_two_processes_fails_until_it_is_replayed(world, make_scan):
    limits = {"SOFT_TIME_LIMIT_S": "11", "TIME_LIMIT_S": "12"}
    with world.start_worker(**limits) as worker:
        child = start_scan(world, worker, make_scan, frames=25)
        # It hears of no soft limit then, as code in C that does not come back does not.
        os.kill(child, signal.SIGSTOP)
        wait_until(lambda: world.status("scan").get("deaths") == 1, "another process")
        wait_until(lambda: world.status("scan").get("stage") == "analyse", "its work")
        (child,) = worker.children()
        os.kill(child, signal.SIGSTOP)
        status = world.wait_for("scan", "failed")
        assert status["reason"] == "it took longer than the time limit"
        assert world.json("scan/result.json") is None
        world.enqueue("scan")
        wait_until(lambda: len(worker.events("scan_failed")) == 2, "the second answer")
        assert len(worker.events("scan_started")) == 2
    with world.start_worker() as worker:  # with time enough on any machine
        ready(worker)
        done = world.call("worker", "replay", "scan")
        assert (done.returncode, done.stdout) == (0, "scan: queued\n")
        completed(world)


def test_a_scan_that_kills_its_process_each_time_is_set_aside_and_can_be_replayed(world, make_scan):
    with world.start_worker() as worker:
        for death in (1, 2):
            start = start_scan(world, worker, make_scan) if death == 1 else None
            if start is None:
                wait_until(lambda: world.status("scan").get("deaths") == 1, "another try")
                wait_until(lambda: world.status("scan").get("stage") == "analyse", "its work")
                (start,) = worker.children()
            os.kill(start, signal.SIGKILL)
        status = world.wait_for("scan", "failed")
        assert status["reason"].startswith(
            "poison: 2 processes died while they worked on it, the last one at"
        )
        assert world.call("worker", "replay", "--failed").stdout == "scan: queued\n"
        assert completed(world)["deaths"] == 0
        wait_until(lambda: not ledger_of(world).overdue(float("inf")), "the ledger to be told")


def test_the_scan_of_a_worker_that_was_killed_is_done_by_the_next(world, make_scan):
    with world.start_worker() as worker:
        start_scan(world, worker, make_scan)
    wait_until(lambda: worker.alive() == [], "all of it to be dead, without a word")
    with world.start_worker() as worker:
        ready(worker)
        if "CELERY_BROKER_URL" in world.environment:

            def sent_again() -> bool:
                return "scan: queued again" in world.call("worker", "reconcile").stdout

            wait_until(sent_again, "the lock to end")
        status = completed(world)
        assert status["deaths"] == 1
        worker.wait_for_event("scan_completed")
    assert ledger_of(world).begin(SCAN) == 0


def test_one_scan_sent_many_times_to_two_workers_is_analysed_once(world, make_scan):
    world.put_scan("scan", make_scan(frames=30))
    with world.start_worker("-n", "w1@%h") as one, world.start_worker("-n", "w2@%h") as two:
        ready(one)
        ready(two)
        world.enqueue(*["scan"] * 6)
        completed(world)

        def answers() -> int:
            return sum(len(each.events("scan_completed")) for each in (one, two))

        wait_until(lambda: answers() == 6, "all answers")
        assert sum(len(each.events("scan_analysed")) for each in (one, two)) == 1
        assert world.status("scan")["status"] == "completed"


def test_a_message_that_was_lost_is_sent_again_by_beat(own_redis, tmp_path, make_scan):
    world = World(tmp_path, {**QUICK, "CELERY_BROKER_URL": own_redis.url(0)})
    for scan_id in ("announced", "only-uploaded"):
        world.put_scan(scan_id, make_scan(frames=1))
    world.enqueue("announced")
    with Celery(broker=own_redis.url(0), set_as_current=False).connection() as connection:
        # As when a worker dies between taking it and noting that.
        assert connection.default_channel.client.lpop("celery") is not None
    with world.start_worker("-B") as worker:
        ready(worker)
        assert completed(world, "announced")["attempt"] == 1
        completed(world, "only-uploaded")
    assert list(tmp_path.glob("celerybeat*")) == []  # a file of pickles


def test_a_scan_outlives_a_restart_of_redis(own_redis, tmp_path, make_scan):
    environment = {**QUICK, "LOCK_TTL_S": "30", "CELERY_BROKER_URL": own_redis.url(0)}
    world = World(tmp_path, environment)
    with world.start_worker() as worker:
        start_scan(world, worker, make_scan)
        own_redis.stop()
        time.sleep(1)
        own_redis.start()
        completed(world)
        wait_until(lambda: ledger_of(world).overdue(float("inf")) == [], "the scan to be closed")
        world.put_scan("after", make_scan(frames=1))
        world.enqueue("after")
        completed(world, "after")


def test_a_redis_that_refuses_for_a_while_ends_no_worker(own_redis, tmp_path, make_scan):
    refusals = {
        "a replica": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        "fewer rights": ("ACL SETUSER default -@write", "ACL SETUSER default +@all"),
    }
    world = World(tmp_path, {**QUICK, "CELERY_BROKER_URL": own_redis.url(0)})
    with world.start_worker() as worker, own_redis.client() as client:
        worker.wait_for_event("worker_ready")
        for done, (begin, end) in enumerate(refusals.values()):
            client.execute_command(*begin.split())
            wait_until(lambda: len(worker.events("broker_refuses")) > done, "the worker to notice")  # noqa: B023
            client.execute_command(*end.split())
            scan_id = f"scan-{done}"
            world.put_scan(scan_id, make_scan(frames=1))
            world.enqueue(scan_id)
            completed(world, scan_id)
        assert worker.process.poll() is None


def test_a_disk_that_refuses_the_queue_in_files_for_a_while_ends_no_worker(tmp_path, make_scan):
    world = World(tmp_path, QUICK)
    world.put_scan("scan", make_scan(frames=1))
    queue, away = (tmp_path / ".run" / "broker" / name for name in ("queue", "away"))
    with world.start_worker() as worker:
        worker.wait_for_event("worker_ready")
        queue.rename(away)
        worker.wait_for_event("broker_refuses")
        away.rename(queue)
        world.enqueue("scan")
        completed(world)
        assert worker.process.poll() is None


def test_where_redis_forgets_everything_storage_still_knows(own_redis, tmp_path, make_scan):
    world = World(tmp_path, {**QUICK, "CELERY_BROKER_URL": own_redis.url(0)})
    world.put_scan("scan", make_scan(frames=1))
    world.enqueue("scan")
    with Celery(broker=own_redis.url(0), set_as_current=False).connection() as connection:
        connection.default_channel.client.flushall()
    time.sleep(2.1)  # its lease
    assert world.call("worker", "reconcile").stdout == "no scan had to be sent again\n"
    assert world.call("worker", "reconcile", "--all").stdout == "scan: queued again\n"
    with world.start_worker():
        completed(world)
