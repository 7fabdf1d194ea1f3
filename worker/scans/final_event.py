"""The event that says how a scan ended. However often it is sent, it is the same event with the same id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.scans.events import Events, EventType, event_id
from worker.scans.status import ScanStatus, Status
from worker.scans.transfer import read_result
from worker.storage.base import Storage
from worker.tracing import span

if TYPE_CHECKING:
    from pose import ScanResult


def emit_final_event(
    events: Events, status: ScanStatus, results: Storage, result: ScanResult | None = None
) -> bool:
    """Send the event that a scan is completed, has failed or was cancelled.

    Args:
        events: Where the event goes.
        status: The final status of the scan.
        results: Storage of the result, if `result` is not given.
        result: Of a completed scan.

    Returns:
        Whether the event was sent, or there is nothing to send because the result was deleted.

    Raises:
        StorageUnavailable: The result cannot be read.
    """
    with span("final_event", status=status.status.value):
        return _emit(events, status, results, result)


def _emit(events: Events, status: ScanStatus, results: Storage, result: ScanResult | None) -> bool:
    scan_id, end = status.scan_id, f"{status.finished_at}"
    # Only a scan that ended before has it.
    earlier = {} if status.supersedes is None else {"supersedes": status.supersedes}
    if status.status is Status.FAILED:
        data = {"reason": status.reason, "attempt": status.attempt, **earlier}
        return events.emit(EventType.FAILED, scan_id, idempotency_key=end, **data)
    if status.status is Status.CANCELLED:
        return events.emit(
            EventType.CANCELLED, scan_id, idempotency_key=end, attempt=status.attempt, **earlier
        )
    result = result or read_result(results, scan_id)
    if result is None:
        return True
    for frame in result.frames:
        if frame.picture is None and frame.status.value != "invalid":
            key = f"{end}/{frame.order}"
            events.emit(EventType.WITHHELD, scan_id, idempotency_key=key, frame=frame.order)
    return events.emit(
        EventType.COMPLETED,
        scan_id,
        idempotency_key=end,
        verdict=None if result.verdict is None else result.verdict.value,
        posture=result.posture.value,
        body_length_m=result.body_length_m,
        frames=len(result.frames),
        frames_used=result.frames_used,
        attempt=status.attempt,
        **earlier,
    )


def final_event_id(status: ScanStatus) -> str:
    """Return the id of the event that says how a scan with this final status ended."""
    types = {Status.FAILED: EventType.FAILED, Status.CANCELLED: EventType.CANCELLED}
    return event_id(types.get(status.status, EventType.COMPLETED), status.scan_id, f"{status.finished_at}")
