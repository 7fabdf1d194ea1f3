"""A scan's end is told in full, and by whoever tells it as the same event."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pose import ScanResult
from pose.lifting.posture import Posture
from pose.results import ModelInfo, Verdict
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.scans.events import Events, EventType
from worker.scans.final_event import emit_final_event
from worker.scans.status import ScanStatus, Status, now
from worker.storage.base import Storage
from worker.storage.opening import open_storages

SCAN = ScanId("scan")


class Told(Events):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[EventType, str, dict[str, Any]]] = []

    def emit(self, type: EventType, scan_id: str, *, idempotency_key: str | None = None, **data: Any) -> bool:
        self.events.append((type, scan_id, {"key": idempotency_key, **data}))
        return True

    def _send(self, event: str) -> None: ...

    def forget(self, scan_ids: frozenset[ScanId]) -> Counter[str]:
        return Counter()


@pytest.fixture
def results(here) -> Storage:
    return open_storages(read_settings())[1]


def ended(status: Status, reason: str | None = None) -> ScanStatus:
    time = now()
    return ScanStatus(
        scan_id=SCAN, status=status, reason=reason, attempt=3, updated_at=time, finished_at=time
    )


def test_the_event_of_a_failure_has_its_reason_and_attempt(results):
    told, status = Told(), ended(Status.FAILED, "why")
    assert emit_final_event(told, status, results)
    about = {"key": str(status.finished_at), "reason": "why", "attempt": 3}
    assert told.events == [(EventType.FAILED, "scan", about)]


def test_the_event_of_a_completion_is_the_same_with_a_stored_result(results):
    result = ScanResult(
        scan_id="scan", fingerprint="f", model=ModelInfo(name="m", version="1"), posture=Posture.LYING,
        posture_confidence=0, body_length_m=0.9, frames_used=0, frames=(), timings_ms={},
        verdict=Verdict.USABLE,
    )  # fmt: skip
    told, status = Told(), ended(Status.COMPLETED)
    assert emit_final_event(told, status, results, result)
    results.write("scan/result.json", result.model_dump_json().encode(), "application/json")
    read_again = ScanStatus.model_validate_json(status.model_dump_json())
    assert emit_final_event(told, read_again, results)
    about = {
        "verdict": "usable",
        "posture": "lying",
        "body_length_m": 0.9,
        "frames": 0,
        "frames_used": 0,
        "attempt": 3,
    }
    event = (EventType.COMPLETED, "scan", {"key": str(status.finished_at), **about})
    assert told.events == [event, event]


def test_a_deleted_result_has_no_event(results):
    told = Told()
    assert emit_final_event(told, ended(Status.COMPLETED), results)
    assert told.events == []
