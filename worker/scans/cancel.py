"""Cancel a scan that waits, is worked on, or is to be tried again. It ends as `cancelled`.

The wish is kept in the ledger until it is fulfilled: at once if no worker has the scan, else by the worker at
its next step, or by whoever takes the scan up after that worker died. A message of a cancelled scan finds its
status and does nothing. Announcing the scan again takes the wish back.
"""

from __future__ import annotations

from enum import StrEnum

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.keys import ScanId
from worker.ledger.base import Ledger
from worker.ledger.opening import open_ledger
from worker.scans.events import Events, open_events
from worker.scans.failures import ScanFailed
from worker.scans.final_event import emit_final_event
from worker.scans.status import ScanStatus, Status, read_status, time_of, write_status
from worker.scans.transfer import remove_results
from worker.storage.base import Storage

log = get_logger(__name__)


class ScanCancelled(ScanFailed):
    """Raised when a scan is cancelled, or was cancelled before its message came."""

    def __init__(self) -> None:
        super().__init__("the scan was cancelled")

    def __reduce__(self) -> tuple[type[ScanCancelled], tuple[()]]:
        return type(self), ()


class Cancelling(StrEnum):
    """What `cancel` found."""

    CANCELLED = "cancelled"
    ASKED = "asked"  # a worker has the scan, and ends it at its next step
    FINISHED = "finished"  # it was completed or has failed before


def cancel(scan_id: ScanId, settings: Settings, results: Storage) -> Cancelling:
    """Cancel a scan, or ask the worker that has it to do so.

    Raises:
        LedgerUnavailable: The ledger is away.
        StorageUnavailable: The storage of results cannot be used. The scan is cancelled later.
    """
    ledger = open_ledger(settings)
    ledger.ask_cancel(scan_id)
    lease = ledger.lock(scan_id)
    if lease is None:
        return Cancelling.ASKED
    with lease:
        status = write_cancelled(scan_id, ledger, open_events(settings), results)
    return Cancelling.CANCELLED if status.status is Status.CANCELLED else Cancelling.FINISHED


def write_cancelled(scan_id: ScanId, ledger: Ledger, events: Events, results: Storage) -> ScanStatus:
    """Write that a scan is cancelled, unless it is final. The caller holds the lock of the scan.

    Returns:
        The final status of the scan.

    Raises:
        LedgerUnavailable: The ledger is away.
        StorageUnavailable: The storage of results cannot be used.
    """
    status = read_status(results, scan_id)
    if status is None or not status.status.final:
        time_now = time_of(ledger)
        status = status or ScanStatus(scan_id=scan_id, status=Status.QUEUED, updated_at=time_now)
        remove_results(results, scan_id)
        changes = {
            "status": Status.CANCELLED,
            "stage": None,
            "reason": None,
            "files": None,
            "updated_at": time_now,
            "finished_at": time_now,
            "lease_until": None,
        }
        status = status.model_copy(update=changes)
        # Open until the event is sent: if this process ends before that, reconcile sends it.
        ledger.set_deadline(scan_id, time_now.timestamp())
        write_status(results, status)
        log.info("scan_cancelled", scan_id=scan_id)
    if ledger.is_open(scan_id) and emit_final_event(events, status, results):
        ledger.close(scan_id)
    ledger.forget_cancel(scan_id)
    return status
