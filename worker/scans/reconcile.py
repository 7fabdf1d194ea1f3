"""Scans without a final status, for which nobody answers any more, are sent again.

A broker can lose a message, Redis when a worker is killed between taking and noting it. What is sent twice by
this costs little: such a message does nothing where the scan came to an end meanwhile.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.config.urls import FileUrl, S3Url, parse_storage_url
from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import RECONCILER, Ledger
from worker.ledger.opening import open_ledger
from worker.queue import Send, message
from worker.scans.events import EventType, open_events
from worker.scans.final_event import emit_final_event
from worker.scans.status import ScanStatus, Status, now, read_status, write_status
from worker.storage.base import Storage, StorageUnavailable

log = get_logger(__name__)

REASON: Final = "sent again: nobody answered for it any more"
AWAY: Final = 3  # so many in a row that cannot be read or written are a storage that is away
AT_ONCE: Final = 100_000  # more come with the next look


def reconcile(
    settings: Settings,
    scans: Storage,
    results: Storage,
    send: Send,
    *,
    sweep: bool = False,
    restart: bool = False,
    clock: Callable[[], float] = time.time,
) -> list[ScanId]:
    """Send overdue scans again, each once before its new lease has run out too. Gives their ids.

    While another does this, nothing is done.

    Args:
        settings: of this process.
        scans, results: the storages.
        send: as in `announce`.
        sweep: look through all of the storage too, for scans that the ledger does not know.
        restart: also those whose lease has not run out, unless a worker is at them: the queue was lost.
        clock: seconds of the epoch.

    Raises:
        StorageUnavailable, LedgerUnavailable, and what `send` raises: the rest is done the next time.
    """
    ledger = open_ledger(settings)
    only_one = ledger.lock(RECONCILER)
    if only_one is None:
        log.info("reconciled_by_another")
        return []
    sent: dict[ScanId, None] = {}
    with only_one:
        found = iter(ledger.overdue(math.inf if restart else clock(), AT_ONCE))
        unusable = 0
        for scan_id in _both(found, _unanswered(settings, scans, results, clock) if sweep else None):
            only_one.check()
            if scan_id in sent:
                continue
            try:
                if _send_again(scan_id, settings, ledger, results, send, clock):
                    sent[scan_id] = None
                unusable = 0
            except StorageUnavailable as error:
                # One whose place cannot be read or written must not keep all others from being sent.
                log.error("scan_not_sent_again", scan_id=scan_id, reason=str(error))
                unusable += 1
                if unusable == AWAY:
                    raise
    log.info("reconciled", sent=len(sent))
    return list(sent)


def _both(first: Iterator[ScanId], second: Iterator[ScanId] | None) -> Iterator[ScanId]:
    yield from first
    yield from second or ()


def _unanswered(
    settings: Settings, scans: Storage, results: Storage, clock: Callable[[], float]
) -> Iterator[ScanId]:
    """Scans in storage without a final status whose lease, or whose time to be announced, has run out."""
    for scan_id in scan_ids_in(scans.folders()):
        if _holds_results(scan_id, settings):
            continue
        try:
            until = _answered_until(scan_id, settings, scans, results)
        except StorageUnavailable:
            until = 0.0  # `_send_again` finds out whether it is all of the storage
        if until is not None and until <= clock():
            yield scan_id


def _holds_results(folder: str, settings: Settings) -> bool:
    """Whether a folder beside the scans is where results go, or leads there, and is no scan."""
    scans, results = parse_storage_url(settings.scans_url), parse_storage_url(settings.results_url)
    if isinstance(scans, S3Url) and isinstance(results, S3Url):
        return scans.bucket == results.bucket and results.prefix.startswith(f"{scans.prefix}{folder}/")
    if isinstance(scans, FileUrl) and isinstance(results, FileUrl):
        return results.path.is_relative_to(scans.path / folder)
    return False


def _answered_until(scan_id: ScanId, settings: Settings, scans: Storage, results: Storage) -> float | None:
    """Seconds of the epoch; None of a scan that is final, or of which there is nothing."""
    status = read_status(results, scan_id)
    if status is None:
        files = scans.objects(scan_id, settings.max_scan_files)
        # Whoever brings the files announces the scan afterwards.
        return max(each.modified or 0.0 for each in files) + settings.queue_lease_s if files else None
    if status.status.final:
        return None
    if status.lease_until is not None:
        return status.lease_until.timestamp()
    return status.updated_at.timestamp() + settings.queue_lease_s


def _send_again(
    scan_id: ScanId,
    settings: Settings,
    ledger: Ledger,
    results: Storage,
    send: Send,
    clock: Callable[[], float],
) -> bool:
    """Gives whether. Under the scan's lock: what a worker writes at this moment must not be undone."""
    lease = ledger.lock(scan_id)
    if lease is None:
        return False  # somebody is at it
    with lease:
        status = read_status(results, scan_id)
        events = open_events(settings)
        if status is not None and status.status.final:
            # Whoever brought it to its end died before that was told, or could not tell it.
            if emit_final_event(events, status, results):
                ledger.close(scan_id)
            return False
        time_now = now()
        known = status or ScanStatus(scan_id=scan_id, status=Status.QUEUED, updated_at=time_now)
        if known.queued_at is None and events.emit(EventType.RECEIVED, scan_id):
            known = known.model_copy(update={"queued_at": time_now})
        # The stage stays: it is what is known of a process that died.
        changes = {
            "status": Status.QUEUED,
            "reason": REASON,
            "updated_at": time_now,
            "lease_until": time_now + timedelta(seconds=settings.queue_lease_s),
        }
        lease.check()
        write_status(results, known.model_copy(update=changes))
        ledger.set_deadline(scan_id, clock() + settings.queue_lease_s)
    send(message(scan_id, force=known.force, resent=True))
    log.info("scan_sent_again", scan_id=scan_id)
    return True
