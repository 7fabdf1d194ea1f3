"""The event of a scan's end. However often it is told, it is the same event, by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.scans.events import Events, EventType
from worker.scans.status import ScanStatus, Status
from worker.scans.transfer import read_result
from worker.storage.base import Storage

if TYPE_CHECKING:
    from pose import ScanResult


def emit_final_event(
    events: Events, status: ScanStatus, results: Storage, result: ScanResult | None = None
) -> bool:
    """Tell that a scan is completed or has failed. Gives whether it is told, or there is nothing to tell.

    Args:
        events: where it is told.
        status: of the scan, final.
        results: where its result is, if it is not given.
        result: of a scan that is completed.

    Raises:
        StorageUnavailable: the result cannot be read.
    """
    scan_id, end = status.scan_id, f"{status.finished_at}"
    if status.status is Status.FAILED:
        about = {"reason": status.reason, "attempt": status.attempt}
        return events.emit(EventType.FAILED, scan_id, once=end, **about)
    result = result or read_result(results, scan_id)
    if result is None:
        return True  # somebody took it away
    for frame in result.frames:
        if frame.picture is None and frame.status.value != "invalid":
            events.emit(EventType.WITHHELD, scan_id, once=f"{end}/{frame.order}", frame=frame.order)
    return events.emit(
        EventType.COMPLETED,
        scan_id,
        once=end,
        posture=result.posture.value,
        body_length_m=result.body_length_m,
        frames=len(result.frames),
        frames_used=result.frames_used,
        attempt=status.attempt,
    )
