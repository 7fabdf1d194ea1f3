"""One look at what waits, over the embedded broker and a real Redis."""

from __future__ import annotations

import socket
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.celery_app import celery_app
from tests.support.running import World
from worker.broker.dead_letters import add_dead_letter
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.ledger.base import BEAT
from worker.ledger.opening import open_ledger
from worker.metrics import server
from worker.metrics.exposition import registry_of
from worker.metrics.look import Place, look
from worker.queue import NAME, SENT_AT, message, sender


def samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (each.name, ",".join(each.labels.values())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_each_place_is_counted_and_the_oldest_has_its_age(here, redis_server):
    (url,) = redis_server.emptied(8)
    settings = read_settings(broker_url=url, arrivals_list="pose:arrivals")
    app = celery_app(settings)
    empty = look(app, settings)
    assert (sum(empty.waiting.values()), empty.oldest_s, empty.load, empty.beat_seen) == (0, 0.0, 0.0, False)
    send = sender(app)
    for number in range(3):
        send(message(ScanId(f"scan-{number}")))
    app.send_task(NAME, kwargs={"scan_id": "foreign"})
    sent_at = {SENT_AT: time.time() - 100}
    app.send_task(NAME, kwargs={"scan_id": "later"}, countdown=600, headers=sent_at)
    ledger = open_ledger(settings)
    ledger.quarantine(ScanId("poison"), "poison")
    ledger.begin(ScanId("crashed-once"))
    lease = ledger.lock(BEAT)
    assert lease is not None
    with lease, redis_server.client(8) as client, app.connection_for_read() as connection:
        client.lpush("pose:arrivals", '{"scan_id": "a"}', '{"scan_id": "b"}')
        client.zadd("pose:arrivals:settling", {"c": time.time()})
        add_dead_letter(client, "celery", "wrong", b"x")
        # A worker has the first message, and does not work on it.
        connection.default_channel.basic_get("celery")
        found = look(app, settings)
    expected = {Place.LIST: 3, Place.DELAYED: 1, Place.UNACKED: 1, Place.ARRIVALS: 2, Place.SETTLING: 1}
    assert found.waiting == expected
    assert found.oldest_s == pytest.approx(100, abs=30)
    assert (found.dead, found.quarantined, found.beat_seen) == ({"queue": 1, "arrivals": 0}, 1, True)
    assert (found.processes, found.load) == (0, float("inf"))
    text = generate_latest(registry_of(lambda: found, settings)).decode()
    assert samples(text)["pose_waiting_scans", "list"] == 3
    assert not any(name in text for name in ("scan-0", "foreign", "later", "poison"))


def test_messages_of_other_programs_alone_have_no_age(here, redis_server):
    (url,) = redis_server.emptied(8)
    settings = read_settings(broker_url=url)
    app = celery_app(settings)
    app.send_task(NAME, kwargs={"scan_id": "foreign"})
    app.send_task(NAME, kwargs={"scan_id": "liar"}, headers={SENT_AT: "yesterday"})
    found = look(app, settings)
    assert (found.waiting[Place.LIST], found.oldest_s) == (2, None)


def test_the_command_prints_a_look_at_the_embedded_broker(here):
    world = World(here)
    world.enqueue("one", "two")
    done = world.call("worker", "metrics")
    assert done.returncode == 0, done.stderr
    found = samples(done.stdout)
    assert found["pose_waiting_scans", "list"] == 2
    assert 0 < found["pose_oldest_waiting_seconds", ""] < 180
    assert (found["pose_load", ""], found["pose_beat_seen", ""]) == (float("inf"), 0)


def test_a_broker_that_is_away_is_an_error(here):
    done = World(here).call("worker", "metrics", CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "the broker cannot be reached" in done.stderr


def test_a_port_that_is_taken_is_logged_and_stops_nobody(monkeypatch):
    logged: list[str] = []
    monkeypatch.setattr(server.log, "error", lambda event, **_: logged.append(event))
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        metrics = server.MetricsServer()
        metrics.start(read_settings(metrics_port=taken.getsockname()[1]), CollectorRegistry())
        metrics.stop()
    assert logged == ["metrics_not_served"]
