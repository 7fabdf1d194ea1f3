from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis

from worker.broker.dead_letters import MAX_ENTRIES, MAX_ENTRY_CHARS, add_dead_letter, dead_letter, dead_list


@pytest.fixture
def client(redis_server) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url(13)) as client:
        client.flushdb()
        yield client


def test_a_dead_letter_tells_the_reason_the_time_and_the_entry():
    letter = json.loads(dead_letter("a reason", b'{"scan_id": 1}'))
    assert (letter["reason"], letter["entry"]) == ("a reason", '{"scan_id": 1}')
    assert abs((datetime.now(UTC) - datetime.fromisoformat(letter["at"])).total_seconds()) < 10


def test_bytes_that_are_no_text_can_be_read_all_the_same():
    assert json.loads(dead_letter("", b"a\xff"))["entry"] == "a\\xff"


def test_of_a_long_entry_the_start_is_kept():
    assert len(json.loads(dead_letter("", b"x" * 10**6))["entry"]) == MAX_ENTRY_CHARS


def test_the_newest_are_kept_and_stand_first(client):
    for number in range(MAX_ENTRIES + 5):
        add_dead_letter(client, "queue", "", str(number))
    kept = [json.loads(each)["entry"] for each in client.lrange(dead_list("queue"), 0, -1)]
    assert kept == [str(number) for number in range(MAX_ENTRIES + 4, 4, -1)]


def test_given_a_pipeline_it_is_a_part_of_that(client):
    with client.pipeline(transaction=True) as together:
        add_dead_letter(together, "queue", "", b"entry")
        assert not client.exists("queue:dead")
        together.execute()
    assert client.llen("queue:dead") == 1
