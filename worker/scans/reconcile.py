"""Send overdue scans again: scans without a final status that no worker reported on before their deadline.

The sweep also sends finished scans whose files have changed since.

A broker can lose a message; Redis does when a worker is killed between taking and noting it. A message too
many costs little: it does nothing if the scan is finished by then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import chain, islice
from typing import Final

from worker.broker.waiting import Waiting
from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.config.urls import FileUrl, S3Url, parse_storage_url
from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import RECONCILER, Ledger
from worker.ledger.opening import open_ledger
from worker.queue import Send, message
from worker.scans.cancel import write_cancelled
from worker.scans.completeness import ScanIncomplete, check_complete, digest_of
from worker.scans.events import EventType, open_events
from worker.scans.final_event import emit_final_event
from worker.scans.status import ScanStatus, Status, now, read_status, write_status
from worker.scans.tombstones import is_erased
from worker.scans.transfer import limits_of, list_scan
from worker.storage.base import ScanTooLarge, Storage, StorageUnavailable

log = get_logger(__name__)

REASON: Final = "sent again: no worker reported on it before its deadline"
MAX_FAILURES: Final = 3  # so many storage errors in a row mean that the whole storage is away
BATCH_SIZE: Final = 100_000  # the next run takes the rest
THREADS: Final = 8

Found = tuple[ScanId, bool]  # the bool: the scan is finished, and its files have changed since


def reconcile(
    settings: Settings,
    scans: Storage,
    results: Storage,
    send: Send,
    *,
    waiting: Callable[[], Waiting] = Waiting,
    sweep: bool = False,
    restart: bool = False,
    clock: Callable[[], float] = time.time,
) -> list[ScanId]:
    """Send overdue scans again and return their ids. Do nothing while another process does this.

    A scan that is sent again gets a new deadline, so it is sent once before that. So does a scan whose
    message still waits in the queue: it is not lost, and is not sent.

    Args:
        settings: Of this process.
        scans: Storage of scans.
        results: Storage of results.
        send: Puts a message into the queue. It is called from several threads.
        waiting: Returns the scans that wait in the queue. Called only if a scan is overdue.
        sweep: Look through all of the storage too, for scans that the ledger does not know.
        restart: The queue was lost. Also send scans before their deadline, unless a worker has them.
        clock: Returns seconds of the epoch.

    Raises:
        StorageUnavailable: Several scans in a row could not be read or written.
        LedgerUnavailable: The ledger is away.
        Exception: What `send` or `waiting` raises. In all cases the next run sends the rest.
    """
    ledger = open_ledger(settings)
    lease = ledger.lock(RECONCILER)
    if lease is None:
        log.info("reconciled_by_another")
        return []
    with lease:
        resender = Resender(settings, ledger, results, send, clock)
        overdue = _overdue(settings, ledger, waiting, resender, restart, clock)
        found = _find_overdue(settings, ledger, scans, results, clock) if sweep else ()
        sent = resender.send_all(chain(((each, False) for each in overdue), found), lease.check)
    log.info("reconciled", sent=len(sent))
    return sent


def _overdue(
    settings: Settings,
    ledger: Ledger,
    waiting: Callable[[], Waiting],
    resender: Resender,
    restart: bool,
    clock: Callable[[], float],
) -> list[ScanId]:
    """Return the overdue scans that do not wait in the queue. Those that wait get a new deadline."""
    now = clock()
    overdue = ledger.overdue(math.inf if restart else now, BATCH_SIZE)
    if not overdue:
        return []
    # The queue may be long. Move all deadlines that come soon too, so that it is seldom read.
    soon = ledger.deadlines(now + settings.queue_lease_s / 2, BATCH_SIZE)
    found = waiting()
    resender.taken = found.taken
    queued = {scan_id: deadline for scan_id, deadline in soon.items() if scan_id in found.queued}
    ledger.defer(queued, now + settings.queue_lease_s)
    left = [scan_id for scan_id in overdue if scan_id not in found.queued]
    if len(left) < len(overdue):
        log.info("overdue_scans_wait", scans=len(overdue) - len(left))
    return left


class Resender:
    """Sends scans again.

    Args:
        settings: Of this process.
        ledger: Of this process.
        results: Storage of results.
        send: Puts a message into the queue. It is called from several threads.
        clock: Returns seconds of the epoch.

    Attributes:
        taken: The scans whose message a worker has.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        results: Storage,
        send: Send,
        clock: Callable[[], float],
    ) -> None:
        self.taken: set[str] = set()
        self._settings = settings
        self._ledger = ledger
        self._results = results
        self._send = send
        self._clock = clock

    def send_all(self, found: Iterable[Found], check: Callable[[], None]) -> list[ScanId]:
        """Send scans again, several at a time, and return those that were sent.

        Args:
            found: The scans. One that comes twice is sent once.
            check: Called now and then. It raises an exception to end this.

        Raises:
            StorageUnavailable: Several scans in a row could not be read or written.
            LedgerUnavailable: The ledger is away.
            Exception: What `send` raises.
        """
        sent: dict[ScanId, None] = {}
        failures = 0
        with ThreadPoolExecutor(THREADS) as threads:
            for group in _groups(found):
                check()
                wanted = [each for each in dict(group).items() if each[0] not in sent]
                for (scan_id, _), answer in zip(wanted, threads.map(self._try_to_send, wanted), strict=True):
                    if not isinstance(answer, StorageUnavailable):
                        failures = 0
                        if answer:
                            sent[scan_id] = None
                        continue
                    # Go on: one unusable scan must not keep the others from being sent.
                    log.error("scan_not_sent_again", scan_id=scan_id, reason=str(answer))
                    failures += 1
                    if failures == MAX_FAILURES:
                        raise answer
        return list(sent)

    def _try_to_send(self, found: Found) -> bool | StorageUnavailable:
        scan_id, changed = found
        try:
            return self._analyse_again(scan_id) if changed else self._send_again(scan_id)
        except StorageUnavailable as error:
            return error

    def _analyse_again(self, scan_id: ScanId) -> bool:
        """Send a finished scan whose files have changed. The next final event names the one before."""
        self._ledger.set_deadline(scan_id, self._clock() + self._settings.queue_lease_s)
        self._put_into_queue(scan_id, message(scan_id))
        log.info("scan_changed", scan_id=scan_id)
        return True

    def _send_again(self, scan_id: ScanId) -> bool:
        """Send one scan again, unless a worker has it or it is final. Return whether it was sent."""
        # Under the lock of the scan, so this does not overwrite what a worker writes at the same moment.
        lease = self._ledger.lock(scan_id)
        if lease is None:
            return False
        with lease:
            status = read_status(self._results, scan_id)
            if not self._is_lost(scan_id, status):
                return False
            status = self._queued(scan_id, status)
            lease.check()
            write_status(self._results, status)
            self._ledger.set_deadline(scan_id, self._clock() + self._settings.queue_lease_s)
        self._put_into_queue(scan_id, message(scan_id, force=status.force, resent=True))
        log.info("scan_sent_again", scan_id=scan_id)
        return True

    def _is_lost(self, scan_id: ScanId, status: ScanStatus | None) -> bool:
        """Return whether a locked scan is to be sent again. Do what else is to be done for it."""
        ledger, results = self._ledger, self._results
        if status is not None and status.status.final:
            # The worker that finished it crashed before it sent the final event, or could not send it.
            if emit_final_event(open_events(self._settings), status, results):
                ledger.close(scan_id)
            return False
        if is_erased(results, scan_id):
            ledger.close(scan_id)
            return False
        if ledger.is_cancel_asked(scan_id):
            write_cancelled(scan_id, ledger, open_events(self._settings), results)
            return False
        if scan_id in self.taken and (status is None or status.status is Status.QUEUED):
            # A worker has the message and has not begun. If it is killed, the message comes back.
            ledger.set_deadline(scan_id, self._clock() + self._settings.queue_lease_s)
            return False
        return True

    def _queued(self, scan_id: ScanId, status: ScanStatus | None) -> ScanStatus:
        """Return the status of a scan that is sent again."""
        time_now = now()
        status = status or ScanStatus(scan_id=scan_id, status=Status.QUEUED, updated_at=time_now)
        if status.queued_at is None and open_events(self._settings).emit(EventType.RECEIVED, scan_id):
            status = status.model_copy(update={"queued_at": time_now})
        # Keep the stage: it is all that is known about a process that crashed.
        changes = {
            "status": Status.QUEUED,
            "reason": REASON,
            "updated_at": time_now,
            "lease_until": time_now + timedelta(seconds=self._settings.queue_lease_s),
        }
        return status.model_copy(update=changes)

    def _put_into_queue(self, scan_id: ScanId, keywords: dict[str, object]) -> None:
        try:
            self._send(keywords)
        except Exception:
            # It is overdue, and the next run sends it.
            self._ledger.set_deadline(scan_id, self._clock())
            raise


def _groups(found: Iterable[Found]) -> Iterator[list[Found]]:
    rest = iter(found)
    while group := list(islice(rest, THREADS)):
        yield group


def _find_overdue(
    settings: Settings, ledger: Ledger, scans: Storage, results: Storage, clock: Callable[[], float]
) -> Iterator[tuple[ScanId, bool]]:
    """Yield the scans in storage that are overdue by their status, or by their files if they have none.

    Yield with True the finished scans whose files have changed since, unless they were sent for that already.
    """
    for scan_id in scan_ids_in(scans.folders()):
        if _holds_results(scan_id, settings):
            continue
        try:
            status = read_status(results, scan_id)
            if status is not None and status.status.final:
                if _has_changed(status, settings, scans) and not ledger.is_open(scan_id):
                    yield scan_id, True
                continue
            deadline = _deadline(scan_id, status, settings, scans)
        except StorageUnavailable:
            deadline = 0.0  # `_send_again` finds out whether all of the storage is away
        if deadline is not None and deadline <= clock():
            yield scan_id, False


def _has_changed(status: ScanStatus, settings: Settings, scans: Storage) -> bool:
    """Return whether the files of a finished scan are others than those that were analysed."""
    if status.files is None:  # of an earlier version of this program
        return False
    try:
        files = list_scan(scans, status.scan_id, limits_of(settings))
        if not files or digest_of(files) == status.files:
            return False
        check_complete(scans, status.scan_id, files, settings.arrivals_quiet_s)
    except (ScanTooLarge, ScanIncomplete):
        return False  # Its files are still coming.
    return True


def _holds_results(folder: str, settings: Settings) -> bool:
    """Return whether a folder beside the scans is no scan, but is or contains the storage of results."""
    scans, results = parse_storage_url(settings.scans_url), parse_storage_url(settings.results_url)
    if isinstance(scans, S3Url) and isinstance(results, S3Url):
        return scans.bucket == results.bucket and results.prefix.startswith(f"{scans.prefix}{folder}/")
    if isinstance(scans, FileUrl) and isinstance(results, FileUrl):
        return results.path.is_relative_to(scans.path / folder)
    return False


def _deadline(scan_id: ScanId, status: ScanStatus | None, settings: Settings, scans: Storage) -> float | None:
    """Return when an unfinished scan is overdue, in seconds of the epoch; None if it has no files."""
    if status is None:
        files = scans.objects(scan_id, settings.max_scan_files)
        # Producers announce a scan after its files are stored.
        return max(each.modified or 0.0 for each in files) + settings.queue_lease_s if files else None
    if status.lease_until is not None:
        return status.lease_until.timestamp()
    return status.updated_at.timestamp() + settings.queue_lease_s
