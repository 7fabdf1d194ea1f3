"""Which error is final and which is tried again. The type decides, never a string in its message."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from billiard.exceptions import SoftTimeLimitExceeded

from worker.ledger.base import LedgerUnavailable
from worker.storage.base import ScanMissing, ScanTooLarge, StorageUnavailable

LONGEST_DELAY_S: Final = 60.0
TOO_LONG: Final = "it took longer than the time limit"


class ScanFailed(Exception):
    """A scan ended without a result. The text is the reason, for a person to read."""


class Quarantined(Exception):
    """Nobody is to work on this scan before a person has looked at it (`python -m worker replay`)."""


@dataclass(frozen=True)
class ErrorPolicy:
    """What to do about an error.

    Attributes:
        passing: trying again may help.
        expected: one of the errors that belong to this work; any other is a fault of ours.
        reason: for a person to read, with no name of a file and no secret.
    """

    passing: bool
    expected: bool
    reason: str


def classify_error(error: Exception) -> ErrorPolicy:
    """The policy for an error that ended an attempt."""
    from pose.errors import InvalidScan, PoseError
    from worker.models.out_of_memory import OutOfMemory

    match error:
        case InvalidScan() | ScanMissing() | ScanTooLarge():
            return ErrorPolicy(passing=False, expected=True, reason=str(error))
        case Quarantined():
            return ErrorPolicy(passing=False, expected=True, reason=str(error))
        case SoftTimeLimitExceeded():
            return ErrorPolicy(passing=False, expected=True, reason=TOO_LONG)
        case StorageUnavailable() | LedgerUnavailable() | OutOfMemory():
            return ErrorPolicy(passing=True, expected=True, reason=str(error))
        case MemoryError():
            # Of this machine at this moment; the error's own text tells what was to be made.
            return ErrorPolicy(passing=True, expected=True, reason="there is not enough memory at the moment")
        case PoseError():
            # The model or its device: broken here, but maybe not at the worker that takes it next.
            return ErrorPolicy(passing=True, expected=True, reason=str(error))
    # Its text may hold anything, so only its type is told; the log has the rest.
    return ErrorPolicy(passing=False, expected=False, reason=f"unexpected error: {type(error).__name__}")


def retry_delay_s(attempt: int, base_s: float, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait before attempt `attempt` (2, 3, …): doubled each time, between half and all of it.

    The jitter keeps scans that failed together from coming back together.
    """
    full = min(LONGEST_DELAY_S, base_s * 2.0 ** min(attempt - 2, 32))
    return full * (0.5 + 0.5 * jitter())
