"""Erase the results of scans that were finished more than `RETENTION_DAYS` ago.

All results are looked through once a day, in slices of seconds. A cursor in the ledger says where the next
slice begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from celery import Celery

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.erasure.erase import Eraser
from worker.keys import ScanId, scan_ids_in
from worker.ledger.opening import open_ledger
from worker.scans.status import read_status
from worker.storage.base import Storage

log = get_logger(__name__)

NAME: Final = "retention"
DAY_S: Final = 86_400.0
SLICE_S: Final = 10.0
THREADS: Final = 8
PAGE: Final = 1000  # folders of one listing
GROUP: Final = 16  # folders between two looks at the clock
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
    until = monotonic() + SLICE_S
    oldest = (clock or ledger.now)() - settings.retention_days * DAY_S
    eraser = Eraser(settings, scans, results, app)
    kept: str | None = cursor or ""
    erased = 0

    def is_old(scan_id: ScanId) -> bool:
        finished = _finished_at(results, scan_id)
        return finished is not None and finished < oldest

    with ThreadPoolExecutor(THREADS) as threads:
        for names in _groups(results, cursor or ""):
            if monotonic() > until:
                break
            scan_ids = list(scan_ids_in(names))
            answers = threads.map(is_old, scan_ids)
            old = [scan_id for scan_id, yes in zip(scan_ids, answers, strict=True) if yes]
            gone = set()
            for erasure in eraser.erase(old, reason="retention"):
                if not erasure.refused:
                    gone.add(erasure.scan_id)
                if erasure.left:
                    log.error("erased_in_part", left=erasure.left)
            erased += len(gone)
            # Keep no erased scan's id in the cursor.
            kept = next((name for name in reversed(names) if name not in gone), kept)
        else:
            kept = None
    ledger.set_cursor(NAME, kept)
    log.info("old_results_erased", erased=erased, finished=kept is None)
    return erased


def _groups(results: Storage, after: str) -> Iterator[list[str]]:
    """Yield the names of the folders after a name, some at a time."""
    while names := results.folders(after, PAGE):
        for start in range(0, len(names), GROUP):
            yield names[start : start + GROUP]
        after = names[-1]


def _finished_at(results: Storage, scan_id: ScanId) -> float | None:
    """Return when a scan was finished, in seconds of the epoch. None if a worker may still have it.

    Without a readable status, that is the time of its newest object.
    """
    status = read_status(results, scan_id)
    if status is not None:
        if not status.status.final:
            return None
        return (status.finished_at or status.updated_at).timestamp()
    found = [each.modified for each in results.objects(scan_id, MAX_OBJECTS) if each.modified is not None]
    return max(found, default=None)
