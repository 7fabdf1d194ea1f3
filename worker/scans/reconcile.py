"""Send overdue scans again: scans without a final status that no worker reported on before their deadline.

The sweep also sends finished scans whose files have changed since.

A broker can lose a message; Redis does when a worker is killed between taking and noting it. A message too
many costs little: it does nothing if the scan is finished by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

from worker.broker.waiting import Waiting
from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.keys import ScanId
from worker.ledger.base import RECONCILER, SWEEPER, Ledger
from worker.ledger.opening import open_ledger
from worker.queue import Send, message
from worker.scans.cancel import write_cancelled
from worker.scans.events import EventType, open_events
from worker.scans.final_event import emit_final_event
from worker.scans.look import Found, longest_lease_s
from worker.scans.status import ScanStatus, Status, read_status, write_status
from worker.scans.sweep import Sweep
from worker.scans.tombstones import is_erased
from worker.storage.base import Storage, StorageUnavailable

log = get_logger(__name__)

REASON: Final = "sent again: no worker reported on it before its deadline"
MAX_FAILURES: Final = 3  # so many storage errors in a row mean that the whole storage is away
BATCH_SIZE: Final = 100_000  # the next run takes the rest
THREADS: Final = 8


def reconcile(
    settings: Settings,
    scans: Storage,
    results: Storage,
    send: Send,
    *,
    waiting: Callable[[], Waiting] = Waiting,
    sweep: bool = False,
    restart: bool = False,
    clock: Callable[[], float] | None = None,
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
        clock: Returns seconds of the epoch; the clock of the ledger by default.

    Raises:
        StorageUnavailable: Several scans in a row could not be read or written.
        LedgerUnavailable: The ledger is away.
        Exception: What `send` or `waiting` raises. In all cases the next run sends the rest.
    """
    ledger = open_ledger(settings)
    clock = clock or ledger.now
    lease = ledger.lock(RECONCILER)
    if lease is None:
        log.info("reconciled_by_another")
        return []
    resender = Resender(settings, ledger, results, send, waiting, clock)
    with lease:
        overdue = _overdue(settings, ledger, resender, restart, clock)
        sent = resender.send_all(((scan_id, False) for scan_id in overdue), lease.check)
    if sweep:
        sent += sweep_storage(Sweep(settings, ledger, scans, results, clock), resender, whole=True)
    log.info("reconciled", sent=len(sent))
    return list(dict.fromkeys(sent))


def sweep_storage(sweep: Sweep, resender: Resender, *, whole: bool = False) -> list[ScanId]:
    """Look through the storage of scans, and send what is found. Do nothing while another process does this.

    Args:
        sweep: Finds scans.
        resender: Sends them.
        whole: Take a whole turn. False: take a slice of some seconds, if one is due.

    Returns:
        The scans that were sent.

    Raises: as `reconcile`. The next slice goes on where this one stopped.
    """
    if not whole and not sweep.is_due():
        return []
    lease = sweep.ledger.lock(SWEEPER)
    if lease is None:
        log.info("swept_by_another")
        return []
    with lease:
        return resender.send_all(sweep.whole_turn() if whole else sweep.next_slice(), lease.check)


def _overdue(
    settings: Settings,
    ledger: Ledger,
    resender: Resender,
    restart: bool,
    clock: Callable[[], float],
) -> list[ScanId]:
    """Return the overdue scans that do not wait in the queue. Those that wait get a new deadline."""
    now = clock()
    _bound_deadlines(settings, ledger, now)
    waiting: set[str] | None = None
    while overdue := ledger.overdue(math.inf if restart else now, BATCH_SIZE):
        # The queue may be long. Move all deadlines that come soon too, so that it is seldom read.
        soon = ledger.deadlines(now + settings.queue_lease_s / 2, BATCH_SIZE)
        waiting = resender.read_queue().queued if waiting is None else waiting
        ledger.defer(
            {scan_id: deadline for scan_id, deadline in soon.items() if scan_id in waiting},
            now + settings.queue_lease_s,
        )
        left = [scan_id for scan_id in overdue if scan_id not in waiting]
        log.info("overdue_scans", lost=len(left), waiting=len(overdue) - len(left))
        if left or restart or len(overdue) < BATCH_SIZE:
            return left
        # A lost scan may come after so many that wait.
    return []


def _bound_deadlines(settings: Settings, ledger: Ledger, now: float) -> None:
    """Let scans be overdue whose deadline is of a wrong clock: nobody would look at them until then."""
    far = ledger.deadlines(math.inf, BATCH_SIZE, after=now + longest_lease_s(settings))
    if far:
        log.warning("deadlines_too_far", scans=len(far), ahead_s=round(min(far.values()) - now))
        ledger.defer(far, now)


class Resender:
    """Sends scans again.

    Args:
        settings: Of this process.
        ledger: Of this process.
        results: Storage of results.
        send: Puts a message into the queue. It is called from several threads.
        waiting: Returns the scans that wait in the queue.
        clock: Returns seconds of the epoch; the clock of the ledger by default.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        results: Storage,
        send: Send,
        waiting: Callable[[], Waiting],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._read_queue = waiting
        self._waiting: Waiting | None = None
        self._settings = settings
        self._ledger = ledger
        self._results = results
        self._send = send
        self._clock = clock or ledger.now

    def read_queue(self) -> Waiting:
        """Return the scans that wait in the queue, and keep them for the next `send_all`."""
        self._waiting = self._read_queue()
        return self._waiting

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
        waiting, self._waiting = self._waiting, None
        with ThreadPoolExecutor(THREADS) as threads:
            for group in _groups(found):
                check()
                wanted = [each for each in dict(group).items() if each[0] not in sent]
                waiting = waiting or self._read_queue()
                answers = threads.map(partial(self._try_to_send, waiting), wanted)
                for (scan_id, _), answer in zip(wanted, answers, strict=True):
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

    def _try_to_send(self, waiting: Waiting, found: Found) -> bool | StorageUnavailable:
        scan_id, changed = found
        try:
            return self._analyse_again(scan_id) if changed else self._send_again(scan_id, waiting)
        except StorageUnavailable as error:
            return error

    def _analyse_again(self, scan_id: ScanId) -> bool:
        """Send a finished scan whose files have changed. The next final event names the one before."""
        self._ledger.set_deadline(scan_id, self._clock() + self._settings.queue_lease_s)
        self._put_into_queue(scan_id, message(scan_id))
        log.info("scan_changed", scan_id=scan_id)
        return True

    def _send_again(self, scan_id: ScanId, waiting: Waiting) -> bool:
        """Send one scan again, unless a worker has it or it is final. Return whether it was sent."""
        # Under the lock of the scan, so this does not overwrite what a worker writes at the same moment.
        lease = self._ledger.lock(scan_id)
        if lease is None:
            return False
        with lease:
            status = read_status(self._results, scan_id)
            if not self._is_lost(scan_id, status, waiting):
                return False
            status = self._queued(scan_id, status)
            lease.check()
            write_status(self._results, status)
            self._ledger.set_deadline(scan_id, self._clock() + self._settings.queue_lease_s)
        self._put_into_queue(scan_id, message(scan_id, force=status.force, resent=True))
        log.info("scan_sent_again", scan_id=scan_id)
        return True

    def _is_lost(self, scan_id: ScanId, status: ScanStatus | None, waiting: Waiting) -> bool:
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
        begun = status is not None and status.status is not Status.QUEUED
        if scan_id in waiting.queued or (scan_id in waiting.taken and not begun):
            # Its message waits, or a worker has it and has not begun. Without that worker it comes back.
            ledger.set_deadline(scan_id, self._clock() + self._settings.queue_lease_s)
            return False
        return True

    def _queued(self, scan_id: ScanId, status: ScanStatus | None) -> ScanStatus:
        """Return the status of a scan that is sent again."""
        time_now = datetime.fromtimestamp(self._clock(), UTC)
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
