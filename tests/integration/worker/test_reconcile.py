from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from worker.broker.waiting import Waiting
from worker.config.settings import Settings, read_settings
from worker.keys import ScanId
from worker.ledger.base import RECONCILER, Ledger
from worker.ledger.opening import open_ledger
from worker.scans.completeness import digest_of
from worker.scans.events import EventType
from worker.scans.reconcile import REASON, reconcile
from worker.scans.status import ScanStatus, Status, read_status, write_status
from worker.scans.transfer import limits_of, list_scan
from worker.storage.base import Storage, StorageUnavailable
from worker.storage.opening import open_storages

LEASE_S = 100.0


class World:
    """The storages, the ledger, and a clock that is moved by hand."""

    def __init__(self, settings: Settings, ledger: Ledger, scans: Storage, results: Storage) -> None:
        self.settings, self.ledger, self.scans, self.results = settings, ledger, scans, results
        self.now = time.time()
        self.sent: list[dict[str, object]] = []

    def reconcile(self, **options: Any) -> list[ScanId]:
        return reconcile(
            self.settings, self.scans, self.results, self.sent.append, clock=lambda: self.now, **options
        )

    def put(self, scan_id: str, status: Status, **fields: object) -> None:
        known = {"scan_id": scan_id, "status": status, "updated_at": self.time(), **fields}
        write_status(self.results, ScanStatus.model_validate(known))

    def put_files(self, scan_id: str, folder: Path, age_s: float) -> None:
        self.scans.write(f"{scan_id}/rgb/1.jpg", b"1", "image/jpeg")
        changed = self.now - age_s
        os.utime(folder / "scans" / scan_id / "rgb" / "1.jpg", (changed, changed))

    def time(self, seconds: float = 0) -> datetime:
        return datetime.fromtimestamp(self.now, UTC) + timedelta(seconds=seconds)

    def status(self, scan_id: str) -> ScanStatus:
        found = read_status(self.results, ScanId(scan_id))
        assert found is not None
        return found


@pytest.fixture(params=["file", "redis"])
def world(request, here) -> World:
    url = None
    if request.param == "redis":
        (url,) = request.getfixturevalue("redis_server").emptied(8)
    settings = read_settings(queue_lease_s=LEASE_S, redis_url=url)
    (here / "scans").mkdir()
    return World(settings, open_ledger(settings), *open_storages(settings))


@pytest.mark.parametrize("ahead_s", [86400, 30e9])
def test_a_lease_of_a_wrong_clock_keeps_no_lost_scan_from_being_sent(world, here, ahead_s):
    world.put_files("scan", here, 2 * LEASE_S)
    world.put("scan", Status.QUEUED, lease_until=world.time(ahead_s))
    assert world.reconcile(sweep=True) == ["scan"]
    assert abs(world.status("scan").lease_until - world.time(LEASE_S)) < timedelta(seconds=60)
    assert world.reconcile(sweep=True) == []


def test_an_announcer_a_day_ahead_keeps_no_lost_scan_from_being_sent(world, capfd):
    for scan_id, ahead_s in (("lost", 86_400.0), ("waits", 90_000.0), ("in-time", LEASE_S)):
        world.ledger.set_deadline(scan_id, world.now + ahead_s)
    waiting = Waiting(queued={"waits"})
    assert world.reconcile(waiting=lambda: waiting) == ["lost"]
    assert "deadlines_too_far" in capfd.readouterr().out
    assert max(world.ledger.deadlines(float("inf"), 10).values()) <= world.now + LEASE_S
    assert world.reconcile(waiting=lambda: waiting) == []
    assert "deadlines_too_far" not in capfd.readouterr().out


def test_files_of_a_wrong_clock_keep_no_scan_from_being_found(world, here):
    world.put_files("ahead", here, -30e6)
    assert world.reconcile(sweep=True) == ["ahead"]


def test_times_are_of_the_clock_of_the_ledger_whatever_this_machine_says(world, monkeypatch):
    monkeypatch.setattr(type(world.ledger), "now", lambda _: world.now + 1e6)
    world.ledger.set_deadline("scan", world.now + 1e6 - 1)
    assert reconcile(world.settings, world.scans, world.results, world.sent.append) == ["scan"]
    assert world.status("scan").updated_at == world.time(1e6)
    assert world.ledger.deadlines(float("inf"), 10) == {"scan": world.now + 1e6 + LEASE_S}


def test_an_overdue_scan_is_sent_again_and_its_status_says_so(world):
    world.put("scan", Status.PROGRESS, stage="analyse", frames_done=3, attempt=2, deaths=1)
    world.ledger.set_deadline("scan", world.now - 1)
    assert world.reconcile() == ["scan"]
    assert world.sent == [{"scan_id": "scan", "resent": True}]
    status = world.status("scan")
    assert (status.status, status.reason) == ("queued", REASON)
    # What is known of a process that may have died stays.
    assert (status.stage, status.frames_done, status.attempt, status.deaths) == ("analyse", 3, 2, 1)
    assert status.lease_until is not None
    assert abs(status.lease_until - world.time(LEASE_S)) < timedelta(seconds=60)


def test_an_overdue_scan_is_sent_once_before_its_next_deadline(world):
    world.ledger.set_deadline("scan", world.now - 1)
    assert world.reconcile() == ["scan"]
    world.now += LEASE_S - 1
    assert world.reconcile() == []
    world.now += 2
    assert world.reconcile() == ["scan"]
    assert len(world.sent) == 2


def test_an_overdue_scan_without_a_status_is_sent_too(world):
    world.ledger.set_deadline("scan", world.now - 1)
    assert world.reconcile() == ["scan"]
    assert world.status("scan").status is Status.QUEUED


def test_force_is_kept_when_a_scan_is_sent_again(world):
    world.put("scan", Status.QUEUED, force=True)
    world.ledger.set_deadline("scan", world.now - 1)
    world.reconcile()
    assert world.sent == [{"scan_id": "scan", "force": True, "resent": True}]


@pytest.mark.parametrize("final", [Status.COMPLETED, Status.FAILED])
def test_a_final_scan_is_closed(world, final):
    world.put("scan", final)
    world.ledger.set_deadline("scan", world.now - 1)
    assert world.reconcile() == []
    assert world.ledger.overdue(float("inf")) == []
    assert world.status("scan").status is final


def test_a_final_event_is_tried_until_it_is_sent(world, monkeypatch):
    world.put("scan", Status.FAILED, reason="why", finished_at=world.time())
    world.ledger.set_deadline("scan", world.now - 1)
    told: list[Any] = []

    class Away:
        def emit(self, type: EventType, scan_id: str, **data: Any) -> bool:
            told.append((type, scan_id, data["reason"], data["idempotency_key"]))
            return len(told) == 2

    monkeypatch.setattr("worker.scans.reconcile.open_events", lambda _: Away())
    for _ in range(3):
        assert world.reconcile() == []
    assert told == [(EventType.FAILED, "scan", "why", str(world.time()))] * 2
    assert world.ledger.overdue(float("inf")) == []


def test_an_unannounced_scan_gets_a_received_event(world, monkeypatch):
    told: list[Any] = []

    class Events:
        def emit(self, *event: Any) -> bool:
            told.append(event)
            return True

    monkeypatch.setattr("worker.scans.reconcile.open_events", lambda _: Events())
    world.ledger.set_deadline("scan", world.now - 1)
    for _ in range(2):
        assert world.reconcile() == ["scan"]
        world.now += LEASE_S + 1
    assert told == [(EventType.RECEIVED, "scan")]
    assert world.status("scan").queued_at is not None


def test_a_scan_that_a_worker_has_is_left_to_it(world):
    world.put("scan", Status.PROGRESS)
    world.ledger.set_deadline("scan", world.now - 1)
    with world.ledger.lock("scan"):
        assert world.reconcile(sweep=True) == []
    assert world.reconcile() == ["scan"]


def test_while_another_reconciles_nothing_is_done(world):
    world.ledger.set_deadline("scan", world.now - 1)
    with world.ledger.lock(RECONCILER):
        assert world.reconcile() == []
    assert world.reconcile() == ["scan"]


def test_a_scan_whose_message_waits_is_not_overdue(world):
    for scan_id in ("waits", "waits-not-due", "lost"):
        world.ledger.set_deadline(scan_id, world.now - 1)
    world.ledger.set_deadline("waits-not-due", world.now + 1)
    waiting = Waiting(queued={"waits", "waits-not-due"})
    assert world.reconcile(waiting=lambda: waiting) == ["lost"]
    assert world.ledger.deadlines(world.now + LEASE_S - 1, 10) == {}
    world.now += LEASE_S + 1
    waiting.queued.remove("waits")
    assert sorted(world.reconcile(waiting=lambda: waiting)) == ["lost", "waits"]


def test_a_lost_scan_is_found_behind_more_waiting_ones_than_one_run_takes(world, monkeypatch):
    monkeypatch.setattr("worker.scans.reconcile.BATCH_SIZE", 3)
    waits = [f"waits-{number}" for number in range(7)]
    for number, scan_id in enumerate(waits):
        world.ledger.set_deadline(scan_id, world.now - 20 + number)
    world.ledger.set_deadline("lost", world.now - 1)
    assert world.reconcile(waiting=lambda: Waiting(queued=set(waits))) == ["lost"]
    assert world.ledger.overdue(world.now + LEASE_S - 1) == []


def test_the_queue_is_not_read_while_nothing_is_overdue(world):
    world.ledger.set_deadline("scan", world.now + 1)
    assert world.reconcile(waiting=lambda: pytest.fail("it was read")) == []


@pytest.mark.parametrize(("status", "sent"), [(None, []), ("queued", []), ("progress", ["scan"])])
def test_a_scan_that_a_worker_has_not_begun_is_left_to_it(world, status, sent):
    if status is not None:
        world.put("scan", Status(status))
    world.ledger.set_deadline("scan", world.now - 1)
    assert world.reconcile(waiting=lambda: Waiting(taken={"scan"})) == sent
    assert world.reconcile() == []
    world.now += LEASE_S + 1
    assert world.reconcile() == ["scan"]


def test_without_the_sweep_storage_is_not_looked_through(world, here):
    world.put_files("scan", here, LEASE_S + 1)
    assert world.reconcile() == []


def test_the_sweep_finds_what_the_ledger_does_not_know(world, here):
    for scan_id in ("done", "failed", "working", "stuck", "old-version", "never-sent"):
        world.put_files(scan_id, here, LEASE_S + 1)
    world.put_files("just-now", here, LEASE_S - 1)
    (here / "scans" / "empty").mkdir()
    (here / "scans" / "not a scan").mkdir()
    world.put("done", Status.COMPLETED)
    world.put("failed", Status.FAILED)
    world.put("working", Status.PROGRESS, lease_until=world.time(1))
    world.put("stuck", Status.PROGRESS, lease_until=world.time(-1))
    world.put("old-version", Status.QUEUED, updated_at=world.time(-LEASE_S - 1))
    assert sorted(world.reconcile(sweep=True)) == ["never-sent", "old-version", "stuck"]
    # They are known now, and each is sent once.
    assert world.reconcile(sweep=True) == []


def test_a_scan_that_is_overdue_and_found_is_sent_once(world, here):
    world.put_files("scan", here, LEASE_S + 1)
    world.ledger.set_deadline("scan", world.now - 1)
    assert world.reconcile(sweep=True) == ["scan"]
    assert len(world.sent) == 1


def test_after_a_restart_that_lost_the_queue_all_open_ones_are_sent(world):
    world.put("queued", Status.QUEUED)
    world.put("at-work", Status.PROGRESS)
    for scan_id in ("queued", "at-work"):
        world.ledger.set_deadline(scan_id, world.now + 50)
    assert world.reconcile() == []
    with world.ledger.lock("at-work"):
        assert world.reconcile(restart=True) == ["queued"]


def test_a_broker_that_goes_away_leaves_the_rest_for_the_next_time(world):
    for scan_id in ("a", "b", "c"):
        world.ledger.set_deadline(scan_id, world.now - 1)
    sent = world.sent

    class BrokerAway(Exception): ...

    one_at_a_time = threading.Lock()

    def send(message: dict[str, object]) -> None:
        with one_at_a_time:
            if len(sent) == 1:
                raise BrokerAway
            sent.append(message)

    with pytest.raises(BrokerAway):
        reconcile(world.settings, world.scans, world.results, send, clock=lambda: world.now)
    assert len(sent) == 1
    assert len(world.reconcile()) == 2
    world.now += LEASE_S + 1
    assert len(world.reconcile()) == 3


class Unwritable:
    """A storage of results in which the places of some scans cannot be written."""

    def __init__(self, storage: Storage, *scan_ids: str) -> None:
        self._storage, self._scan_ids = storage, scan_ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def write(self, key: str, data: bytes, content_type: str) -> None:
        if key.partition("/")[0] in self._scan_ids:
            raise StorageUnavailable("results: Permission denied")
        self._storage.write(key, data, content_type)


@pytest.mark.parametrize("sweep", [False, True])
def test_one_scan_whose_status_cannot_be_written_does_not_hold_up_the_others(world, here, sweep):
    for number, scan_id in enumerate(("a", "b", "c")):
        if sweep:
            world.put_files(scan_id, here, age_s=LEASE_S + 1)
        else:
            world.ledger.set_deadline(scan_id, world.now - 10 + number)
    world.results = Unwritable(world.results, "a")
    assert world.reconcile(sweep=sweep) == ["b", "c"]


def test_a_storage_that_is_away_is_not_asked_for_each_of_them(world):
    scan_ids = [f"scan-{number}" for number in range(9)]
    for scan_id in scan_ids:
        world.ledger.set_deadline(scan_id, world.now - 1)
    world.results = Unwritable(world.results, *scan_ids)
    with pytest.raises(StorageUnavailable):
        world.reconcile()
    assert world.sent == []


@pytest.mark.parametrize("place", ["results", "out/results"])
def test_results_that_lie_beside_the_scans_are_no_scan(here, place):
    settings = read_settings(queue_lease_s=LEASE_S, results_url=(here / "scans" / place).as_uri())
    (here / "scans").mkdir()
    world = World(settings, open_ledger(settings), *open_storages(settings))
    world.put("done", Status.COMPLETED)
    world.put_files("new", here, age_s=LEASE_S + 1)
    world.now += LEASE_S + 1
    assert world.reconcile(sweep=True) == ["new"]


@pytest.mark.parametrize(
    ("scans", "results", "found"),
    [
        ("s3://bucket", "s3://bucket/results", ["new"]),
        ("s3://bucket/a", "s3://bucket/a/results/b", ["new"]),
        ("s3://bucket/a", "s3://bucket/b/results", ["new", "results"]),
        ("s3://bucket", "s3://other/results", ["new", "results"]),
    ],
)
def test_results_in_the_bucket_of_the_scans_are_no_scan(world, here, scans, results, found):
    world.settings = world.settings.model_copy(update={"scans_url": scans, "results_url": results})
    for scan_id in ("new", "results"):
        world.put_files(scan_id, here, age_s=LEASE_S + 1)
    assert world.reconcile(sweep=True) == found


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED])
def test_a_finished_scan_whose_files_changed_is_sent_once(world, here, end):
    world.put_files("scan", here, age_s=1000)
    listed = list_scan(world.scans, ScanId("scan"), limits_of(world.settings))
    world.put("scan", end, files=digest_of(listed), finished_at=world.time())
    assert world.reconcile(sweep=True) == []
    world.scans.write("scan/rgb/2.jpg", b"2", "image/jpeg")
    assert world.reconcile(sweep=True) == []  # more may come
    world.settings = world.settings.model_copy(update={"arrivals_quiet_s": 0.0})
    assert world.reconcile(sweep=True) == ["scan"]
    assert world.sent == [{"scan_id": "scan"}]
    assert world.reconcile(sweep=True) == []
    assert world.reconcile() == []
    assert world.status("scan").status is end
    listed = list_scan(world.scans, ScanId("scan"), limits_of(world.settings))
    world.put("scan", end, files=digest_of(listed), finished_at=world.time())
    world.ledger.close("scan")
    assert world.reconcile(sweep=True) == []


def test_a_scan_that_failed_without_any_file_is_sent_when_its_files_have_come(world, here):
    world.put("scan", Status.FAILED, files=digest_of([]), finished_at=world.time())
    assert world.reconcile(sweep=True) == []
    world.settings = world.settings.model_copy(update={"arrivals_quiet_s": 0.0})
    world.put_files("scan", here, age_s=1000)
    assert world.reconcile(sweep=True) == ["scan"]


def test_a_finished_scan_whose_files_were_deleted_is_left_alone(world, here):
    world.put("scan", Status.COMPLETED, files="some", finished_at=world.time())
    (here / "scans" / "scan").mkdir()
    assert world.reconcile(sweep=True) == []
