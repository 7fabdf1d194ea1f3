"""Events: their form, where they go, and which ones a real worker tells of a scan."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from tests.support.redis_server import RedisServer
from tests.support.running import ROOT, Running, World, wait_until
from worker.config.redis_client import open_redis
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.scans.events import MAX_TEXT, EventType, FileEvents, StreamEvents, cloud_event, open_events

PERSON = "Zoe-1234"
STREAM = "pose:events"
SCAN = ScanId("scan-1")
# CloudEvents 1.0.2: names are lower-case letters and digits; these are all there may be without extensions.
ATTRIBUTES = {
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
}
URI_REFERENCE = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


def checked(text: str) -> dict[str, Any]:
    """A CloudEvent in JSON, held against the rules of the specification and of its JSON format."""
    event: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert set(event) <= ATTRIBUTES
    assert event["specversion"] == "1.0"
    for required in ("id", "source", "type"):
        assert isinstance(event[required], str) and event[required]
    assert URI_REFERENCE.fullmatch(event["source"])
    assert re.fullmatch(r"org\.pose-worker\.(scan|picture)\.[a-z]+", event["type"])
    assert isinstance(event["subject"], str) and event["subject"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", event["time"])  # RFC 3339
    assert datetime.fromisoformat(event["time"]).utcoffset() == timedelta(0)
    assert event["datacontenttype"] == "application/json"
    assert isinstance(event["data"], dict)
    return event


def of_stream(client: Any, scan_id: str | None = None) -> list[dict[str, Any]]:
    events = [checked(fields[b"event"].decode()) for _, fields in client.xrange(STREAM)]
    return [event for event in events if scan_id in (None, event["subject"])]


@pytest.fixture
def client(redis_server) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url(10)) as client:
        client.flushdb()
        yield client


@pytest.mark.parametrize("type", EventType)
def test_each_event_is_a_cloud_event_in_json(type):
    event = checked(cloud_event(type, SCAN, {"attempt": 1, "reason": None, "ok": True, "m": 0.5}))
    assert event["type"] == type.value
    assert event["subject"] == "scan-1"
    assert event["data"] == {"attempt": 1, "reason": None, "ok": True, "m": 0.5}


def test_no_two_events_have_one_id():
    assert len({checked(cloud_event(EventType.STARTED, SCAN, {}))["id"] for _ in range(100)}) == 100


def test_an_event_sent_twice_keeps_its_id_and_no_other_event_has_it():
    def id_of(type: EventType, scan_id: ScanId, data: dict[str, Any], key: str) -> str:
        return str(checked(cloud_event(type, scan_id, data, key))["id"])

    first = id_of(EventType.FAILED, SCAN, {}, key="1")
    assert id_of(EventType.FAILED, SCAN, {"reason": "why"}, key="1") == first
    others = (
        id_of(EventType.FAILED, SCAN, {}, key="2"),
        id_of(EventType.FAILED, ScanId("b"), {}, key="1"),
        id_of(EventType.COMPLETED, SCAN, {}, key="1"),
    )
    assert len({first, *others}) == 4


def test_a_number_that_json_does_not_have_becomes_null():
    event = checked(cloud_event(EventType.COMPLETED, SCAN, {"m": float("nan"), "n": float("inf")}))
    assert event["data"] == {"m": None, "n": None}


def test_nothing_of_a_person_and_no_long_text_gets_into_an_event():
    reason = f"rgb_{PERSON}_1622182020448_100_1.jpg at redis://user:hunter2@host is broken" + "x" * 5000
    event = cloud_event(EventType.FAILED, SCAN, {"reason": reason})
    assert PERSON not in event and "hunter2" not in event
    assert len(checked(event)["data"]["reason"]) == MAX_TEXT


def test_events_are_entries_of_a_bounded_stream(client):
    events = StreamEvents(client, STREAM)
    for frame in range(3):
        events.emit(EventType.PROGRESS, SCAN, frame=frame)
    assert [event["data"]["frame"] for event in of_stream(client)] == [0, 1, 2]
    with client.pipeline() as pipe:
        for _ in range(100_500):
            pipe.xadd(STREAM, {"event": "{}"})
        pipe.execute()
    events.emit(EventType.PROGRESS, SCAN)
    assert 100_000 <= client.xlen(STREAM) < 100_200  # Redis drops whole blocks of a hundred


def test_without_redis_events_are_lines_of_a_file(here):
    events = open_events(read_settings())
    events.emit(EventType.STARTED, SCAN, attempt=1)
    events.emit(EventType.COMPLETED, SCAN)
    lines = (here / ".run" / "events.jsonl").read_text().splitlines()
    assert [checked(line)["type"] for line in lines] == [EventType.STARTED, EventType.COMPLETED]


def test_the_file_and_the_one_before_it_are_bounded_and_their_lines_whole(tmp_path):
    """Several processes would write; threads that open the file anew each time are as many writers."""
    path, limit, count = tmp_path / "events.jsonl", 20_000, 400

    def write(name: ScanId) -> None:
        events = FileEvents(path, limit)
        for frame in range(count):
            events.emit(EventType.PROGRESS, name, frame=frame)

    threads = [threading.Thread(target=write, args=(ScanId(f"writer-{each}"),)) for each in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    before, now = path.with_name("events.jsonl.1"), path
    assert limit / 2 < before.stat().st_size <= limit
    assert 0 < now.stat().st_size <= limit
    events = [checked(line) for file in (before, now) for line in file.read_text().splitlines()]
    for name in {event["subject"] for event in events}:
        frames = [event["data"]["frame"] for event in events if event["subject"] == name]
        assert frames == list(range(frames[0], count)), "a line was lost, or out of order"


def test_an_event_that_cannot_be_sent_is_logged_and_dropped(tmp_path):
    (tmp_path / "file").write_text("")
    with RedisServer() as server:
        away = open_redis(server.url(), 0.5)
    for events in (StreamEvents(away, STREAM), FileEvents(tmp_path / "file" / "events.jsonl")):
        with capture_logs() as logs:
            assert not events.emit(EventType.STARTED, SCAN)
            assert not events.emit(EventType.STARTED, SCAN, picture=b"")  # type: ignore[arg-type]
        assert [each["event"] for each in logs] == ["event_not_told"] * 2


def test_a_key_of_another_type_in_place_of_the_stream_fails_no_scan(client):
    client.set(STREAM, "somebody else's")
    with capture_logs() as logs:
        StreamEvents(client, STREAM).emit(EventType.STARTED, SCAN)
    assert logs[0]["error"] == "ResponseError"


def test_a_redis_that_does_not_answer_does_not_delay_each_frame():
    asked = []

    class Silent:
        def xadd(self, *_: object, **__: object) -> None:
            asked.append(1)
            raise redis.TimeoutError

    now = 100.0
    events = StreamEvents(Silent(), STREAM, clock=lambda: now)  # type: ignore[arg-type]
    for _ in range(50):
        events.emit(EventType.PROGRESS, SCAN)
    assert len(asked) == 1
    events.emit(EventType.COMPLETED, SCAN)
    assert len(asked) == 2, "only progress is left out"
    now += 11
    events.emit(EventType.PROGRESS, SCAN)
    assert len(asked) == 3


@pytest.fixture(scope="module")
def world(tmp_path_factory, redis_server, s3_server, bucket) -> World:
    place = f"s3://{bucket}/{uuid.uuid4()}"
    return World(
        tmp_path_factory.mktemp("events"),
        {
            "CELERY_BROKER_URL": redis_server.url(11),
            "CELERY_RESULT_BACKEND": redis_server.url(12),
            "SCANS_URL": f"{place}/scans",
            "RESULTS_URL": f"{place}/results",
            "RETRY_BASE_S": "0.1",
            **s3_server.environment,
        },
    )


@pytest.fixture(scope="module")
def stream(world) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(world.environment["CELERY_BROKER_URL"]) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="module")
def worker(world, stream) -> Iterator[Running]:
    with world.start_worker() as worker:
        worker.wait_for_event("process_ready")
        yield worker


def kinds(client: redis.Redis, scan_id: str) -> list[str]:
    return [event["type"].removeprefix("org.pose-worker.") for event in of_stream(client, scan_id)]


def once(client: redis.Redis, scan_id: str, last: str) -> list[str]:
    wait_until(lambda: last in kinds(client, scan_id), f"{last} of {scan_id}")
    time.sleep(0.3)  # for an event too many
    return kinds(client, scan_id)


def test_a_real_worker_sends_the_events_of_a_scan_from_its_arrival_to_its_end(
    world, worker, stream, make_scan
):
    world.put_scan("good", make_scan(frames=2, person=PERSON))
    world.enqueue("good")
    found = once(stream, "good", "scan.completed")
    progress = [kind for kind in found if kind == "scan.progress"]
    assert len(progress) >= 3  # fetch, analyse, publish
    ending = ["picture.withheld", "picture.withheld", "scan.completed"]
    assert found == ["scan.received", "scan.started", *progress, *ending]
    events = of_stream(stream, "good")
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert [event["data"]["frame"] for event in events if event["type"] == EventType.WITHHELD] == [0, 1]
    result = world.json("good/result.json")
    assert result is not None
    assert events[-1]["data"]["posture"] == result["posture"]
    assert events[-1]["data"]["frames"] == 2
    assert PERSON not in json.dumps(events)


def consumer(world: World) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "REDIS_URL": world.environment["CELERY_BROKER_URL"],
        "EVENTS_STREAM": "example",
    }
    command = [sys.executable, str(ROOT / "examples" / "consume_events.py")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_the_example_of_a_consumer_gets_each_event_once_also_those_from_before_it_started(world, stream):
    events = StreamEvents(stream, "example")
    events.emit(EventType.RECEIVED, ScanId("early"))
    lines = []
    for scan_id in ("early", "late"):
        running = consumer(world)
        assert running.stdout is not None
        try:
            if scan_id == "late":
                events.emit(EventType.FAILED, ScanId("late"), reason="a reason")
            lines.append(running.stdout.readline().strip())
            wait_until(
                lambda: stream.xpending("example", "my-service")["pending"] == 0, "it to be acknowledged"
            )
        finally:
            running.kill()
            running.wait()
            running.stdout.close()
    assert lines == [
        "org.pose-worker.scan.received early {}",
        "org.pose-worker.scan.failed late {'reason': 'a reason'}",
    ]


def test_the_example_finishes_what_it_had_not_acknowledged(world, stream):
    stream.delete("example")
    stream.xgroup_create("example", "my-service", id="0", mkstream=True)
    StreamEvents(stream, "example").emit(EventType.RECEIVED, ScanId("left-behind"))
    stream.xreadgroup("my-service", "consumer-1", {"example": ">"})
    running = consumer(world)
    assert running.stdout is not None
    try:
        assert "left-behind" in running.stdout.readline()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def test_the_example_is_short():
    code = (ROOT / "examples" / "consume_events.py").read_text().split("import redis\n")[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
