"""Real workers while a storage refuses: retries wait in Redis, and no worker holds more than it works on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from tests.support.running import Running, World, wait_until

# An app whose storage refuses until a file is there.
REFUSED = """
from pathlib import Path
from worker import app, tasks
from worker.storage.base import StorageUnavailable

process = tasks.process

def process_or_refuse(*arguments, **options):
    if not Path("go").exists():
        raise StorageUnavailable("the storage of scans: access was denied")
    return process(*arguments, **options)

tasks.process = process_or_refuse
"""
SET = "celery:delayed"
SCANS = [f"scan-{number}" for number in range(8)]


@pytest.fixture
def world(tmp_path, redis_server, make_scan) -> World:
    queue, answers = redis_server.emptied(12, 13)
    environment = {"CELERY_BROKER_URL": queue, "CELERY_RESULT_BACKEND": answers, "RETRY_BASE_S": "60"}
    world = World(tmp_path, environment)
    (tmp_path / "refused.py").write_text(REFUSED)
    for scan_id in (*SCANS, "other", "last"):
        world.put_scan(scan_id, make_scan(frames=1))
    return world


@pytest.fixture
def client(redis_server) -> Iterator[Any]:
    with redis_server.client(12) as client:
        yield client


@pytest.fixture
def producer(world) -> Iterator[Celery]:
    """A program with none of our code."""
    environment = world.environment
    urls = environment["CELERY_BROKER_URL"], environment["CELERY_RESULT_BACKEND"]
    app = Celery("producer", broker=urls[0], backend=urls[1], set_as_current=False)
    yield app
    app.close()


def start(world: World) -> Running:
    return world.start("celery", "-A", "refused", "worker", "-c", "1")


def make_due(client: Any) -> None:
    for number, member in enumerate(client.zrange(SET, 0, -1)):
        client.zadd(SET, {member: 1 + number})


def asked(world: World, *command: str) -> Any:
    """What the only worker answers to `celery inspect`."""

    def answer() -> Any:
        text = world.call("celery", "-A", "worker", "inspect", *command, "--json").stdout
        return text.startswith("{") and json.loads(text)

    (found,) = wait_until(answer, "an answer").values()
    return found


def test_retries_wait_in_redis_survive_their_worker_and_come_before_the_backlog(world, client, producer):
    with start(world) as worker, world.start("celery", "-A", "worker", "events", "--dump") as events:
        worker.wait_for_event("worker_ready")
        wait_until(lambda: "heartbeat" in events.log(), "it to listen")
        world.enqueue(*SCANS)
        wait_until(lambda: client.zcard(SET) == len(SCANS), "all of them to wait")
        wait_until(lambda: not client.exists("unacked"), "the last acknowledgement")
        assert asked(world, "stats")["prefetch_count"] == 1
        status = world.status(SCANS[0])
        assert (status["status"], status["reason"]) == ("queued", "the storage of scans: access was denied")
        wait_until(lambda: events.log().count("task retried") == len(SCANS), "the events of all")
        assert producer.AsyncResult(status["task_id"]).state == "RETRY"
        scheduled = asked(world, "scheduled")
        assert {each["request"]["id"] for each in scheduled} >= {status["task_id"]}
        assert (len(scheduled), scheduled[0]["request"]["name"]) == (len(SCANS), "worker.process_scan")
        assert world.call("worker", "health").returncode == 0
        worker.process.kill()
        wait_until(lambda: not worker.alive(), "its end")
    done = world.call("worker", "cancel", SCANS[0])
    assert done.stdout == f"{SCANS[0]}: cancelled\n"
    done = world.call("worker", "erase", SCANS[1])
    assert (done.returncode, client.zcard(SET)) == (0, len(SCANS) - 1), done.stdout
    world.enqueue("other", "last")
    (world.folder / "go").touch()
    make_due(client)
    with start(world) as worker:
        for scan_id in (*SCANS[2:], "other", "last"):
            world.wait_for(scan_id, "completed")
        completed = wait_until(
            lambda: len(found := worker.events("scan_completed")) == len(SCANS) and found, "all in its log"
        )
        order = [event["scan_id"] for event in completed]
        # One may have been taken before those that were due came.
        assert len(order) == len(set(order))
        assert order.index("last") == len(order) - 1 and order.index("other") in (0, len(order) - 2)
    assert world.status(SCANS[0])["status"] == "cancelled"
    assert world.status(SCANS[1]) == {}
    assert client.exists(SET, "celery", "unacked") == 0


def test_what_is_revoked_or_purged_while_it_waits_is_cancelled(world, client):
    with start(world) as worker:
        worker.wait_for_event("worker_ready")
        world.enqueue(SCANS[0])
        wait_until(lambda: client.zcard(SET), "it to wait")
        done = world.call("celery", "-A", "worker", "control", "revoke", world.status(SCANS[0])["task_id"])
        assert done.returncode == 0, done.stderr
        make_due(client)
        world.wait_for(SCANS[0], "cancelled")
        world.enqueue(*SCANS[1:4])
        wait_until(lambda: client.zcard(SET) == 3, "them to wait")
        assert "3 messages" in world.call("celery", "-A", "worker", "purge", "-f").stdout
        for scan_id in SCANS[1:4]:
            assert world.status(scan_id)["status"] == "cancelled"
        assert client.exists(SET) == 0


def test_messages_with_a_time_of_a_program_with_none_of_our_code_wait_in_redis_too(world, client, producer):
    (world.folder / "go").touch()
    with start(world) as worker:
        worker.wait_for_event("worker_ready")
        answers = [
            producer.send_task("worker.process_scan", kwargs={"scan_id": scan_id}, countdown=3600)
            for scan_id in SCANS
        ]
        wait_until(lambda: client.zcard(SET) == len(SCANS), "all of them to wait")
        world.enqueue("other")
        world.wait_for("other", "completed")
        assert asked(world, "stats")["prefetch_count"] == 1
        wait_until(lambda: not client.exists("unacked"), "nothing to be held")
        assert world.status(SCANS[0]) == {}
        make_due(client)
        assert answers[-1].get(timeout=60)["status"] == "completed"
