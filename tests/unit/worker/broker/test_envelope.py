"""The checks by themselves; against a real worker, with many more entries, in test_redis_broker.py."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from kombu.message import Message
from kombu.utils.json import dumps

from worker.broker.envelope import InvalidMessage, check_envelope, check_task

PERSON = "Zoe-1234"


def envelope(**parts: Any) -> dict[str, Any]:
    """As kombu writes it."""
    properties = {
        "delivery_tag": "tag",
        "delivery_info": {"exchange": "", "routing_key": "celery"},
        "body_encoding": "base64",
        "priority": 0,
        "correlation_id": "1",
        "reply_to": "2",
        "delivery_mode": 2,
    }
    body = base64.b64encode(b"[[], {}, {}]").decode()
    written = {"body": body, "headers": {}, "properties": properties, "content-type": "application/json"}
    return {**written, "content-encoding": "utf-8", **parts}


def task(body: Any = ([], {}, {}), **headers: Any) -> Message:
    known = {"task": "t", "id": "1", "eta": None, "expires": None, "timelimit": [None, None], "retries": 0}
    return Message(
        json.dumps(body).encode(),
        content_type="application/json",
        content_encoding="utf-8",
        headers={**known, **headers},
        accept={"application/json"},
    )


def test_a_message_of_kombus_passes_as_it_is():
    assert check_envelope(dumps(envelope())) == envelope()


def test_one_that_is_too_long_is_not_even_read():
    with pytest.raises(InvalidMessage, match="more than 10 bytes"):
        check_envelope(b"nonsense, and long", 10)


@pytest.mark.parametrize("part", ["body", "headers", "properties"])
def test_each_part_that_kombu_reads_must_be_there(part):
    message = envelope()
    del message[part]
    with pytest.raises(InvalidMessage, match=f"{part}: Field required"):
        check_envelope(json.dumps(message))


@pytest.mark.parametrize("name", [PERSON, "body"])
def test_a_reason_repeats_nothing_of_what_was_sent(name):
    bad = [
        json.dumps(envelope(headers={name: PERSON, "compression": PERSON})),
        json.dumps(envelope(properties={name: PERSON, "delivery_tag": {PERSON: 1}})),
        f'{{"{PERSON}": "\\ud800"}}',
        f"{PERSON}",
    ]
    for text in bad:
        with pytest.raises(InvalidMessage) as error:
            check_envelope(text)
        assert PERSON not in str(error.value)
    with pytest.raises(InvalidMessage) as error:
        check_task(task(body=([], {"kwargs": 1, PERSON: 1}, {}), stamps={PERSON: "\ud800"}, retries=PERSON))
    assert PERSON not in str(error.value)


@pytest.mark.parametrize(
    "message",
    [
        task(),
        task(body=([1], {"a": 1}, None)),
        task(eta="2026-11-22T11:46:04.604983+00:00", expires="2026-11-22T11:46:04Z"),
        task(timelimit=[150, 120.5], root_id="1", parent_id=None, group=None, shadow="", unknown={"a": 1}),
        Message('{"task": "t", "id": "1", "args": [], "kwargs": {}}', content_type="application/json"),
        Message('{"task": "t", "id": "1"}', content_type="application/json"),
    ],
)
def test_these_call_a_task(message):
    check_task(message)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (task(id=1), "id"),
        (task(id=""), "id"),
        (task(task="t" * 300), "task"),
        (task(eta=""), "eta"),
        (task(eta=5), "eta"),
        (task(timelimit=[1, 2, 3]), "timelimit"),
        (task(timelimit=[-1, 2]), "timelimit"),
        (task(retries=-1), "retries"),
        (task(stamped_headers=[1]), "stamped_headers"),
        (task(body={"args": 5, "kwargs": {}}), "args"),
        (task(body="x"), "not a list"),
        (task(body=[[], {}, {}, {}]), "not a list"),
        (Message("[", content_type="application/json"), "cannot be read"),
        (
            Message(b"\xff", content_type="application/json", headers={"task": "t", "id": "1"}),
            "cannot be read",
        ),
        (
            Message("x", content_type="application/x-yaml", accept={"application/json"}),
            "nothing else is taken",
        ),
        (Message("1", content_type="application/json"), "task: Field required"),
    ],
)
def test_these_do_not(message, reason):
    with pytest.raises(InvalidMessage, match=reason):
        check_task(message)
