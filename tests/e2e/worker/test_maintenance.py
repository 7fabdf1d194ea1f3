"""A real beat, without any worker: what it does by itself."""

from __future__ import annotations

import os
import signal
import time
import uuid

import pytest
from celery import Celery

from tests.support.running import World, wait_until
from worker.broker.waiting import scan_of
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.queue import message, sender

LEASE_S = 3.0


@pytest.fixture
def world(redis_server, tmp_path) -> World:
    url = redis_server.url(2 + uuid.uuid4().int % 6)
    Celery(broker=url, set_as_current=False).connection().default_channel.client.flushdb()
    return World(
        tmp_path,
        {"CELERY_BROKER_URL": url, "QUEUE_LEASE_S": str(LEASE_S), "RECONCILE_EVERY_S": "1"},
    )


def waiting(world: World) -> list[str]:
    with Celery(
        broker=world.environment["CELERY_BROKER_URL"], set_as_current=False
    ).connection() as connection:
        entries = connection.default_channel.client.lrange("celery", 0, -1)
    return sorted(scan_id for entry in entries for scan_id in scan_of(entry))


def test_beat_sends_lost_scans_behind_a_backlog_once_and_nothing_that_waits(world, make_scan):
    url = world.environment["CELERY_BROKER_URL"]
    backlog = sorted(f"waits-{number}" for number in range(300))
    ledger = open_ledger(read_settings(redis_url=url, run_dir=world.folder / ".run"))
    app = Celery(broker=url, set_as_current=False)
    app.backend_cls = "disabled"
    send = sender(app)
    for scan_id in backlog:
        send(message(ScanId(scan_id)))
        ledger.set_deadline(ScanId(scan_id), time.time() - 1)
    ledger.set_deadline(ScanId("lost"), time.time() - 1)
    world.put_scan("never-announced", make_scan(frames=1))
    time.sleep(LEASE_S)
    with world.start("celery", "-A", "worker", "beat") as beat:
        wait_until(lambda: len(waiting(world)) > len(backlog) + 1, "both to be sent")
        assert waiting(world) == sorted([*backlog, "lost", "never-announced"])
        begin = time.monotonic()
        time.sleep(2 * LEASE_S)  # all of them are overdue again meanwhile, and wait
        assert waiting(world) == sorted([*backlog, "lost", "never-announced"])
        assert time.monotonic() - begin < 4 * LEASE_S
        assert beat.process.poll() is None
        os.kill(beat.process.pid, signal.SIGTERM)
        assert beat.process.wait(30) == 0
    assert beat.events("maintenance_failed") == []


def test_beat_goes_on_after_its_storage_was_away(world, make_scan):
    scans = world.folder / "scans"
    with world.start("celery", "-A", "worker", "beat") as beat:
        beat.wait_for_event("maintenance_failed")
        scans.mkdir()
        world.put_scan("never-announced", make_scan(frames=1))
        wait_until(lambda: waiting(world) == ["never-announced"], "it to be sent")
