"""Announce a scan: the only way for scans into the queue, whoever brings them."""

from __future__ import annotations

import time
from datetime import timedelta

from worker.config.settings import Settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.queue import Send, message
from worker.scans.events import EventType, open_events
from worker.scans.status import ScanStatus, Status, now, write_status
from worker.scans.tombstones import ScanErased, is_erased, remove_tombstone
from worker.storage.base import Storage
from worker.tracing import span


def announce(
    scan_id: ScanId,
    settings: Settings,
    results: Storage,
    send: Send,
    *,
    force: bool = False,
    again: bool = False,
) -> None:
    """Register a scan in the ledger, write its status `queued`, send its event, and send its message.

    The message is sent last, because a worker may finish the scan at once. If writing the status or sending
    the message fails, the scan is overdue after `QUEUE_LEASE_S` and is sent then.

    Args:
        scan_id: The scan.
        settings: Of this process.
        results: Storage of results, where the status is.
        send: Puts a message with these keyword arguments into the queue.
        force: Analyse the scan again although it is completed or in quarantine.
        again: Take the scan although it was erased.

    Raises:
        ScanErased: The scan was erased. Nothing was written or sent.
        LedgerUnavailable: The ledger is away. No message was sent.
        StorageUnavailable: The status could not be written. No message was sent.
        Exception: What `send` raises.
    """
    with span("announce", scan_id=scan_id):
        _announce(scan_id, settings, results, send, force=force, again=again)


def _announce(
    scan_id: ScanId, settings: Settings, results: Storage, send: Send, *, force: bool, again: bool
) -> None:
    if again:
        remove_tombstone(results, scan_id)
    elif is_erased(results, scan_id):
        raise ScanErased
    ledger = open_ledger(settings)
    if force:
        ledger.release_quarantine(scan_id)
    ledger.set_deadline(scan_id, time.time() + settings.queue_lease_s)
    ledger.forget_cancel(scan_id)
    time_now = now()
    status = ScanStatus(
        scan_id=scan_id,
        status=Status.QUEUED,
        force=force,
        queued_at=time_now,
        updated_at=time_now,
        lease_until=time_now + timedelta(seconds=settings.queue_lease_s),
    )
    write_status(results, status)
    if not open_events(settings).emit(EventType.RECEIVED, scan_id):
        # Without `queued_at`, the process that starts with the scan sends this event.
        write_status(results, status.model_copy(update={"queued_at": None}))
    send(message(scan_id, force=force))
