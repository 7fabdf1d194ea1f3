"""Messages that are to come later, in a real Redis: none is lost, and each comes when its time has come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery
from celery.worker import consumer as celery_consumer
from kombu import Connection, Consumer

import worker.app  # registers the transports  # noqa: F401
from worker.broker import delayed, purging
from worker.broker.delayed import BATCH, HEADER, count_delayed, delayed_set, eta_of, move_due
from worker.runtime.consumer import Consumer as OurConsumer

NAME = "worker.process_scan"
SET = delayed_set("celery")


class Place:
    """A Redis, a producer with this project's transport and one with Celery's own, and a worker's channel."""

    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url)
        self.ours = Celery("ours", broker=url, set_as_current=False)
        self.connection = Connection(url, transport_options={"visibility_timeout": 1})
        self.channel: Any = self.connection.channel()
        self.taken: list[Any] = []

    def send(self, scan_id: str, **options: Any) -> str:
        return str(self.ours.send_task(NAME, kwargs={"scan_id": scan_id}, **options).id)

    def send_foreign(self, scan_id: str, eta: datetime | str) -> None:
        """Send as a producer that does not load this project: into the list, whatever the time."""
        self.send(scan_id)
        message = json.loads(self.redis.lpop("celery") or b"")
        message["headers"]["eta"] = eta if isinstance(eta, str) else eta.isoformat()
        self.redis.lpush("celery", json.dumps(message))

    def take(self) -> Any:
        """Return the next message, as a worker receives it."""
        taken: list[Any] = []
        with Consumer(
            self.channel, self.ours.amqp.queues["celery"], on_message=taken.append, accept=["json"]
        ):
            self.connection.drain_events(timeout=5)
        return taken[0]

    def names(self, key: str) -> list[str]:
        """Return the scans of a list, the next one first, or of a sorted set."""
        is_list = self.redis.type(key) == b"list"
        entries: Any = self.redis.lrange(key, 0, -1)[::-1] if is_list else self.redis.zrange(key, 0, -1)
        return [json.loads(each)["headers"]["kwargsrepr"].split("'")[3] for each in entries]

    def make_due(self) -> None:
        """Let the time of all messages in the sorted set come."""
        for number, member in enumerate(self.redis.zrange(SET, 0, -1)):
            self.redis.zadd(SET, {member: 1 + number})


@pytest.fixture
def place(redis_server) -> Iterator[Place]:
    (url,) = redis_server.emptied(4)
    place = Place(url)
    yield place
    place.connection.release()
    place.ours.close()
    place.redis.close()


def later(seconds: float = 60) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_message_with_a_countdown_waits_in_the_sorted_set(place):
    place.send("scan", countdown=60)
    place.send("other")
    assert (place.names("celery"), place.names(SET)) == (["other"], ["scan"])
    ((_, score),) = place.redis.zrange(SET, 0, -1, withscores=True)
    assert 55 < score - time.time() < 65
    assert place.channel.move_due(["celery"]) == 0
    assert place.names("celery") == ["other"]


def test_a_clock_of_the_sender_that_is_wrong_changes_no_delay(place, monkeypatch):
    monkeypatch.setattr(delayed, "time", SimpleNamespace(time=lambda: time.time() + 3600))
    eta = time.time() + 3600 + 60  # as that clock says
    delayed.add_delayed(place.redis, "celery", eta, "x")
    ((_, score),) = place.redis.zrange(SET, 0, -1, withscores=True)
    assert 55 < score - time.time() < 65


def test_when_its_time_has_come_it_is_the_next_and_begins_at_once(place):
    task_id = place.send("late", countdown=0.05)
    place.send("other")
    deadline = time.monotonic() + 20
    while not place.channel.move_due(["celery"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (place.names("celery"), place.redis.exists(SET)) == (["late", "other"], 0)
    message = place.take()
    assert (message.headers["id"], message.headers["eta"], message.headers[HEADER]) == (task_id, None, True)
    assert not place.channel.put_aside(message)
    assert message.payload[1] == {"scan_id": "late"}


def test_each_queue_and_each_priority_has_its_own_set(place):
    place.send("important", countdown=60, queue="another", priority=3)
    place.send("scan", countdown=60)
    key = place.channel._q_for_pri("another", 3)
    assert (place.names(delayed_set(key)), place.names(SET)) == (["important"], ["scan"])
    assert place.channel.count_delayed(["another", "celery"]) == (2, 0)
    place.redis.zadd(delayed_set(key), {place.redis.zrange(delayed_set(key), 0, -1)[0]: 1})
    assert place.channel.count_delayed(["another", "celery"]) == (2, 1)
    assert place.channel.move_due(["celery", "another"]) == 1
    assert place.names(key) == ["important"]


def test_the_first_that_was_due_is_the_first_also_when_more_are_due_than_fit_in(place):
    names = [f"scan-{number:03}" for number in range(BATCH + 5)]
    for number, name in enumerate(names):
        place.send(name, countdown=60 + number)
    place.send("other")
    place.make_due()
    assert place.channel.move_due(["celery"]) == BATCH
    assert place.channel.move_due(["celery"]) == 0  # before those are taken
    order = []
    for _ in range(BATCH):
        order.append(place.take())
        order[-1].ack()
    assert place.channel.move_due(["celery"]) == 5
    assert [each.payload[1]["scan_id"] for each in order] == names[:BATCH]
    assert place.names("celery") == [*names[BATCH:], "other"]


def test_no_message_is_lost_or_doubled_when_many_move_them_at_once(place, redis_server):
    for number in range(50):
        place.send(f"scan-{number:02}", countdown=60)
    place.make_due()
    clients = [redis_server.client(4) for _ in range(4)]
    assert sum(move_due(client, ["celery"]) for client in clients for _ in range(3)) == 50
    assert place.names("celery") == sorted({f"scan-{number:02}" for number in range(50)})


def test_a_redis_that_is_full_keeps_them_all(place):
    for name in ("one", "two"):
        place.send(name, countdown=60)
    place.make_due()
    place.redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            move_due(place.redis, ["celery"])
    finally:
        place.redis.config_set("maxmemory", "0")
    assert (place.names("celery"), place.names(SET)) == ([], ["one", "two"])


def received(place: Place) -> tuple[bool, Any]:
    """Take a message, and return whether Celery would have got it from our consumer, and the message."""
    given: list[Any] = []
    taker = OurConsumer.__new__(OurConsumer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(celery_consumer.Consumer, "create_task_handler", lambda *_: given.append)
        message = place.take()
        taker.create_task_handler()(message)
    return bool(given), message


def test_a_message_of_a_foreign_producer_is_put_aside_by_the_worker_that_receives_it(place):
    eta = later()
    place.send_foreign("scan", eta)
    assert received(place)[0] is False
    assert (place.names("celery"), place.names(SET)) == ([], ["scan"])
    assert not place.redis.exists("unacked", "unacked_index")
    assert place.channel.qos.can_consume()
    ((_, score),) = place.redis.zrange(SET, 0, -1, withscores=True)
    assert score == pytest.approx(eta.timestamp())


@pytest.mark.parametrize("eta", [datetime.now(UTC) - timedelta(seconds=5), "2020-01-01T00:00:00"])
def test_one_whose_time_has_come_is_begun_with_at_once(place, eta):
    place.send_foreign("scan", eta)
    given, message = received(place)
    assert (given, message.headers["eta"]) == (True, None)
    assert place.redis.hlen("unacked") == 1  # until it is done
    message.ack()


def test_a_message_of_the_first_protocol_is_put_aside_too(place):
    place.ours.conf.task_protocol = 1
    place.send("old", countdown=60)
    assert place.redis.llen("celery") == 1
    assert received(place)[0] is False
    place.make_due()
    assert place.channel.move_due(["celery"]) == 1
    given, message = received(place)
    assert (given, message.payload["kwargs"]) == (True, {"scan_id": "old"})
    message.ack()


def test_one_that_another_worker_has_by_now_is_not_put_there_twice(place):
    place.send_foreign("scan", later())
    message = place.take()
    place.channel.qos.restore_by_tag(message.delivery_tag)  # as after the visibility timeout
    assert place.channel.put_aside(message)
    assert (place.redis.llen("celery"), place.redis.exists(SET)) == (1, 0)


def test_a_worker_that_ends_before_it_puts_one_aside_loses_nothing(place):
    place.send_foreign("scan", later())
    place.take()
    place.channel.qos.restore_unacked()
    assert place.names("celery") == ["scan"]


def test_purge_takes_them_too_and_tells_of_them(place, monkeypatch):
    told: list[bytes] = []
    monkeypatch.setattr(purging, "on_purge", told.extend)
    place.send("late", countdown=60)
    place.send("now")
    assert place.ours.control.purge() == 2
    assert sorted(json.loads(each)["headers"]["id"] != "" for each in told) == [True, True]
    assert not place.redis.exists("celery", SET)


def test_a_time_that_is_none_is_left_to_the_worker_that_refuses_it():
    assert [eta_of(each) for each in (None, {}, {"eta": 5}, {"eta": ""}, {"eta": "tomorrow"})] == [None] * 5


def test_no_queue_has_no_delayed_messages(place):
    assert (move_due(place.redis, []), count_delayed(place.redis, [])) == (0, (0, 0))
