"""Who works on a scan, how often it has killed a process, and until when somebody answers for it.

None of this is the truth about a scan, which stands in its `status.json`: a ledger that lost everything costs
work that is done twice, and no scan.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from worker.config.logs import get_logger
from worker.keys import ScanId

log = get_logger(__name__)

RECONCILER: Final = "*reconciler*"  # the name of its lock; no scan can have it
LockName = ScanId | Literal["*reconciler*"]
KEPT_S: Final = 7 * 86_400.0  # how long deaths are remembered
RENEWALS: Final = 3  # within the life of a lock


class LedgerError(Exception):
    """The text is for a person to read, and holds no address and no password."""


class LedgerUnavailable(LedgerError):
    """It is away, or refuses us. It may do the same later."""


class LeaseLost(LedgerError):
    """Somebody else may be at work on the scan by now. What is not written yet must not be written."""


class Ledger(Protocol):
    """Shared by all workers, and by all who send scans. Safe to use from several threads.

    All methods raise LedgerUnavailable when it is away, after some seconds at most.
    """

    def lock(self, scan_id: LockName) -> Lease | None:
        """Take a scan for oneself; None where another has it. It renews itself until it is released.

        The one name that is no scan id and may be locked is RECONCILER.
        """
        ...

    def release_lock(self, scan_id: LockName, owner: str) -> None:
        """Let go of a lock whose owner (see `lock_owner`) has died."""
        ...

    def begin(self, scan_id: ScanId) -> int:
        """Note, with the lock held, that heavy work begins. Gives the number of times it ended without `end`.

        That is how often this scan took a process with it: counted before, as a dead process counts nothing.
        """
        ...

    def end(self, scan_id: ScanId) -> None:
        """Note that what `begin` told of came to an orderly end: done, failed, or given back."""
        ...

    def quarantine(self, scan_id: ScanId, reason: str) -> None:
        """Let nobody work on a scan any more, until it is pardoned."""
        ...

    def quarantine_reason(self, scan_id: ScanId) -> str | None:
        """Why a scan was set aside; None if it was not."""
        ...

    def release_quarantine(self, scan_id: ScanId) -> None:
        """Forget its deaths, and that it was set aside."""
        ...

    def set_deadline(self, scan_id: ScanId, deadline: float) -> None:
        """Note that somebody answers for an open scan until then (seconds of the epoch)."""
        ...

    def close(self, scan_id: ScanId) -> None:
        """Note that a scan has its final status, and that its end is told."""
        ...

    def is_open(self, scan_id: ScanId) -> bool:
        """Whether it was announced and not closed since."""
        ...

    def overdue(self, now: float, limit: int = 1000) -> list[ScanId]:
        """Open scans for which nobody answers any more, the longest first."""
        ...


class Lease:
    """A lock that is held and renews itself in a thread: `with lease:`, or `release()` at the end.

    Args:
        scan_id: what is locked.
        ttl_s: how long the lock lives after a renewal.
        renew: renews it; False if it is another's by now. May raise LedgerUnavailable.
        release: gives it up, if it is still ours.
        clock: seconds, also while this process is stopped.
    """

    def __init__(
        self,
        scan_id: str,
        ttl_s: float,
        renew: Callable[[], bool],
        release: Callable[[], None],
        asked_at: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scan_id = scan_id
        self._ttl_s = ttl_s
        self._renew = renew
        self._release = release
        self._clock = clock
        # From the moment at which we asked: the lock itself can only live longer.
        self._until = asked_at + ttl_s
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{scan_id}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release()

    def held(self) -> bool:
        """Whether nobody else can have it yet."""
        return not self._lost and self._clock() < self._until

    def check(self) -> None:
        """Raises: LeaseLost."""
        if not self.held():
            raise LeaseLost("the lock of the scan was lost: another worker may have it")

    def renew(self) -> None:
        """Renew it now. A ledger that is away is asked again, until the lock's time is up."""
        asked_at = self._clock()
        try:
            if self._renew():
                self._until = asked_at + self._ttl_s
            else:
                self._lost = True
        except LedgerError as error:
            log.warning("lease_not_renewed", scan_id=self.scan_id, reason=str(error))

    def release(self) -> None:
        """Give it up. Where the ledger is away it ends by itself."""
        self._stop.set()
        self._thread.join(timeout=self._ttl_s / RENEWALS)
        if self._lost:
            return
        self._lost = True
        try:
            self._release()
        except LedgerError as error:
            log.warning("lease_not_released", scan_id=self.scan_id, reason=str(error))

    def _keep(self) -> None:
        while not self._stop.wait(self._ttl_s / RENEWALS) and not self._lost:
            self.renew()
            if not self.held():
                self._lost = True
                log.error("lease_lost", scan_id=self.scan_id)


# Made in the parent, and the same in its children: in containers, process ids alone are the same everywhere.
_RUN: Final = uuid.uuid4().hex


def lock_owner(pid: int) -> str:
    """What the locks of a process of this worker begin with: place, run of the worker, process id."""
    return f"{_place()}:{_RUN}:{pid}:"


def has_died(token: str) -> bool:
    """Whether the process that took a lock is known to be gone; False where that cannot be told from here."""
    place, _, pid, _ = token.split(":")
    return place == _place() and not is_alive(int(pid))


def is_alive(pid: int) -> bool:
    """Whether a process of this machine still does something; one that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


@functools.cache
def _place() -> str:
    """Where a process id means one process: this start of this machine, and this namespace of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"{uuid.getnode():x}"


def new_token() -> str:
    """Whose a lock is: of this process, and no other lock's."""
    return f"{lock_owner(os.getpid())}{uuid.uuid4().hex}"
