"""The scheduler of `celery -A worker beat`: of several beats, one sends the regular work.

It holds a lock in the ledger. If it ends, another beat takes the lock after `LOCK_TTL_S` at the latest. The
lock also says that a beat runs: `python -m worker doctor` and the metrics look for it.
"""

from __future__ import annotations

from typing import Any, Final

from celery.beat import Scheduler

from worker.config.logs import get_logger
from worker.config.settings import load_settings
from worker.ledger.base import BEAT, Lease, LedgerUnavailable
from worker.ledger.opening import open_ledger

log = get_logger(__name__)

STANDBY_S: Final = 5.0  # between two tries to take the lock


class LeaderScheduler(Scheduler):
    """Celery's scheduler, which sends nothing while another beat has the lock, or the ledger is away."""

    _lease: Lease | None = None
    _waits: str | None = None

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due. Return the number of seconds until the next call. See Celery."""
        waits = self._problem()
        if waits != self._waits:
            log.info("beat_leads") if waits is None else log.warning("beat_waits", reason=waits)
            self._waits = waits
        if waits is not None:
            return STANDBY_S
        return float(super().tick(*args, **options))

    def close(self) -> None:
        """Give up the lock. Celery calls this at the end."""
        if self._lease is not None:
            self._lease.release()
        super().close()

    def _problem(self) -> str | None:
        """Take or keep the lock. Return why this beat sends nothing, or None if it leads."""
        if self._lease is not None and self._lease.held():
            return None
        try:
            self._lease = open_ledger(load_settings()).lock(BEAT)
        except LedgerUnavailable as error:
            return str(error)
        return None if self._lease is not None else "another beat leads"
