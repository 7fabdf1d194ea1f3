"""The inbox: its steps against a real Redis, with a clock of ours; then a real worker."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.support.redis_server import RedisServer
from tests.support.running import PATIENCE_S, World, wait_until
from worker.config.settings import read_settings
from worker.intake.inbox import Inbox, run_inbox
from worker.storage.base import StorageUnavailable

QUIET_S = 10


class Announced:
    """Takes announcements; fails as it is told to."""

    def __init__(self) -> None:
        self.scans: list[str] = []
        self.error: Exception | None = None

    def __call__(self, scan_id: str) -> None:
        if self.error is not None:
            raise self.error
        self.scans.append(scan_id)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.123456

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def client(redis_server) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url(7)) as client:
        client.flushdb()
        yield client


@pytest.fixture
def announced() -> Announced:
    return Announced()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(client, announced, clock) -> Inbox:
    settings = read_settings(
        redis_url="redis://unused",
        arrivals_list="arrived",
        arrivals_quiet_s=QUIET_S,
        scans_url="s3://scans",
        results_url="s3://results",
    )
    return Inbox(client, settings, announced, clock)


def put(client: redis.Redis, entry: object) -> None:
    client.lpush("arrived", entry if isinstance(entry, bytes) else json.dumps(entry))


def stored(key: str) -> dict[str, Any]:
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "scans"}, "object": {"key": key}}}
    return {"Records": [record]}


def dead(client: redis.Redis) -> list[dict[str, Any]]:
    return [json.loads(each) for each in client.lrange("arrived:dead", 0, -1)]


def test_scans_are_announced_in_the_order_in_which_they_came(client, inbox, announced):
    put(client, {"scan_id": "a"})
    put(client, {"scan_ids": ["b", "c"]})
    assert inbox.process_next(1) and inbox.process_next(1)
    assert announced.scans == ["a", "b", "c"]
    assert client.keys() == []


def test_an_empty_inbox_is_waited_for(inbox):
    assert not inbox.process_next(1)


def test_a_bad_entry_goes_to_the_dead_list_with_the_reason(client, inbox, announced):
    put(client, b"hello")
    assert inbox.process_next(1)
    (found,) = dead(client)
    assert (found["reason"], found["entry"]) == ("it is not JSON", "hello")
    assert announced.scans == []
    assert client.keys() == [b"arrived:dead"]


def test_what_is_right_in_a_bad_entry_is_announced(client, inbox, announced):
    put(client, {"scan_ids": ["a", "../b"]})
    inbox.process_next(1)
    assert announced.scans == ["a"]
    assert dead(client)[0]["reason"].startswith("scan id 2")
    assert client.llen("arrived:work") == 0


def test_an_entry_that_raises_an_unexpected_error_becomes_a_dead_letter(client, inbox, announced):
    announced.error = RuntimeError("a fault")
    put(client, {"scan_id": "a"})
    inbox.process_next(1)
    assert dead(client)[0]["reason"] == "unexpected error: RuntimeError"
    assert client.keys() == [b"arrived:dead"]


def test_while_storage_is_away_the_entry_stays_on_the_list_behind_the_others(client, inbox, announced):
    put(client, {"scan_id": "a"})
    put(client, {"scan_id": "b"})
    announced.error = StorageUnavailable("away")
    with pytest.raises(StorageUnavailable):
        inbox.process_next(1)
    assert client.llen("arrived:work") == 0
    announced.error = None
    inbox.process_next(1)
    inbox.process_next(1)
    assert announced.scans == ["b", "a"]


def test_an_entry_that_is_in_work_at_two_checks_is_moved_back(client, inbox, announced):
    client.lpush("arrived:work", json.dumps({"scan_id": "left-behind"}))
    assert inbox.requeue_stale() == 0
    assert inbox.requeue_stale() == 1
    inbox.process_next(1)
    assert announced.scans == ["left-behind"]
    assert client.keys() == []


def test_an_entry_that_is_done_between_two_checks_is_left_alone(client, inbox):
    client.lpush("arrived:work", b"one")
    inbox.requeue_stale()
    client.delete("arrived:work")
    client.lpush("arrived:work", b"two")
    assert inbox.requeue_stale() == 0
    assert client.lrange("arrived:work", 0, -1) == [b"two"]


def test_a_scan_with_new_objects_is_announced_after_a_quiet_time(client, inbox, announced, clock):
    for name in ("rgb/1", "depth/1"):
        put(client, stored(f"scan-1/{name}"))
        inbox.process_next(1)
        clock.now += QUIET_S - 1
        assert inbox.announce_debounced() == 0
    clock.now += 1
    assert inbox.announce_debounced() == 1
    assert announced.scans == ["scan-1"]
    assert client.keys() == []


def test_an_object_that_comes_while_its_scan_is_announced_has_it_announced_again(client, inbox, clock):
    put(client, stored("scan-1/a"))
    inbox.process_next(1)
    clock.now += QUIET_S
    times: list[float] = []

    def announce(scan_id: str) -> None:
        times.append(clock.now)
        if len(times) == 1:
            put(client, stored("scan-1/b"))
            inbox.process_next(1)

    inbox._announce = announce
    inbox.announce_debounced()
    assert inbox.announce_debounced() == 0
    clock.now += QUIET_S
    inbox.announce_debounced()
    assert len(times) == 2
    assert client.keys() == []


def test_scans_whose_announcer_died_are_announced_by_the_next_a_minute_later(client, inbox, announced, clock):
    put(client, stored("scan-1/a"))
    inbox.process_next(1)
    clock.now += QUIET_S
    announced.error = StorageUnavailable("away")
    with pytest.raises(StorageUnavailable):
        inbox.announce_debounced()
    announced.error = None
    assert inbox.announce_debounced() == 0
    clock.now += 61
    assert inbox.announce_debounced() == 1
    assert announced.scans == ["scan-1"]


def test_one_scan_that_cannot_be_announced_does_not_hold_up_the_others(client, inbox, announced, clock):
    for scan_id in ("a", "b", "c"):
        put(client, stored(f"{scan_id}/x"))
        inbox.process_next(1)
    clock.now += QUIET_S

    def announce(scan_id: str) -> None:
        if scan_id == "a":
            raise StorageUnavailable("its status cannot be written")
        announced(scan_id)

    inbox._announce = announce
    with pytest.raises(StorageUnavailable):
        inbox.announce_debounced()
    assert announced.scans == ["b", "c"]
    assert client.zrange("arrived:settling", 0, -1) == [b"a"]


def test_the_inbox_survives_a_redis_that_goes_away_or_holds_another_type(announced):
    stop = threading.Event()
    with RedisServer() as server, redis.Redis.from_url(server.url()) as client:
        settings = read_settings(redis_url=server.url(), arrivals_list="arrived")
        client.set("arrived", "somebody else's")
        own = redis.Redis.from_url(server.url(), socket_timeout=5)
        thread = threading.Thread(target=run_inbox, args=(Inbox(own, settings, announced), stop))
        thread.start()
        try:
            client.delete("arrived")
            put(client, {"scan_id": "before"})
            wait_until(lambda: announced.scans == ["before"], "the first arrival")
            server.stop()
            server.start()
            put(client, {"scan_id": "after"})
            wait_until(lambda: announced.scans == ["before", "after"], "the second arrival")
        finally:
            stop.set()
            thread.join(PATIENCE_S)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def world(tmp_path_factory, redis_server, s3_server, bucket) -> World:
    place = f"s3://{bucket}/{uuid.uuid4()}"
    tasks, answers = redis_server.emptied(8, 9)
    return World(
        tmp_path_factory.mktemp("arrivals"),
        {
            "CELERY_BROKER_URL": tasks,
            "CELERY_RESULT_BACKEND": answers,
            "ARRIVALS_LIST": "scans:arrived",
            "ARRIVALS_QUIET_S": "1",
            "SCANS_URL": f"{place}/scans",
            "RESULTS_URL": f"{place}/results",
            **s3_server.environment,
        },
    )


def test_a_worker_takes_all_three_forms_and_lives_with_bad_ones(world, make_scan, bucket):
    prefix = world.environment["SCANS_URL"].removeprefix(f"s3://{bucket}/")
    for scan_id in ("one", "two", "three", "told-of"):
        world.put_scan(scan_id, make_scan(frames=1))
    record = {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": bucket}}}
    record["s3"]["object"] = {"key": f"{prefix}%2Ftold-of%2Frgb%2Fx.jpg"}  # type: ignore[index]
    entries = ["nonsense", {"scan_id": "one"}, {"scan_ids": ["two", "three"]}, {"Records": [record]}, [7]]
    with (
        redis.Redis.from_url(world.environment["CELERY_BROKER_URL"]) as client,
        world.start_worker() as worker,
    ):
        for entry in entries:
            client.lpush("scans:arrived", entry if isinstance(entry, str) else json.dumps(entry))
        for scan_id in ("one", "two", "three", "told-of"):
            found = world.wait_for(scan_id, "completed", "failed")
            assert (found["status"], found["queued_at"] is not None) == ("completed", True)
        assert client.llen("scans:arrived:dead") == 2
        assert client.exists("scans:arrived", "scans:arrived:work", "scans:arrived:settling") == 0
        os.kill(worker.process.pid, signal.SIGTERM)
        assert worker.process.wait(PATIENCE_S) == 0
