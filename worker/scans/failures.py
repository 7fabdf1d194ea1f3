"""What an error says: whose fault it is, and so what happens to the scan.

The type of an error and where it was raised decide, never its text. A scan is at fault only if that is
proven: its files are not a valid scan, or two processes that work fail on it alike (`worker.scans.ending`).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Final

from billiard.exceptions import SoftTimeLimitExceeded

from worker.ledger.base import LedgerUnavailable
from worker.scans.completeness import ScanIncomplete
from worker.storage.base import ScanMissing, ScanTooLarge, StorageUnavailable
from worker.time_limit import TimeLimitReached

ALIKE: Final = 2  # a scan is called bad after it failed alike in so many processes that work
TOO_LONG: Final = "it took longer than the time limit"


class ScanFailed(Exception):
    """Raised when a scan ended without a result. The text is the reason, for a person to read.

    `reason_class` is one of a few words, for the metrics.
    """

    reason_class = "unknown"


class Quarantined(Exception):
    """Raised for a scan in quarantine. No worker takes it until a person runs `python -m worker replay`."""


class ProcessEnds(SystemExit):
    """Raised when this process ends and is replaced, and the message goes to another one.

    The parent puts the message back into the queue (`worker.runtime.request`).
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Fault(Enum):
    """Whose fault an error is."""

    SCAN = "proven to be the scan's: it fails"
    UPLOAD = "of whoever uploads the scan: it waits for its files, and fails after INCOMPLETE_S"
    SERVICE = "of a storage or Redis: the scan is tried again"
    MACHINE = "of this machine or this process: the process is checked, and the scan tried again"
    UNKNOWN = "not known: the process is checked, and the scan tried again by another one"


@dataclass(frozen=True)
class ErrorPolicy:
    """What to do about an error.

    Attributes:
        fault: Whose fault it is.
        reason: For a person to read. It holds no file name and no secret.
        kind: Two errors of one kind are the same failure: its type, and where it was raised.
    """

    fault: Fault
    reason: str
    kind: str = ""


def classify_error(error: BaseException) -> ErrorPolicy:
    """Return the policy for an error that ended an attempt.

    >>> classify_error(StorageUnavailable("the storage of results: it is full")).fault.name
    'SERVICE'
    """
    from pose.errors import InvalidScan, PoseError
    from worker.models.out_of_memory import OutOfMemory

    match error:
        case InvalidScan() | ScanTooLarge() | Quarantined():
            return ErrorPolicy(Fault.SCAN, str(error))
        case ScanMissing() | ScanIncomplete():
            return ErrorPolicy(Fault.UPLOAD, str(error))
        case TimeLimitReached(storage=str(name)):
            return ErrorPolicy(Fault.SERVICE, f"{name}: too slow, the time limit came first")
        case TimeLimitReached() | SoftTimeLimitExceeded():
            return ErrorPolicy(Fault.UNKNOWN, TOO_LONG, TOO_LONG)
        case StorageUnavailable() | LedgerUnavailable():
            if not has_descriptors():
                return ErrorPolicy(Fault.MACHINE, "the worker's process has too many open files")
            return ErrorPolicy(Fault.SERVICE, str(error))
        case OutOfMemory() | PoseError():
            # PoseError: the model or its device does not work here, but may work in another worker.
            return ErrorPolicy(Fault.MACHINE, str(error))
    reason = _reason_of_machine(error)
    if reason is not None:
        return ErrorPolicy(Fault.MACHINE, reason)
    # The text may hold anything, so report only the type. The log has the rest.
    name = type(error).__qualname__
    return ErrorPolicy(Fault.UNKNOWN, f"unexpected error: {name}", f"{name} in {_place(error)}")


def reason_class_of(error: BaseException, fault: Fault) -> str:
    """Return the class of the reason of an error: one of a few words, for the metrics.

    >>> reason_class_of(StorageUnavailable("the storage of results: it is full"), Fault.SERVICE)
    'storage'
    """
    from pose.errors import InvalidScan, PoseError

    match error:
        case InvalidScan():
            return "invalid"
        case ScanTooLarge():
            return "too_large"
        case Quarantined():
            return "quarantine"
        case ScanMissing() | ScanIncomplete():
            return "incomplete"
        case TimeLimitReached(storage=None) | SoftTimeLimitExceeded():
            return "time_limit"
        case StorageUnavailable() | TimeLimitReached():
            return "storage"
        case LedgerUnavailable():
            return "ledger"
        case PoseError():
            return "model"
    return fault.name.lower()


def has_descriptors() -> bool:
    """Return whether this process can open a file. Without that, each storage and Redis seem to be away."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def _reason_of_machine(error: BaseException) -> str | None:
    """Return what this machine lacks, or None if the error may have another reason."""
    import cv2
    import torch

    if isinstance(error, MemoryError) or (
        isinstance(error, cv2.error) and getattr(error, "code", None) == cv2.Error.StsNoMem
    ):
        # This machine may have more memory later. Do not repeat the text, which names what was allocated.
        return "there is not enough memory at the moment"
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU's memory is full"
    # After an error of a GPU, all further calls of the process to it fail as well.
    if isinstance(error, torch.AcceleratorError):
        return "the device of the model has failed"
    if isinstance(error, OSError):
        # All files are read through storages, which have errors of their own.
        return f"the worker's machine: {os.strerror(error.errno) if error.errno else type(error).__name__}"
    frame = _innermost_frame(error)
    if frame is not None and frame.f_code is threading.Thread.start.__code__:
        # Python raises a plain RuntimeError if a thread cannot be started.
        return "the worker's machine has no threads left"
    # So does torch if it lacks memory, or if a library of the GPU fails. The inputs of its networks have the
    # same shape in all scans, so no scan makes them fail.
    if type(error) is RuntimeError and frame is not None and _package_of(frame) in ("torch", "torchvision"):
        return "the model's network cannot be run at the moment"
    return None


def _innermost_frame(error: BaseException) -> FrameType | None:
    """Return the innermost frame of Python that an error came through."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else trace.tb_frame


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _place(error: BaseException) -> str:
    """Return the innermost function of this project that the error came through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        if _package_of(trace.tb_frame) in ("pose", "worker"):
            place = f"{trace.tb_frame.f_globals['__name__']}.{trace.tb_frame.f_code.co_qualname}"
        trace = trace.tb_next
    return place
