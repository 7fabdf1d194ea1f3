"""Reading the Redis stream of events."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from worker.config.redis_client import open_redis
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.scans import event_reader
from worker.scans.event_reader import UNREADABLE, StreamReader, open_event_reader
from worker.scans.events import EventType, StreamEvents

STREAM = "pose:events"


@pytest.fixture
def client(redis_server) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url(9)) as client:
        client.flushdb()
        yield client


@pytest.fixture
def events(client) -> StreamEvents:
    return StreamEvents(client, STREAM)


@pytest.fixture
def reader(redis_server) -> StreamReader:
    reader = open_event_reader(read_settings(redis_url=redis_server.url(9), events_stream=STREAM))
    assert isinstance(reader, StreamReader)
    return reader


def told(reader: StreamReader, wait_s: float = 0.01) -> list[str]:
    return [event.subject for event in reader.read(wait_s)]


def test_the_first_call_gives_the_history_and_later_ones_what_is_new(events, reader):
    for scan_id in ("a", "b"):
        events.emit(EventType.RECEIVED, ScanId(scan_id))
    assert told(reader) == ["a", "b"]
    assert told(reader) == []
    events.emit(EventType.RECEIVED, ScanId("c"))
    assert told(reader) == ["c"]


def test_the_history_is_the_latest_events_in_their_order(events, reader, monkeypatch):
    monkeypatch.setattr(event_reader, "HISTORY", 3)
    for number in range(5):
        events.emit(EventType.RECEIVED, ScanId(f"s{number}"))
    assert told(reader) == ["s2", "s3", "s4"]


def test_a_stream_that_comes_later_is_read(events, reader):
    assert told(reader) == []
    events.emit(EventType.RECEIVED, ScanId("a"))
    assert told(reader) == ["a"]


def test_a_call_ends_as_soon_as_an_event_comes(events, reader):
    told(reader)
    sender = threading.Timer(0.2, lambda: events.emit(EventType.RECEIVED, ScanId("a")))
    sender.start()
    start = time.monotonic()
    assert told(reader, 1.5) == ["a"]
    assert time.monotonic() - start < 1.4
    sender.join()


def test_entries_of_others_are_left_out(client, events, reader):
    client.xadd(STREAM, {"other": "field"})
    client.xadd(STREAM, {"event": b"\xff\x00 no JSON"})
    client.xadd(STREAM, {"event": '{"type": "org.pose-worker.scan.received", "subject": "../x"}'})
    events.emit(EventType.RECEIVED, ScanId("a"))
    assert told(reader) == ["a"]


def test_no_event_is_lost_or_told_twice_while_redis_is_away(events, redis_server, monkeypatch):
    client = open_redis(redis_server.url(9))
    reader = StreamReader(client, STREAM)
    events.emit(EventType.RECEIVED, ScanId("a"))
    assert told(reader) == ["a"]
    events.emit(EventType.RECEIVED, ScanId("b"))
    with monkeypatch.context() as away:
        away.setattr(client, "connection_pool", redis.ConnectionPool(host="127.0.0.1", port=1))
        with pytest.raises(UNREADABLE):
            reader.read(0.01)
    assert told(reader) == ["b"]
