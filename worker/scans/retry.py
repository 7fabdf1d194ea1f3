"""The retry policy: when a scan is tried again, and when it is given up.

Two things bring a scan back: a transient error, or another worker that holds its lock. The message carries a
`RetryState` from one attempt to the next. `worker.scans.failures` decides which errors are transient.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from worker.config.settings import Settings

HEADER: Final = "pose_tries"  # of a message
MAX_DELAY_S: Final = 60.0
MAX_LOCK_WAIT_S: Final = 5.0  # short: the other worker may finish at any moment
LOCK_MARGIN_S: Final = 30.0


@dataclass(frozen=True)
class RetryState:
    """What a message carries from one attempt to the next.

    Attributes:
        attempt: Number of this attempt, from 1. A message that only waits for a lock is no attempt.
        lock_waits: How often the message came back because another worker had the scan.
        first_failure: When the first attempt failed for a transient error, in seconds of the epoch.
        misses: How many attempts only found that files are missing. They count as no failures.
        first_missing: When the first of them did, in seconds of the epoch.
    """

    attempt: int = 1
    lock_waits: int = 0
    first_failure: float | None = None
    misses: int = 0
    first_missing: float | None = None

    def to_header(self) -> list[float | None]:
        """Return the state as it stands in the header of a message."""
        return [self.attempt, self.lock_waits, self.first_failure, self.misses, self.first_missing]

    @classmethod
    def from_header(cls, header: object) -> RetryState:
        """Return the state from the header of a message; a first attempt if the header is not valid.

        >>> RetryState.from_header([2, 0, 1700000000.0, 0, None])
        RetryState(attempt=2, lock_waits=0, first_failure=1700000000.0, misses=0, first_missing=None)
        """
        if not isinstance(header, list) or len(header) not in (3, 5):
            return cls()
        attempt, lock_waits, first_failure, misses, first_missing = (*header, 0, None)[:5]
        counts = (attempt, lock_waits, misses)
        if any(type(each) is not int or each < 0 for each in counts) or attempt <= misses:
            return cls()
        return cls(attempt, lock_waits, _time(first_failure), misses, _time(first_missing))


def _time(value: object) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


class RetryLater(Exception):
    """Raised when the message is to come again after `delay_s` seconds, and to carry `state`.

    `waits` is true if nothing went wrong: the scan waits for its files or its lock. `reason_class` is one of
    a few words, for the metrics.
    """

    reason_class = "unwritten"

    def __init__(self, reason: str, delay_s: float, state: RetryState, *, waits: bool = False) -> None:
        self.reason = reason
        self.delay_s = delay_s
        self.state = state
        self.waits = waits
        super().__init__(reason)


def retry_after_error(state: RetryState, reason: str, settings: Settings, now: float) -> RetryLater | None:
    """Return the next attempt after a transient error, or None after too many attempts or too long a time.

    Args:
        state: Of the attempt that failed.
        reason: Why it failed.
        settings: Of this process.
        now: Seconds of the epoch.
    """
    first_failure = _begin(state.first_failure, now)
    failures = state.attempt - state.misses
    delay_s = retry_delay_s(failures + 1, settings.retry_base_s)
    if failures >= settings.max_attempts or now + delay_s > first_failure + settings.retry_total_s:
        return None
    return RetryLater(reason, delay_s, replace(state, attempt=state.attempt + 1, first_failure=first_failure))


def retry_incomplete(
    state: RetryState, reason: str, settings: Settings, now: float, wait_s: float | None = None
) -> RetryLater | None:
    """Return the next look at a scan whose files are not all there, or None after `INCOMPLETE_S`.

    Args:
        state: Of the attempt that found it incomplete.
        reason: What is missing.
        settings: Of this process.
        now: Seconds of the epoch.
        wait_s: Seconds after which it may be complete, if that is known.
    """
    first = _begin(state.first_missing, now)
    left_s = first + settings.incomplete_s - now
    if left_s <= 0:
        return None
    delay_s = retry_delay_s(state.attempt + 1, settings.retry_base_s) if wait_s is None else wait_s
    later = replace(state, attempt=state.attempt + 1, misses=state.misses + 1, first_missing=first)
    return RetryLater(reason, min(delay_s, left_s), later, waits=True)


def _begin(known: float | None, now: float) -> float:
    """Return when something began; now if that is not known, or is of a clock that was ahead."""
    return now if known is None else min(known, now)


def retry_unwritten(state: RetryState, reason: str, settings: Settings) -> RetryLater:
    """Return the next try to write how a scan ended. There is no limit: its message is kept until then."""
    return RetryLater(reason, retry_delay_s(state.attempt + 1, settings.retry_base_s), state)


def retry_after_lock(state: RetryState, reason: str, settings: Settings) -> RetryLater | None:
    """Return the next try to get a lock, or None once its holder must have finished or lost it."""
    if state.lock_waits * MAX_LOCK_WAIT_S > settings.time_limit_s + settings.lock_ttl_s + LOCK_MARGIN_S:
        return None
    delay_s = min(MAX_LOCK_WAIT_S, 0.5 * 2.0 ** min(state.lock_waits, 16))
    return RetryLater(reason, delay_s, replace(state, lock_waits=state.lock_waits + 1), waits=True)


def retry_delay_s(attempt: int, base_s: float, jitter: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait before an attempt (2, 3, …): doubled each time, then 50 to 100 % of that.

    The jitter spreads scans that failed at the same moment.

    >>> [retry_delay_s(attempt, 2.0, jitter=lambda: 1.0) for attempt in (2, 3, 4, 20)]
    [2.0, 4.0, 8.0, 60.0]
    """
    full = min(MAX_DELAY_S, base_s * 2.0 ** min(attempt - 2, 32))
    return full * (0.5 + 0.5 * jitter())
