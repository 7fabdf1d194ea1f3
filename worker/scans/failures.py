"""Which errors end a scan, and which are tried again. The type of an error decides, never its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from billiard.exceptions import SoftTimeLimitExceeded

from worker.ledger.base import LedgerUnavailable
from worker.storage.base import ScanMissing, ScanTooLarge, StorageUnavailable

TOO_LONG: Final = "it took longer than the time limit"


class ScanFailed(Exception):
    """Raised when a scan ended without a result. The text is the reason, for a person to read."""


class Quarantined(Exception):
    """Raised for a scan in quarantine. No worker takes it until a person runs `python -m worker replay`."""


@dataclass(frozen=True)
class ErrorPolicy:
    """What to do about an error.

    Attributes:
        transient: Another attempt may succeed.
        expected: The error belongs to this work. Any other error is a bug of ours.
        reason: For a person to read. It holds no file name and no secret.
    """

    transient: bool
    expected: bool
    reason: str


def classify_error(error: Exception) -> ErrorPolicy:
    """Return the policy for an error that ended an attempt.

    >>> classify_error(StorageUnavailable("the storage of results: it is full"))
    ErrorPolicy(transient=True, expected=True, reason='the storage of results: it is full')
    """
    from pose.errors import InvalidScan, PoseError
    from worker.models.out_of_memory import OutOfMemory

    match error:
        case InvalidScan() | ScanMissing() | ScanTooLarge() | Quarantined():
            return ErrorPolicy(transient=False, expected=True, reason=str(error))
        case SoftTimeLimitExceeded():
            return ErrorPolicy(transient=False, expected=True, reason=TOO_LONG)
        case MemoryError():
            # This machine may have more memory later. Do not repeat the text, which names what was allocated.
            return ErrorPolicy(
                transient=True, expected=True, reason="there is not enough memory at the moment"
            )
        case StorageUnavailable() | LedgerUnavailable() | OutOfMemory() | PoseError():
            # PoseError: the model or its device does not work here, but may work in another worker.
            return ErrorPolicy(transient=True, expected=True, reason=str(error))
    # The text may hold anything, so report only the type. The log has the rest.
    return ErrorPolicy(transient=False, expected=False, reason=f"unexpected error: {type(error).__name__}")
