"""The clock of a server that all workers share, as one process sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from worker.config.logs import get_logger
from worker.ledger.base import LedgerUnavailable

log = get_logger(__name__)

REFRESH_S: Final = 10.0
PAUSE_S: Final = 30.0  # after the server gave no answer, which takes seconds
MAX_SKEW_S: Final = 5.0  # a machine that is further off is told


class StoreClock:
    """Asks a server for its time now and then, and counts on from there.

    It may be used from several threads.

    Args:
        ask: Returns the time of the server, in seconds of the epoch. May raise LedgerUnavailable.
        monotonic: Returns seconds.
        local: Returns seconds of the epoch, by the clock of this machine.
    """

    def __init__(
        self,
        ask: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        local: Callable[[], float] = time.time,
    ) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._local = local
        self._offset: float | None = None  # of the server's time from `monotonic`
        self._next = monotonic()
        self._told = False
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time of the server. Without an answer, count on from its last one.

        Before its first answer, this is the time of this machine.
        """
        with self._lock:
            if self._monotonic() >= self._next:
                self._refresh()
            return self._local() if self._offset is None else self._monotonic() + self._offset

    def _refresh(self) -> None:
        before = self._monotonic()
        try:
            there = self._ask()
        except LedgerUnavailable:  # whoever uses the ledger next reports it
            self._next = self._monotonic() + PAUSE_S
            return
        after = self._monotonic()
        self._next = after + REFRESH_S
        self._offset = there - (before + after) / 2
        skew_s = self._local() - (self._monotonic() + self._offset)
        if abs(skew_s) <= MAX_SKEW_S:
            self._told = False
        elif not self._told:
            self._told = True
            log.warning("clock_skew", ahead_s=round(skew_s), cure="set the clock of this machine")
