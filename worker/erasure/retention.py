"""Erase the results of scans that were finished more than `RETENTION_DAYS` ago.

The names of all results are looked through once a day, in slices of seconds. A cursor in the ledger says
where the next slice begins. An index in the ledger says when each scan was finished, with 12 bytes a scan. So
a status is read once after its scan is finished, and again when the scan is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from celery import Celery

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.erasure.erase import Eraser
from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import Ledger
from worker.ledger.opening import open_ledger
from worker.scans.status import read_status
from worker.scans.sweep_index import SweepIndex, hashes_of
from worker.storage.base import Storage, StorageUnavailable

log = get_logger(__name__)

NAME: Final = "retention"
DAY_S: Final = 86_400.0
SLICE_S: Final = 10.0
THREADS: Final = 8
GROUP: Final = 16  # scans between two looks at the clock
MAX_FAILURES: Final = 3  # so many storage errors in a slice mean that the whole storage is away
MAX_OBJECTS: Final = 100_000


def erase_old_results(
    settings: Settings,
    scans: Storage,
    results: Storage,
    app: Celery,
    *,
    clock: Callable[[], float] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Look through one slice of the results, and erase those that are too old. Return how many these are.

    Args:
        settings: Of this process. Without `retention_days`, nothing is done.
        scans: Storage of scans.
        results: Storage of results.
        app: The Celery app.
        clock: Returns seconds of the epoch; the clock of the ledger by default.
        monotonic: Returns seconds, for the length of the slice.

    Raises:
        StorageUnavailable: A storage cannot be used.
        LedgerUnavailable: The ledger or one of the other places cannot be used.
    """
    if settings.retention_days is None:
        return 0
    ledger = open_ledger(settings)
    cursor = ledger.cursor(NAME)
    if cursor is None and not ledger.begins(NAME, DAY_S):
        return 0
    now, keep_s = (clock or ledger.now)(), settings.retention_days * DAY_S
    turn = _Turn(results, Eraser(settings, scans, results, app), ledger, now, keep_s, cursor or "")
    until = monotonic() + SLICE_S
    turn.run(lambda: monotonic() > until)
    turn.save()
    log.info("old_results_erased", erased=turn.erased, finished=turn.cursor is None)
    return turn.erased


class _Turn:
    """A turn through the names of all results, or a part of one.

    Args:
        results: Storage of results.
        eraser: Erases scans.
        ledger: Has the index.
        now: Seconds of the epoch.
        keep_s: What was finished so many seconds ago is to be erased.
        cursor: A name that comes before the first one.

    Attributes:
        cursor: The last name, or None if all were looked at.
        erased: Number of erased scans.
    """

    def __init__(
        self, results: Storage, eraser: Eraser, ledger: Ledger, now: float, keep_s: float, cursor: str
    ) -> None:
        self._results = results
        self._eraser = eraser
        self._ledger = ledger
        self._now = now
        self._oldest = now - keep_s
        self._index = SweepIndex.from_bytes(ledger.notes(NAME))  # when scans were finished, for their digests
        self._failures = 0
        self.cursor: str | None = cursor
        self.erased = 0

    def run(self, is_over: Callable[[], bool]) -> None:
        """Look through the names until the end, or until `is_over` returns True."""
        for names in self._results.folder_pages(self.cursor or ""):
            gone: set[str] = set()
            wanted = self._not_known_to_be_kept(names)
            for start in range(0, len(wanted), GROUP):
                group = wanted[start : start + GROUP]
                gone |= self._look_at(group)
                self._move_to(group[-1], names, gone)
                if is_over():
                    return
            if names:
                self._move_to(names[-1], names, gone)
            if is_over():
                return
        self.cursor = None
        # A scan that is still there is read again in the next turn.
        self._index.remove_below(_seconds(self._oldest))

    def save(self) -> None:
        """Keep the index and the cursor for the next slice."""
        if self._index.changed:
            self._ledger.set_notes(NAME, self._index.to_bytes())
        self._ledger.set_cursor(NAME, self.cursor)

    def _not_known_to_be_kept(self, names: Sequence[str]) -> list[ScanId]:
        scan_ids = list(scan_ids_in(names))
        finished = self._index.find(hashes_of(scan_ids))
        oldest = _seconds(self._oldest)
        return [scan_id for scan_id, at in zip(scan_ids, finished, strict=True) if at < oldest]

    def _look_at(self, scan_ids: Sequence[ScanId]) -> set[str]:
        """Erase those of these scans that are old, and return them. Note when the others were finished."""
        with ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(self._look, scan_ids))
        for scan_id, key, finished in zip(scan_ids, hashes_of(scan_ids), found, strict=True):
            if isinstance(finished, StorageUnavailable):
                self._go_on(scan_id, finished)
            elif finished is not None:
                self._index.put(int(key), _seconds(finished))
        old = [
            scan_id
            for scan_id, at in zip(scan_ids, found, strict=True)
            if isinstance(at, float) and at < self._oldest
        ]
        gone = self._erase(old)
        self.erased += len(gone)
        return gone

    def _erase(self, scan_ids: Sequence[ScanId]) -> set[str]:
        """Erase scans together, which costs one search of all places, or one by one after an error."""
        gone: set[str] = set()
        try:
            for erasure in self._eraser.erase(scan_ids, reason="retention"):
                if not erasure.refused:
                    gone.add(erasure.scan_id)
                if erasure.left:
                    log.error("erased_in_part", left=erasure.left)
        except StorageUnavailable as error:
            if len(scan_ids) == 1:
                self._go_on(scan_ids[0], error)
                return gone
            for scan_id in scan_ids:
                if scan_id not in gone:
                    gone |= self._erase([scan_id])
        return gone

    def _look(self, scan_id: ScanId) -> float | StorageUnavailable | None:
        try:
            return _finished_at(self._results, scan_id, self._now)
        except StorageUnavailable as error:
            return error

    def _go_on(self, scan_id: ScanId, error: StorageUnavailable) -> None:
        """Leave a scan that cannot be used to the next turn. Raise if so many come one after another."""
        log.error("old_result_not_erased", scan_id=scan_id, reason=str(error))
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise error

    def _move_to(self, last: str, names: Sequence[str], gone: set[str]) -> None:
        """Set the cursor to a name of a page. Keep no erased scan's id in it."""
        done = names[: names.index(last) + 1]
        self.cursor = next((name for name in reversed(done) if name not in gone), self.cursor)


def _seconds(time_s: float) -> int:
    """Return a time as the index keeps it: whole seconds of the epoch, until the year 2106."""
    return min(max(int(time_s), 1), 2**32 - 1)


def _finished_at(results: Storage, scan_id: ScanId, now: float) -> float | None:
    """Return when a scan was finished, in seconds of the epoch. None if a worker may still have it.

    Without a readable status, or if its time has not come, that is the time of its newest object.
    """
    status = read_status(results, scan_id)
    if status is not None:
        if not status.status.final:
            return None
        finished = (status.finished_at or status.updated_at).timestamp()
        if finished <= now + DAY_S:
            return finished
        log.warning("finished_in_the_future", scan_id=scan_id, ahead_s=round(finished - now))
    found = [each.modified for each in results.objects(scan_id, MAX_OBJECTS) if each.modified is not None]
    return max(found, default=None)
