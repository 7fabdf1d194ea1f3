"""Erase scans: their results, status, messages, events and all else that names them.

A tombstone stays (`worker.scans.tombstones`), so that nothing analyses the scan again while its own files are
stored. The event `scan.erased` is the only other thing that still names the scan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from celery import Celery

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.erasure.places import SharedPlaces
from worker.keys import ScanId
from worker.ledger.base import Lease
from worker.ledger.opening import open_ledger
from worker.scans.events import EventType, open_events
from worker.scans.tombstones import write_tombstone
from worker.storage.base import Storage

log = get_logger(__name__)

OBJECTS: Final = "objects and versions of results"
BATCH_SIZE: Final = 50  # scans that are erased together
MAX_PASSES: Final = 4  # the last one has to find nothing


@dataclass
class Erasure:
    """What became of one scan.

    Attributes:
        refused: A worker has the scan, so nothing was removed.
        removed: Numbers of what was removed, by its kind.
        left: What still names the scan or may do so, for a person to read. Empty if nothing does.
        scan_stored: The files of the scan itself are still stored.
    """

    scan_id: ScanId
    refused: bool = False
    removed: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)
    scan_stored: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing names the scan any more but its event."""
        return not self.refused and not self.left


class Eraser:
    """Erases scans, with a proof: it searches all places again until nothing is found there.

    Args:
        settings: Of this process.
        scans: Storage of scans, which is only looked at.
        results: Storage of results.
        app: The Celery app, for the queue and Celery's results.
    """

    def __init__(self, settings: Settings, scans: Storage, results: Storage, app: Celery) -> None:
        self._ledger = open_ledger(settings)
        self._events = open_events(settings)
        self._scans = scans
        self._results = results
        self._places = SharedPlaces(settings, app)

    def erase(self, scan_ids: Iterable[ScanId], reason: str) -> Iterator[Erasure]:
        """Erase scans, and yield what became of each.

        Args:
            scan_ids: The scans.
            reason: For the event: who or what wants it.

        Raises:
            StorageUnavailable: The storage of results cannot be used.
            LedgerUnavailable: The ledger, the queue, the events or Celery's results cannot be used.
        """
        waiting = list(dict.fromkeys(scan_ids))
        for start in range(0, len(waiting), BATCH_SIZE):
            with ExitStack() as leases:
                yield from self._erase_batch(waiting[start : start + BATCH_SIZE], leases, reason)

    def _erase_batch(self, scan_ids: Iterable[ScanId], leases: ExitStack, reason: str) -> Iterator[Erasure]:
        held: dict[ScanId, tuple[Lease, Erasure]] = {}
        for scan_id in scan_ids:
            lease = self._ledger.lock(scan_id)
            if lease is None:
                yield Erasure(scan_id, refused=True)
                continue
            held[scan_id] = (leases.enter_context(lease), Erasure(scan_id))
            # First, so that a message or an announcement that comes meanwhile finds it.
            write_tombstone(self._results, scan_id)
        for _ in range(MAX_PASSES):
            if not self._remove(held):
                break
        else:
            for _, erasure in held.values():
                erasure.left.append("something that names the scan still comes: is it still being announced?")
        for scan_id, (_, erasure) in held.items():
            erasure.left += self._places.unsearched()
            if not self._events.emit(EventType.ERASED, scan_id, reason=reason):
                erasure.left.append("the event scan.erased could not be sent: erase the scan again")
            erasure.scan_stored = bool(self._scans.objects(scan_id, 1))
            log.info("scan_erased", left=len(erasure.left))
            yield erasure

    def _remove(self, held: dict[ScanId, tuple[Lease, Erasure]]) -> bool:
        """Remove all that is found now. Return whether anything was."""
        if not held:
            return False
        found = False
        for scan_id, (lease, erasure) in held.items():
            lease.check()
            purged = self._results.purge(scan_id)
            erasure.removed[OBJECTS] += purged.removed
            erasure.left = [] if purged.problem is None else [purged.problem]
            found |= purged.removed > 0
        for kind, numbers in self._places.remove(frozenset(held)).items():
            for scan_id, (_, erasure) in held.items():
                erasure.removed[kind] += numbers[scan_id]
            found |= numbers.total() > 0
        return found
