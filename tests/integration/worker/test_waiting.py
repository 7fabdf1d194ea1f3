from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from tests.support.celery_app import celery_app
from worker.broker.waiting import waiting_scans
from worker.config.settings import Settings, read_settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.queue import message, sender
from worker.scans.reconcile import reconcile
from worker.storage.opening import open_storages

LEASE_S = 900.0


@pytest.fixture(params=["file", "redis"])
def settings(request, here) -> Settings:
    (here / "scans").mkdir()
    if request.param == "file":
        return read_settings()
    (url,) = request.getfixturevalue("redis_server").emptied(8)
    return read_settings(broker_url=url, queue_lease_s=LEASE_S)


def test_the_scans_in_the_queue_are_found_whoever_sent_them(settings, monkeypatch):
    monkeypatch.setattr("worker.broker.waiting.CHUNK", 10)
    app = celery_app(settings)
    send = sender(app)
    for number in range(35):
        send(message(ScanId(f"scan-{number}")))
    name = "worker.process_scan"
    app.send_task(name, args=[{"scan_id": "in-args"}])
    app.send_task(name, kwargs={"arrival": {"scan_id": "as-arrival"}, "force": True})
    app.send_task("worker.reconcile", kwargs={"sweep": True})
    app.send_task("another.task", kwargs={"scan_id": "another"})
    wrongs: list[dict[str, Any]] = [{}, {"scan_id": 3}, {"scan_id": "no id!"}, {"arrival": []}]
    for wrong in wrongs:
        app.send_task(name, kwargs=wrong)
    found = waiting_scans(app)
    assert found.queued == {*(f"scan-{number}" for number in range(35)), "in-args", "as-arrival"}
    assert found.taken == set()


def test_a_message_for_later_is_found(settings):
    app = celery_app(settings)
    if not settings.broker_url.startswith("redis"):
        pytest.skip("other brokers give it to a worker at once")
    app.send_task("worker.process_scan", kwargs={"scan_id": "later"}, countdown=600)
    assert waiting_scans(app).queued == {"later"}


def test_an_entry_that_is_no_message_hides_no_scan(settings):
    if not settings.redis_url:
        pytest.skip("anybody can write to a Redis list")
    app = celery_app(settings)
    sender(app)(message(ScanId("scan")))
    with app.connection() as connection:
        connection.default_channel.client.lpush("celery", "no message", "[1]", '{"body": 3}', b"\xff")
    assert waiting_scans(app).queued == {"scan"}


def test_a_message_that_a_worker_has_is_taken_until_it_should_have_come_back(settings):
    if not settings.redis_url:
        pytest.skip("the embedded broker keeps no message that was taken")
    app = celery_app(settings)
    sender(app)(message(ScanId("scan")))
    with app.connection() as connection:
        channel: Any = connection.default_channel
        taken = connection.SimpleQueue("celery").get(timeout=5)
        assert taken.headers["task"] == "worker.process_scan"
        found = waiting_scans(app)
        assert (found.queued, found.taken) == (set(), {"scan"})
        (tag,) = channel.client.zrange(channel.unacked_index_key, 0, -1)
        channel.client.zadd(channel.unacked_index_key, {tag: time.time() - 3600})
        assert waiting_scans(app).taken == set()


def test_of_20000_overdue_scans_those_that_wait_are_not_sent_again(settings):
    """Quick, and without a duplicate."""
    if not settings.redis_url:
        pytest.skip("20000 files take their time")
    app = celery_app(settings)
    scans, results = open_storages(settings)
    ledger = open_ledger(settings)
    sender(app)(message(ScanId("scan-0")))
    with app.connection() as connection:
        channel: Any = connection.default_channel
        (entry,) = channel.client.lrange("celery", 0, -1)
        channel.client.delete("celery")
        entries = [_renamed(entry, f"scan-{number}") for number in range(20_000)]
        for start in range(0, len(entries), 1000):
            channel.client.lpush("celery", *entries[start : start + 1000])
        past = time.time() - 1
        with ledger._client.pipeline() as pipeline:  # type: ignore[attr-defined]
            pipeline.zadd("pose:open", {f"scan-{number}": past for number in range(20_000)})
            pipeline.zadd("pose:open", {"lost": past})
            pipeline.execute()
        begin = time.process_time()
        sent = reconcile(settings, scans, results, sender(app), waiting=lambda: waiting_scans(app))
        assert sent == ["lost"]
        assert channel.client.llen("celery") == 20_001
        assert time.process_time() - begin < 10
    assert ledger.overdue(time.time() + LEASE_S - 60, 10) == []


def _renamed(entry: bytes, scan_id: str) -> bytes:
    found = json.loads(entry)
    body = json.dumps([[], {"scan_id": scan_id}, {}])
    return json.dumps({**found, "body": base64.b64encode(body.encode()).decode()}).encode()
