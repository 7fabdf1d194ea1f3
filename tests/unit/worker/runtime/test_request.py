"""What becomes of a message whose process was killed or ended itself; with the ledger in a file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state
from celery.worker.request import Request

from worker import counters
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.ledger.base import Ledger
from worker.ledger.opening import open_ledger
from worker.runtime import request
from worker.runtime.request import ScanRequest
from worker.scans.failures import TOO_LONG, ProcessEnds, ScanFailed

SCAN = ScanId("scan")


class Message(ScanRequest):
    """A request without Celery's worker around it; `ends` is what became of its message."""

    def __init__(self, pid: int = 1) -> None:
        self.worker_pid = pid
        self._args: list[Any] = []
        self._kwargs = {"scan_id": "scan"}
        self.ends: list[str] = []

    def reject(self, requeue: bool = False) -> None:
        self.ends.append("requeued" if requeue else "rejected")


@pytest.fixture
def ledger(here, monkeypatch) -> Ledger:
    settings = read_settings()
    monkeypatch.setattr(request, "load_settings", lambda: settings)
    monkeypatch.setattr(state, "task_ready", lambda _: None)
    monkeypatch.setattr(Request, "on_failure", lambda self, *_: self.ends.append("as Celery does"))
    return open_ledger(settings)


def failed(message: Message, error: BaseException) -> list[str]:
    info: Any = SimpleNamespace(exception=error)
    message.on_failure(info)
    return message.ends


@pytest.mark.parametrize("error", [ProcessEnds("it does not work"), SystemExit(), MemoryError()])
def test_the_message_of_a_process_that_ends_itself_goes_back(ledger, error):
    assert failed(Message(), error) == ["requeued"]


def test_a_failed_scan_is_acknowledged(ledger):
    assert failed(Message(), ScanFailed("no frames")) == ["as Celery does"]


def test_over_the_hard_limit_a_scan_is_in_quarantine_after_two_processes(ledger):
    for _ in range(2):
        assert failed(Message(pid=1), TimeLimitExceeded(12)) == ["requeued"]
        assert ledger.quarantine_reason(SCAN) is None
    assert failed(Message(pid=2), TimeLimitExceeded(12)) == ["requeued"]
    assert ledger.quarantine_reason(SCAN) == TOO_LONG


def test_an_invalid_message_that_took_too_long_is_no_scan(ledger):
    message = Message()
    message._kwargs = {"scan_id": "../etc"}
    assert failed(message, TimeLimitExceeded(12)) == ["requeued"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeLimitExceeded(12), "time_limit"),
        (WorkerLostError("signal 9"), "killed"),
        (ProcessEnds("it does not work"), "ended"),
        (MemoryError(), "memory"),
        (ScanFailed("no frames"), None),
    ],
)
def test_a_crash_is_counted_unless_the_worker_ends(ledger, monkeypatch, error, reason):
    counts: list[Any] = []
    monkeypatch.setattr(counters._Kept, "counts", counts)
    failed(Message(), error)
    assert counts == ([("pose_crashes", [reason], 1.0)] if reason else [])
    monkeypatch.setattr(state, "should_stop", 0)
    failed(Message(), error)
    assert len(counts) == (reason is not None)
