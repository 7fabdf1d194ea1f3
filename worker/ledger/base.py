"""The contract of a ledger: locks of scans, their crashes, and the deadlines of open scans.

The truth about a scan is in its `status.json`, not in the ledger. If a ledger loses everything, some scans
are processed twice, but none is lost.
"""

from __future__ import annotations

import functools
import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from worker.config.logs import get_logger
from worker.keys import ScanId

log = get_logger(__name__)

# Names of locks that are no valid scan ids: of who sends overdue scans, of who looks through storage, and of
# a beat that runs.
RECONCILER: Final = "*reconciler*"
SWEEPER: Final = "*sweeper*"
BEAT: Final = "*beat*"
LockName = ScanId | Literal["*reconciler*", "*sweeper*", "*beat*"]
CRASHES_KEPT_S: Final = 7 * 86_400.0  # how long crashes and quarantines are remembered
RENEWALS: Final = 3  # within the lifetime of a lock


class LedgerError(Exception):
    """Base of a ledger's errors. The text is for people, and contains no address and no password."""


class LedgerUnavailable(LedgerError):
    """The ledger is down or refuses access. The same call may succeed later."""


class LeaseLost(LedgerError):
    """Another worker may have the scan by now. Do not write anything more for it."""


class Ledger(Protocol):
    """State that is shared by all workers and all senders of scans. It may be used from several threads.

    A scan is open from the first `set_deadline` until `close`. An open scan is overdue once its deadline has
    passed; the reconciler then sends it again.

    All methods but `now` raise LedgerUnavailable if they cannot reach the ledger, after some seconds.
    """

    def now(self) -> float:
        """Return the time by the clock of the ledger's server, in seconds since the epoch.

        All times in the ledger, and all that are compared with them, are of this clock: the clock of a
        machine may be wrong. It is this machine's clock as long as the server was never reached.
        """

    def lock(self, scan_id: LockName) -> Lease | None:
        """Take the lock of a scan, or return None if another process has it.

        The lock renews itself until it is released.
        """

    def is_locked(self, scan_id: LockName) -> bool:
        """Return whether a process has the lock of a scan. It may be a process that has just died."""

    def release_lock(self, scan_id: LockName, owner: str) -> None:
        """Release the lock of a scan if it belongs to `owner` (see `lock_owner`), whose process has died."""

    def begin(self, scan_id: ScanId) -> int:
        """Record that work on a locked scan begins. Return how often it began before without an `end`.

        This is the number of crashes. It is counted in advance, because a process that dies cannot count.
        """

    def end(self, scan_id: ScanId) -> None:
        """Record that the work ended without a crash: the scan is done, has failed, or was handed back."""

    def quarantine(self, scan_id: ScanId, reason: str) -> None:
        """Forbid work on a scan until `release_quarantine`."""

    def quarantine_reason(self, scan_id: ScanId) -> str | None:
        """Return why a scan is in quarantine, or None if it is not."""

    def count_quarantined(self) -> int:
        """Return the number of scans in quarantine."""

    def release_quarantine(self, scan_id: ScanId) -> None:
        """Forget the crashes, the failures and the quarantine of a scan."""

    def add_failure(self, scan_id: ScanId, process: str, kind: str) -> int:
        """Record that work on a scan failed in a process (see `process_name`), for no known reason.

        Returns:
            In how many processes, this one included, the last failure was of this kind.
        """

    def has_failed(self, scan_id: ScanId, process: str) -> bool:
        """Return whether `add_failure` was called for this scan and this process."""

    def set_deadline(self, scan_id: ScanId, deadline: float) -> None:
        """Record that a scan is open, and overdue after `deadline` (see `now`)."""

    def open_scans(self, scan_ids: Sequence[ScanId], deadline: float, *, release: bool = False) -> None:
        """Record that scans are announced: open until `deadline`, and not to be cancelled any more.

        Args:
            scan_ids: The scans.
            deadline: As in `set_deadline`.
            release: Call `release_quarantine` for them too.
        """

    def close(self, scan_id: ScanId) -> None:
        """Record that a scan has its final status and that its final event was sent."""

    def ask_cancel(self, scan_id: ScanId) -> None:
        """Record that a scan is to be cancelled. The record is kept as long as crashes are."""

    def is_cancel_asked(self, scan_id: ScanId) -> bool:
        """Return whether a scan is to be cancelled."""

    def forget_cancel(self, scan_id: ScanId) -> None:
        """Record that a scan is cancelled, or is not to be cancelled any more."""

    def forget(self, scan_id: ScanId) -> int:
        """Remove all entries of a scan but its lock, and return how many there were.

        A cursor that stands at this scan goes back to the start.
        """

    def begins(self, name: str, every_s: float) -> bool:
        """Return whether a regular work may begin: False if it began less than `every_s` seconds ago."""

    def cursor(self, name: str) -> str | None:
        """Return where a regular work stopped: a scan id, "" for the start, or None if it reached its end."""

    def set_cursor(self, name: str, cursor: str | None) -> None:
        """Record where a regular work stopped."""

    def rest(self, name: str, seconds: float) -> None:
        """Let `begins` return False for so many seconds from now on."""

    def notes(self, name: str) -> bytes | None:
        """Return what `set_notes` was given by a regular work, or None."""

    def set_notes(self, name: str, notes: bytes) -> None:
        """Keep what a regular work is to know the next time."""

    def is_open(self, scan_id: ScanId) -> bool:
        """Return whether the scan is open."""

    def open_among(self, scan_ids: Sequence[ScanId]) -> set[ScanId]:
        """Return those of these scans that are open."""

    def overdue(self, now: float, limit: int = 1000) -> list[ScanId]:
        """Return at most `limit` open scans whose deadline has passed, the earliest deadline first."""

    def deadlines(self, before: float, limit: int, after: float = -math.inf) -> dict[ScanId, float]:
        """Return at most `limit` deadlines of open scans between two times, the earliest first."""

    def defer(self, deadlines: Mapping[ScanId, float], deadline: float) -> None:
        """Move the deadlines of scans, unless they are others by now than those that are given."""


class Lease:
    """A lock that this process holds. A thread renews it until `release()` or the end of a `with` block.

    Args:
        scan_id: the locked scan.
        ttl_s: lifetime of the lock after each renewal.
        renew: renews the lock in the ledger; returns False if another process has it. May raise
            LedgerUnavailable.
        release: deletes the lock in the ledger, if it still belongs to this process.
        asked_at: time on `clock` just before the lock was taken.
        clock: seconds; it must go on while this process is stopped.
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
        # Counted from before the request: the lock in the ledger ends later than this, never earlier.
        self._until = asked_at + ttl_s
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewed, name=f"lease-{scan_id}", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            # This machine has no thread left. Another worker is to have the scan at once.
            self._give_up()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release()

    def held(self) -> bool:
        """Return whether it is certain that no other process has the lock."""
        return not self._lost and self._clock() < self._until

    def check(self) -> None:
        """Raise LeaseLost if the lock is not held any more."""
        if not self.held():
            raise LeaseLost("the lock of the scan was lost: another worker may have it")

    def renew(self) -> None:
        """Renew the lock now. If the ledger is down, the lease stays valid until its time is up."""
        asked_at = self._clock()
        try:
            if self._renew():
                self._until = asked_at + self._ttl_s
            else:
                self._lost = True
        except LedgerError as error:
            log.warning("lease_not_renewed", scan_id=self.scan_id, reason=str(error))

    def release(self) -> None:
        """Release the lock. If the ledger is down, the lock ends when its time is up."""
        self._stop.set()
        self._thread.join(timeout=self._ttl_s / RENEWALS)
        self._give_up()

    def _give_up(self) -> None:
        if self._lost:
            return
        self._lost = True
        try:
            self._release()
        except LedgerError as error:
            log.warning("lease_not_released", scan_id=self.scan_id, reason=str(error))

    def _keep_renewed(self) -> None:
        while not self._stop.wait(self._ttl_s / RENEWALS) and not self._lost:
            self.renew()
            if not self.held():
                self._lost = True
                log.error("lease_lost", scan_id=self.scan_id)


# Made in the worker's main process and inherited by its children. In containers, process ids alone repeat.
_RUN: Final = uuid.uuid4().hex


def lock_owner(pid: int) -> str:
    """Return how the lock tokens of a process of this worker begin: PID namespace, run of the worker, PID."""
    return f"{_pid_namespace()}:{_RUN}:{pid}:"


def process_name(pid: int | None = None) -> str:
    """Return a name of a process of this worker, of this one by default, that no other process has."""
    return lock_owner(os.getpid() if pid is None else pid).rstrip(":")


def new_token() -> str:
    """Return a unique token for a lock of this process."""
    return f"{lock_owner(os.getpid())}{uuid.uuid4().hex}"


def has_died(token: str) -> bool:
    """Return whether the process that made a token is known to be dead. False for other PID namespaces."""
    namespace, _, pid, _ = token.split(":")
    return namespace == _pid_namespace() and not is_alive(int(pid))


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie.

    >>> is_alive(os.getpid())
    True
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


@functools.cache
def _pid_namespace() -> str:
    """Name the scope in which a process id is unique: this boot of this machine, and this PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"{uuid.getnode():x}"
