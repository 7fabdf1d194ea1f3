"""Reasons why scans in the queue may not be analysed soon."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from worker.cli.prospects import warnings_about
from worker.keys import ScanId
from worker.storage.base import StorageUnavailable
from worker.storage.memory import MemoryStorage

SCAN = ScanId("scan")
OTHERS = {"celery@a": [{"name": "others"}]}
OURS = {"celery@b": [{"name": "celery"}]}
BUSY = {"celery@c": {"error": "no consumer"}}


def app_with(*workers: dict[str, Any]) -> Any:
    def broadcast(command: str, *, limit: int | None = None, **_: Any) -> list[dict[str, Any]]:
        assert command == "active_queues"
        return list(workers[:limit])

    return SimpleNamespace(control=SimpleNamespace(broadcast=broadcast))


@pytest.fixture
def scans() -> MemoryStorage:
    storage = MemoryStorage()
    storage.write("scan/scan.json", b"{}", "application/json")
    return storage


@pytest.mark.parametrize("workers", [[OURS], [OTHERS, OURS], [BUSY, OTHERS, OURS]])
def test_a_scan_with_files_and_a_worker_needs_no_warning(scans, workers):
    assert list(warnings_about(app_with(*workers), "celery", scans, [SCAN])) == []


@pytest.mark.parametrize("workers", [[], [OTHERS], [BUSY]])
def test_a_queue_that_no_worker_takes_from_is_told(scans, workers):
    (text,) = warnings_about(app_with(*workers), "celery", scans, [SCAN])
    assert "no worker answers that takes scans from the queue celery" in text
    assert "celery -A worker worker" in text


def test_a_broker_that_went_away_is_no_error(scans):
    def broadcast(*_: Any, **__: Any) -> None:
        raise OperationalError

    app = SimpleNamespace(control=SimpleNamespace(broadcast=broadcast))
    assert len(list(warnings_about(app, "celery", scans, [SCAN]))) == 1


def test_many_scans_without_files_are_counted(scans):
    unknown = [ScanId(f"unknown-{number}") for number in range(25)]
    texts = list(warnings_about(app_with(OURS), "celery", scans, [*unknown, SCAN]))
    assert texts[0] == "unknown-0: SCANS_URL has no files of this scan. Check the id, or upload them"
    assert texts[-1] == "SCANS_URL has no files of 15 more of these scans"
    assert len(texts) == 11


def test_scans_that_cannot_be_looked_for_are_told(scans, monkeypatch):
    def objects(*_: Any) -> None:
        raise StorageUnavailable("S3 (SCANS_URL) is away")

    monkeypatch.setattr(scans, "objects", objects)
    (text,) = warnings_about(app_with(OURS), "celery", scans, [SCAN])
    assert text == "the files of the scans cannot be looked for: S3 (SCANS_URL) is away"
