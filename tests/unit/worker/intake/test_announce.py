from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.config.settings import Settings, read_settings
from worker.intake.announce import announce
from worker.keys import ScanId
from worker.ledger.base import Ledger, LedgerUnavailable
from worker.ledger.opening import open_ledger
from worker.queue import message
from worker.scans.status import read_status
from worker.storage.base import Storage, StorageUnavailable
from worker.storage.opening import open_storages

SCAN = ScanId("scan")


@pytest.fixture
def settings(here) -> Settings:
    return read_settings(queue_lease_s=100)


@pytest.fixture
def results(settings) -> Storage:
    return open_storages(settings)[1]


@pytest.fixture
def ledger(settings) -> Ledger:
    return open_ledger(settings)


def events(here: Path) -> list[str]:
    file = here / ".run" / "events.jsonl"
    return [json.loads(line)["type"] for line in file.read_text().splitlines()] if file.exists() else []


def test_ledger_status_and_event_are_written_before_the_message_is_sent(settings, results, ledger, here):
    seen: list[Any] = []

    def send(asked: dict[str, object]) -> None:
        seen.append((asked, read_status(results, SCAN), ledger.overdue(float("inf")), events(here)))

    announce(SCAN, settings, results, send)
    ((asked, status, open_scans, told),) = seen
    assert asked == {"scan_id": "scan"}
    assert (status.status, status.attempt, status.force) == ("queued", 0, False)
    assert (status.lease_until - status.queued_at).total_seconds() == 100
    assert open_scans == ["scan"]
    assert ledger.overdue(status.lease_until.timestamp() - 5) == []
    assert told == ["org.pose-worker.scan.received"]


def test_an_event_that_cannot_be_sent_is_left_to_the_process_that_starts(settings, results, here):
    (here / ".run" / "events.jsonl").mkdir(parents=True)
    sent: list[dict[str, object]] = []
    announce(SCAN, settings, results, sent.append)
    status = read_status(results, SCAN)
    assert status is not None
    assert (status.status, status.queued_at) == ("queued", None)
    assert sent == [{"scan_id": "scan"}]


def test_force_ends_the_quarantine_and_stands_in_message_and_status(settings, results, ledger):
    ledger.quarantine("scan", "poison: …")
    sent: list[dict[str, object]] = []
    announce(SCAN, settings, results, sent.append)
    assert ledger.quarantine_reason("scan") == "poison: …"
    announce(SCAN, settings, results, sent.append, force=True)
    assert ledger.quarantine_reason("scan") is None
    assert sent == [{"scan_id": "scan"}, {"scan_id": "scan", "force": True}]
    status = read_status(results, SCAN)
    assert status is not None
    assert status.force


def test_a_message_says_no_more_than_it_must():
    assert message(ScanId("a")) == {"scan_id": "a"}
    assert message(ScanId("a"), resent=True) == {"scan_id": "a", "resent": True}


def test_without_the_ledger_nothing_is_written_or_sent(settings, results, monkeypatch):
    class Away:
        def now(self) -> float:
            return 0.0

        def open_scans(self, *_: object, **__: object) -> None:
            raise LedgerUnavailable("away")

    monkeypatch.setattr("worker.intake.announce.open_ledger", lambda _: Away())
    sent: list[dict[str, object]] = []
    with pytest.raises(LedgerUnavailable):
        announce(SCAN, settings, results, sent.append)
    assert (sent, read_status(results, SCAN)) == ([], None)


def test_a_scan_that_could_not_be_sent_is_not_forgotten(settings, results, ledger, monkeypatch):
    def away(*_: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(results, "write", away)
    sent: list[dict[str, object]] = []
    with pytest.raises(StorageUnavailable):
        announce(SCAN, settings, results, sent.append)
    assert sent == []
    assert ledger.overdue(float("inf")) == ["scan"]
