"""The one way in which a scan is announced, whoever heard of it first."""

from __future__ import annotations

import time
from datetime import timedelta

from worker.config.settings import Settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.queue import Send, message
from worker.scans.events import EventType, open_events
from worker.scans.status import ScanStatus, Status, now, write_status
from worker.storage.base import Storage


def announce(
    scan_id: ScanId, settings: Settings, results: Storage, send: Send, *, force: bool = False
) -> None:
    """See to it that a scan is not forgotten, write that it is queued, tell of it, and send it.

    Sent last: a worker may be done with it before we come back from the broker. Where that or the status
    fails, the scan is sent all the same once its lease has run out.

    Args:
        scan_id: of the scan.
        settings: of this process.
        results: where statuses are.
        send: puts a message with these keyword arguments into the queue.
        force: analyse it anew though it is done, or was set aside.

    Raises:
        StorageUnavailable, LedgerUnavailable: nothing was sent.
        and what `send` raises.
    """
    ledger = open_ledger(settings)
    if force:
        ledger.release_quarantine(scan_id)
    ledger.set_deadline(scan_id, time.time() + settings.queue_lease_s)
    time_now = now()
    lease_until = time_now + timedelta(seconds=settings.queue_lease_s)
    write_status(
        results,
        ScanStatus(
            scan_id=scan_id,
            status=Status.QUEUED,
            force=force,
            queued_at=time_now,
            updated_at=time_now,
            lease_until=lease_until,
        ),
    )
    open_events(settings).emit(EventType.RECEIVED, scan_id)
    send(message(scan_id, force=force))
