"""Announce a scan: the only way for scans into the queue, whoever brings them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from worker.config.settings import Settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.queue import Send, SendBatch, message
from worker.scans.events import EventType, open_events
from worker.scans.status import ScanStatus, Status, time_of, write_status
from worker.scans.stored_scans import StoredScans
from worker.scans.tombstones import ScanErased, is_erased, remove_tombstone
from worker.storage.base import Storage
from worker.tracing import span

THREADS: Final = 16


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
    time_now = time_of(ledger)
    deadline = time_now + timedelta(seconds=settings.queue_lease_s)
    ledger.open_scans([scan_id], deadline.timestamp(), release=force)
    status = ScanStatus(
        scan_id=scan_id,
        status=Status.QUEUED,
        force=force,
        queued_at=time_now,
        updated_at=time_now,
        lease_until=deadline,
    )
    write_status(results, status)
    if not open_events(settings).emit(EventType.RECEIVED, scan_id):
        # Without `queued_at`, the process that starts with the scan sends this event.
        write_status(results, status.model_copy(update={"queued_at": None}))
    send(message(scan_id, force=force))


class BulkAnnouncer:
    """Announces many scans.

    Args:
        settings: Of this process.
        results: Storage of results.
        send: Puts a message into the queue. It is called from several threads.
        send_batch: Puts many messages into the queue.
        force: As of `announce`.
        again: As of `announce`.
    """

    def __init__(
        self,
        settings: Settings,
        results: Storage,
        send: Send,
        send_batch: SendBatch,
        *,
        force: bool = False,
        again: bool = False,
    ) -> None:
        self._settings = settings
        self._results = results
        self._send = send
        self._send_batch = send_batch
        self._force = force
        self._again = again
        self._stored: StoredScans | None = None

    def announce(self, scan_ids: Sequence[ScanId]) -> set[ScanId]:
        """Announce some scans as `announce` does, several at a time. Return those that were erased.

        Raises: as `announce`. Some of the scans may be in the queue then.
        """
        with ThreadPoolExecutor(THREADS) as threads:
            announced = list(threads.map(self._announce, scan_ids))
        return {scan_id for scan_id, done in zip(scan_ids, announced, strict=True) if not done}

    def announce_batch(self, scan_ids: Sequence[ScanId]) -> set[ScanId]:
        """Do the same for one of many batches, without calls of the storage for new scans.

        A scan for which nothing is stored gets no `status.json` and no event before a worker begins with it,
        as if its producer had sent a task. The ledger has it, so it is not lost.
        """
        if self._stored is None:
            self._stored = StoredScans.listed(self._results)
        known = set(scan_ids) if self._again else self._stored.among(scan_ids)
        new = [scan_id for scan_id in scan_ids if scan_id not in known]
        if new:
            ledger = open_ledger(self._settings)
            ledger.open_scans(new, ledger.now() + self._settings.queue_lease_s, release=self._force)
            self._send_batch(message(scan_id, force=self._force) for scan_id in new)
        return self.announce([scan_id for scan_id in scan_ids if scan_id in known])

    def _announce(self, scan_id: ScanId) -> bool:
        try:
            announce(scan_id, self._settings, self._results, self._send, force=self._force, again=self._again)
        except ScanErased:
            return False
        return True
