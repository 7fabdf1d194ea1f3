"""Look at one stored scan: is it to be sent, because it was lost or because its files have changed?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.keys import ScanId
from worker.ledger.base import Ledger
from worker.scans.completeness import ScanIncomplete, check_complete, digest_of
from worker.scans.retry import MAX_DELAY_S
from worker.scans.status import ScanStatus, read_status
from worker.scans.sweep_index import NO_DIGEST, short_digest
from worker.scans.tombstones import is_erased
from worker.scans.transfer import limits_of, list_scan, without_hidden
from worker.storage.base import ScanTooLarge, Storage, StorageUnavailable, StoredObject

log = get_logger(__name__)

# A deadline that is further away than the longest lease, and this, is of a machine whose clock is wrong.
SLACK_S: Final = 3600.0

DAY_S: Final = 86_400.0
# Files that come late mostly come soon: a scan is looked at again until it has been finished for so long.
SETTLED_S: Final = 3600.0

Found = tuple[ScanId, bool]  # the bool: the scan is finished, and its files have changed since


@dataclass(frozen=True)
class Look:
    """What is known about a scan after its status was read.

    Attributes:
        found: The scan is to be sent.
        digest: For the index: the scan is finished, and need not be looked at again.
        again_at: When to look at the scan again, in seconds of the epoch.
        error: Why it could not be looked at.
    """

    found: Found | None = None
    digest: int | None = None
    again_at: float | None = None
    error: StorageUnavailable | None = None


def longest_lease_s(settings: Settings) -> float:
    """Return how far away the deadline of a scan may be, in seconds."""
    queued = settings.queue_lease_s + max(MAX_DELAY_S, settings.incomplete_s)
    return max(queued, settings.time_limit_s + settings.lock_ttl_s) + SLACK_S


class Looker:
    """Looks at scans. It may be used from several threads.

    Args:
        settings: Of this process.
        ledger: Of this process.
        scans: Storage of scans.
        results: Storage of results.
        clock: Returns seconds of the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        scans: Storage,
        results: Storage,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._scans = scans
        self._results = results
        self._clock = clock

    def look(self, scan_id: ScanId) -> Look:
        """Look at a scan that is not open in the ledger."""
        try:
            status = read_status(self._results, scan_id)
            if status is None:
                return self._look_at_unknown(scan_id)
            if not status.status.final:
                return self._look_at_lost(status)
            age_s = self._clock() - (status.finished_at or status.updated_at).timestamp()
            if age_s < DAY_S and status.files is not None:
                look = self._compare(status, list_scan(self._scans, scan_id, limits_of(self._settings)))
                if look.digest is None:
                    return look
            if age_s < SETTLED_S:
                return Look(again_at=self._next_time())
            return Look(digest=short_digest(status.files))
        except ScanTooLarge:
            return Look(digest=NO_DIGEST)
        except StorageUnavailable as error:
            return self._failed(scan_id, error)

    def compare(self, scan_id: ScanId, files: Sequence[StoredObject]) -> Look:
        """Compare the files of a scan that the index knows, and that is not open, with those analysed.

        Args:
            scan_id: The scan.
            files: Its files, as the storage lists them.
        """
        try:
            status = read_status(self._results, scan_id)
            if status is None or status.files is None:
                return Look(digest=NO_DIGEST)
            if not status.status.final:
                return self._look_at_lost(status)
            return self._compare(status, without_hidden(files, scan_id))
        except StorageUnavailable as error:
            return self._failed(scan_id, error)

    def _look_at_unknown(self, scan_id: ScanId) -> Look:
        """Look at a scan without a status: it was never announced, or it was erased."""
        files = self._scans.objects(scan_id, self._settings.max_scan_files)
        if not files:
            return Look()
        if is_erased(self._results, scan_id):
            return Look(digest=NO_DIGEST)
        # Producers announce a scan after its files are stored.
        return self._overdue_after(
            scan_id, max(each.modified or 0.0 for each in files) + self._settings.queue_lease_s
        )

    def _look_at_lost(self, status: ScanStatus) -> Look:
        if status.lease_until is not None:
            deadline = status.lease_until.timestamp()
        else:
            deadline = status.updated_at.timestamp() + self._settings.queue_lease_s
        if 0 < deadline - self._clock() <= longest_lease_s(self._settings):
            self._ledger.set_deadline(status.scan_id, deadline)
            return Look()
        return self._overdue_after(status.scan_id, deadline)

    def _overdue_after(self, scan_id: ScanId, deadline: float) -> Look:
        ahead_s = deadline - self._clock()
        if ahead_s > longest_lease_s(self._settings):
            log.warning("lease_too_long", scan_id=scan_id, ahead_s=round(ahead_s))
        elif ahead_s > 0:
            return Look(again_at=deadline)
        return Look(found=(scan_id, False), again_at=self._next_time())

    def _compare(self, status: ScanStatus, files: Sequence[StoredObject]) -> Look:
        """Return a look with `digest` if the files are those that were analysed, or if there are none."""
        if not files or digest_of(files) == status.files:
            return Look(digest=short_digest(status.files))
        try:
            check_complete(self._scans, status.scan_id, files, self._settings.arrivals_quiet_s)
        except ScanIncomplete:  # its files are still coming
            return Look(again_at=self._next_time())
        return Look(found=(status.scan_id, True), again_at=self._next_time())

    def _failed(self, scan_id: ScanId, error: StorageUnavailable) -> Look:
        log.error("scan_not_looked_at", scan_id=scan_id, reason=str(error))
        return Look(again_at=self._next_time(), error=error)

    def _next_time(self) -> float:
        return self._clock() + self._settings.queue_lease_s
