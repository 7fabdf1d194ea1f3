from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.config.settings import Settings, read_settings
from worker.intake.announce import announce
from worker.keys import ScanId
from worker.ledger.base import Ledger
from worker.ledger.opening import open_ledger
from worker.scans.attempt import Attempt
from worker.scans.cancel import Cancelling, ScanCancelled, cancel
from worker.scans.job import Job
from worker.scans.reconcile import reconcile
from worker.scans.retry import RetryLater
from worker.scans.self_check import OwnProcess
from worker.scans.status import Stage, Status, read_status
from worker.storage.base import Storage, StorageUnavailable
from worker.storage.opening import open_storages

SCAN = ScanId("scan")


@pytest.fixture
def settings(here) -> Settings:
    (here / "scans").mkdir()
    return read_settings()


@pytest.fixture
def results(settings) -> Storage:
    return open_storages(settings)[1]


@pytest.fixture
def ledger(settings) -> Ledger:
    return open_ledger(settings)


def attempt(settings: Settings, work: Any, **job: Any) -> Any:
    own = OwnProcess("p1", replaceable=True, check=lambda: None)
    return Attempt(Job(SCAN, "task-1", **job), settings, work, lambda *_: None, own).run()


def not_called(*_: Any) -> Any:
    pytest.fail("it was analysed")


def status_of(results: Storage) -> Status:
    found = read_status(results, SCAN)
    assert found is not None
    return found.status


def told(here: Path) -> list[str]:
    lines = (here / ".run" / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["type"].rpartition(".")[2] for line in lines]


@pytest.mark.parametrize("job", [{}, {"force": True}, {"resent": True}])
def test_a_waiting_scan_is_cancelled_whatever_its_message_says(settings, results, here, ledger, job):
    announce(SCAN, settings, results, lambda _: None)
    for _ in range(2):
        assert cancel(SCAN, settings, results) is Cancelling.CANCELLED
    with pytest.raises(ScanCancelled, match="the scan was cancelled"):
        attempt(settings, not_called, **job)
    assert status_of(results) is Status.CANCELLED
    assert told(here) == ["received", "cancelled"]
    assert not ledger.is_open(SCAN) and not ledger.is_cancel_asked(SCAN)


def test_what_a_running_scan_had_stored_is_deleted(settings, results, here):
    def work(guarded: Storage, force: bool, report: Any, note: Any) -> Any:
        report(Stage.ANALYSE, 0, 2)
        guarded.write("scan/frames/1/pose.json", b"{}", "application/json")
        assert cancel(SCAN, settings, results) is Cancelling.ASKED
        running._next_cancel_check = 0.0  # a second later
        report(Stage.PUBLISH, 2, 2)
        pytest.fail("it went on")

    own = OwnProcess("p1", replaceable=True, check=lambda: None)
    running = Attempt(Job(SCAN), settings, work, lambda *_: None, own)
    with pytest.raises(ScanCancelled):
        running.run()
    assert status_of(results) is Status.CANCELLED
    assert [each.key for each in results.objects("scan", 10)] == ["scan/status.json"]
    assert told(here)[-1] == "cancelled"


def test_a_scan_whose_worker_died_is_cancelled_by_reconcile(settings, results, ledger):
    announce(SCAN, settings, results, lambda _: None)
    lease = ledger.lock(SCAN)
    assert lease is not None
    assert cancel(SCAN, settings, results) is Cancelling.ASKED
    lease.release()
    ledger.set_deadline(SCAN, 0)
    scans, _ = open_storages(settings)
    assert reconcile(settings, scans, results, not_called, sweep=True) == []
    assert status_of(results) is Status.CANCELLED


def test_a_finished_scan_stays_as_it_is(settings, results):
    def work(guarded: Storage, *_: Any) -> Any:
        raise StorageUnavailable("away")

    with pytest.raises(RetryLater):
        attempt(settings, work)
    found = read_status(results, SCAN)
    assert found is not None
    done = found.model_copy(update={"status": Status.COMPLETED})
    results.write("scan/status.json", done.model_dump_json().encode(), "application/json")
    assert cancel(SCAN, settings, results) is Cancelling.FINISHED
    assert status_of(results) is Status.COMPLETED


def test_an_announcement_takes_the_wish_back(settings, results, ledger):
    cancel(SCAN, settings, results)
    ledger.ask_cancel(SCAN)
    announce(SCAN, settings, results, lambda _: None)
    assert status_of(results) is Status.QUEUED
    assert not ledger.is_cancel_asked(SCAN)


def test_a_cancelled_scan_that_could_not_be_written_is_cancelled_by_the_next_attempt(
    settings, results, ledger, monkeypatch
):
    ledger.ask_cancel(SCAN)
    with monkeypatch.context() as patch:

        def full(*_: Any) -> None:
            raise StorageUnavailable("the storage of results: it is full")

        patch.setattr("worker.scans.cancel.write_status", full)
        with pytest.raises(RetryLater):
            attempt(settings, not_called)
    with pytest.raises(ScanCancelled):
        attempt(settings, not_called)
    assert status_of(results) is Status.CANCELLED
