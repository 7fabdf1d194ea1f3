"""Entries of Celery's list that are no message, against a real worker and a real Redis."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from tests.support.running import Running, World, wait_until

LIMIT = 64 * 1024
AT_THE_START = [b"[1", b"{}", b'{"scan_id": "a"}', b'{"body": "abc", "headers": {}, "properties": {}}']
SECRET = "Zoe-1234"


@pytest.fixture(scope="module")
def world(tmp_path_factory, redis_server) -> World:
    return World(
        tmp_path_factory.mktemp("guarded"),
        {
            "CELERY_BROKER_URL": redis_server.url(5),
            "CELERY_RESULT_BACKEND": redis_server.url(6),
            "MAX_MESSAGE_BYTES": str(LIMIT),
        },
    )


@pytest.fixture(scope="module")
def client(world) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(world.environment["CELERY_BROKER_URL"]) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="module")
def producer(world) -> Iterator[Celery]:
    app = Celery(
        "producer",
        broker=world.environment["CELERY_BROKER_URL"],
        backend=world.environment["CELERY_RESULT_BACKEND"],
        set_as_current=False,
    )
    yield app
    app.close()


@pytest.fixture(scope="module")
def worker(world, client) -> Iterator[Running]:
    client.lpush("celery", *AT_THE_START)
    with world.start_worker() as worker:
        worker.wait_for_event("process_ready")
        yield worker


@pytest.fixture(scope="module")
def good(client, producer, worker, world) -> dict[str, Any]:
    """A message as Celery writes it."""
    other = Celery("other", broker=world.environment["CELERY_BROKER_URL"], set_as_current=False)
    other.conf.task_default_queue = "kept-here"
    other.send_task("worker.process_scan", kwargs={"scan_id": "nothing-there"})
    other.close()
    message: dict[str, Any] = json.loads(client.rpop("kept-here") or b"")
    return message


def changed(message: dict[str, Any], **parts: Any) -> bytes:
    """The message with parts replaced; a dict changes what is in the part, and ... takes something away."""
    copy: dict[str, Any] = json.loads(json.dumps(message))
    for name, value in parts.items():
        inner = {**copy[name], **value} if isinstance(value, dict) else value
        copy[name] = {k: v for k, v in inner.items() if v is not ...} if isinstance(inner, dict) else inner
    return json.dumps({name: value for name, value in copy.items() if value is not ...}).encode()


def body(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


MALFORMED: dict[str, Any] = {
    "not JSON": (b"hello " + SECRET.encode(), "it is not JSON"),
    "not text": (b"\xff\xfe\x00", "it is not JSON"),
    "nothing but space": (b" ", "it is not JSON"),
    "nested without end": (b"[" * 30_000, "it is not JSON"),
    "a number too long for Python": (b"9" * 10_000, "it is not JSON"),
    "a type of kombu's that it is not": (b'{"__type__": "decimal", "__value__": "x"}', "it is not JSON"),
    "a list": (b"[1, 2]", "not an object"),
    "a string": (b'"x"', "not an object"),
    "null": (b"null", "not an object"),
    "raw JSON without the envelope": (b'{"scan_id": "a"}', "not a Celery message: body: Field required"),
    "an empty object": (b"{}", "body: Field required"),
    "no properties": ({"properties": ...}, "properties: Field required"),
    "no tag": ({"properties": {"delivery_tag": ...}}, "properties.delivery_tag: Field required"),
    "a tag of another type": ({"properties": {"delivery_tag": [1]}}, "properties.delivery_tag"),
    "no delivery": ({"properties": {"delivery_info": ...}}, "properties.delivery_info: Field required"),
    "an exchange of another type": (
        {"properties": {"delivery_info": {"exchange": {}, "routing_key": "celery"}}},
        "properties.delivery_info.exchange",
    ),
    "a priority of another type": ({"properties": {"priority": "high"}}, "properties.priority"),
    "a body of another type": ({"body": [1]}, "body: Input should be a valid string"),
    "a body that is not base64": ({"body": "abc"}, "not base64"),
    "an unknown encoding of the body": (
        {"properties": {"body_encoding": "rot13"}},
        "properties.body_encoding",
    ),
    "headers of another type": ({"headers": "x"}, "headers"),
    "a compressed body": ({"headers": {"compression": "application/x-gzip"}}, "headers.compression"),
    "a body that is not JSON": ({"body": base64.b64encode(b"{").decode()}, "cannot be read as JSON"),
    "an empty body": ({"body": ""}, "not a list of arguments"),
    "not a triple": ({"body": body([[], {}])}, "not a list of arguments"),
    "a body of null": ({"body": body(None)}, "not a list of arguments"),
    "arguments of another type": ({"body": body(["x", {}, {}])}, "args"),
    "keyword arguments of another type": ({"body": body([[], [1], {}])}, "kwargs"),
    "options of another type": ({"body": body([[], {}, 7])}, "embed"),
    "pickle": ({"content-type": "application/x-python-serialize"}, "nothing else is taken"),
    "YAML": ({"content-type": "application/x-yaml"}, "nothing else is taken"),
    "no content type": ({"content-type": ...}, "not a list of arguments"),
    "an unknown task": ({"headers": {"task": "os.system"}}, "no such task"),
    "no task": ({"headers": {"task": ...}}, "task: Field required"),
    "a task of another type": ({"headers": {"task": ["x"]}}, "task"),
    "an id of a scan that is none": ({"body": body([[], {"scan_id": "../etc"}, {}])}, "a scan id is"),
    "arguments that the task does not take": ({"body": body([[], {"path": 1}, {}])}, "nothing else"),
    "no id": ({"headers": {"id": ...}}, "id: Field required"),
    "an id of another type": ({"headers": {"id": {"a": 1}}}, "id"),
    "a time limit of another type": ({"headers": {"timelimit": "soon"}}, "timelimit"),
    "half a time limit": ({"headers": {"timelimit": [1]}}, "timelimit"),
    "a time that is none": ({"headers": {"eta": "tomorrow"}}, "eta: must be a time"),
    "a time before all times": ({"headers": {"eta": "0001-01-01T00:00:00+23:59"}}, "eta: must be a time"),
    "an expiry of another type": ({"headers": {"expires": [1]}}, "expires"),
    "a count of another type": ({"headers": {"retries": "many"}}, "retries"),
    "a name of another type": ({"headers": {"shadow": {}}}, "shadow"),
    "too large": (b'{"body": "' + b"x" * LIMIT + b'"}', f"more than {LIMIT} bytes"),
}


def test_entries_that_are_there_already_do_not_keep_a_worker_from_starting(client, worker):
    wait_until(lambda: client.llen("celery:dead") == len(AT_THE_START), "them to be set aside")
    assert client.llen("celery") == 0


@pytest.mark.parametrize("case", MALFORMED)
def test_an_entry_that_is_no_message_is_set_aside_with_the_reason(case, client, worker, good):
    entry, reason = MALFORMED[case]
    entry = entry if isinstance(entry, bytes) else changed(good, **entry)
    client.delete("celery:dead")
    client.lpush("celery", entry)
    wait_until(lambda: client.llen("celery:dead"), "the entry to be set aside")
    (dead,) = (json.loads(each) for each in client.lrange("celery:dead", 0, -1))
    assert reason in dead["reason"]
    assert (SECRET not in dead["reason"], "T" in dead["at"]) == (True, True)
    kept = entry.decode(errors="backslashreplace")
    if isinstance(MALFORMED[case][0], bytes):
        assert dead["entry"] == kept[:16384]
    else:
        assert json.loads(dead["entry"])["headers"] == json.loads(kept)["headers"]


def test_after_all_of_them_the_same_worker_takes_scans_and_nothing_is_left(
    client, worker, world, make_scan, producer
):
    world.put_scan("after", make_scan(frames=1))
    producer.send_task("worker.process_scan", kwargs={"scan_id": "after"})
    world.wait_for("after", "completed")
    assert len(worker.events("process_ready")) == 1, "a process was lost on the way"
    assert "Connection to broker lost" not in worker.log()
    wait_until(lambda: not client.exists("unacked", "unacked_index"), "the last acknowledgement")
    assert client.llen("celery") == 0


def test_what_was_sent_stands_in_no_log(worker, client):
    assert SECRET not in worker.log()


def test_an_old_message_with_the_task_in_its_body_is_taken(client, worker, good, world, make_scan):
    world.put_scan("old", make_scan(frames=1))
    old = {"task": "worker.process_scan", "id": "1", "args": [], "kwargs": {"scan_id": "old"}}
    client.lpush("celery", changed({**good, "headers": {}}, body=body(old)))
    world.wait_for("old", "completed")


def test_two_copies_of_an_entry_are_two_messages(client, worker, good):
    client.lpush("celery", *[changed(good, headers={"id": "twice"})] * 2)
    wait_until(
        lambda: [each["task_id"] for each in worker.events("scan_failed")].count("twice") == 2,
        "both to be run",
    )
    wait_until(lambda: not client.exists("unacked", "celery"), "both to be done")


def test_the_dead_list_is_bounded(client, worker):
    with client.pipeline() as pipe:
        for number in range(1100):
            pipe.lpush("celery", f"bad {number}")
        pipe.execute()
    wait_until(lambda: not client.exists("celery"), "all to be set aside")
    wait_until(lambda: client.llen("celery:dead") == 1000, "the last")
    assert json.loads(client.lindex("celery:dead", 0) or b"")["entry"] == "bad 1099"


def test_an_acknowledgement_that_redis_refuses_keeps_no_other_message_waiting(
    client, worker, world, make_scan, producer
):
    for scan_id in ("not-acknowledged", "the-next"):
        world.put_scan(scan_id, make_scan(frames=1))
    client.execute_command("ACL", "SETUSER", "default", "-zrem")
    try:
        producer.send_task("worker.process_scan", kwargs={"scan_id": "not-acknowledged"})
        wait_until(lambda: "Couldn't ack" in worker.log(), "it to be refused")
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+zrem")
    producer.send_task("worker.process_scan", kwargs={"scan_id": "the-next"})
    world.wait_for("the-next", "completed")
    wait_until(lambda: client.hlen("unacked") == 1, "the next to be done; the first stays, and comes back")


def test_a_dead_list_that_is_none_does_not_end_the_worker(client, worker, world):
    client.delete("celery:dead")
    client.set("celery:dead", "somebody else's")
    client.lpush("celery", b"nonsense")
    worker.wait_for_event("message_not_kept")
    client.delete("celery:dead")
    world.ping()
