"""What a message asks for, what it carries from one try to the next, and what is answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from worker.keys import ScanId

HEADER: Final = "pose_tries"  # of a message


@dataclass(frozen=True)
class RetryState:
    """What a message carries from one try to the next.

    Attributes:
        attempt: 1 at first. Waiting for a scan that another has is none.
        waits: how often it waited.
        since: when the first attempt failed, seconds of the epoch.
    """

    attempt: int = 1
    waits: int = 0
    since: float | None = None

    def header(self) -> list[float | None]:
        """As it stands in a message."""
        return [self.attempt, self.waits, self.since]

    @classmethod
    def of(cls, header: object) -> RetryState:
        """From a message; what cannot be one is a first try."""
        if not isinstance(header, list) or len(header) != 3:
            return cls()
        attempt, waits, since = header
        if type(attempt) is not int or type(waits) is not int or min(attempt - 1, waits) < 0:
            return cls()
        known = isinstance(since, float) and math.isfinite(since)
        return cls(attempt, waits, since if known else None)


class RetryLater(Exception):
    """The scan is to come again, after `delay_s` seconds and with these `tries`."""

    def __init__(self, reason: str, delay_s: float, tries: RetryState) -> None:
        self.reason = reason
        self.delay_s = delay_s
        self.tries = tries
        super().__init__(reason)


@dataclass(frozen=True)
class Job:
    """What a message asks for.

    Attributes:
        force: analyse it anew though it is done.
        resent: sent because nobody seemed to have it; if it is done or failed by now, there is nothing to do.
    """

    scan_id: ScanId
    task_id: str | None = None
    force: bool = False
    resent: bool = False
    tries: RetryState = RetryState()
