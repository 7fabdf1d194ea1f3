"""What the processes of a worker report to its parent: that they are ready, how attempts ended, their counts.

The parent makes a pipe before the pool forks. It decides from the reports whether the worker takes scans
(`worker.runtime.pause`), and whether it says that it is ready.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from worker.counters import add, kept

MAX_UNFIT: Final = 3  # so many processes in a row that cannot work: the worker takes no scans
MAX_FAILED: Final = 3  # so many attempts in a row that failed for reasons of the machine or a service
MAX_REASON: Final = 500
_SIZE: Final = 4096  # PIPE_BUF: a write of up to this size is never divided
_PIPE_BYTES: Final = 1024 * 1024  # each report takes 4096 of them; Linux gives everybody so much
_COUNTS: Final = "counts"  # a report that this module reads itself
_MAX_COUNTS: Final = 10  # of one report: it stays below _SIZE


class Kind(StrEnum):
    """What a process reports."""

    WAITS = "waits"  # it has loaded its model, and a storage cannot be used yet
    READY = "ready"  # it can take scans
    DONE = "done"  # a scan is finished
    FAILED = "failed"  # an attempt failed, and not for a reason of the scan
    UNFIT = "unfit"  # it cannot analyse the built-in scan, and ends


@dataclass(frozen=True)
class Report:
    """A report of a process. `reason` is for a person to read."""

    kind: Kind
    reason: str = ""


_pipe: tuple[int, int] | None = None
_parent: int | None = None


def open_reports() -> None:
    """Make the pipe, in the parent and before the fork."""
    global _pipe, _parent
    # O_DIRECT: each read returns one report as it was written.
    _pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC | os.O_DIRECT)
    with suppress(OSError):  # a smaller pipe does as well: counts wait until it has room
        fcntl.fcntl(_pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    _parent = os.getpid()


def is_replaceable() -> bool:
    """Return whether this is a process of a pool: if it ends, the parent starts another one."""
    return _parent not in (None, os.getpid())


def send_report(kind: Kind, reason: str = "") -> None:
    """Report to the parent. Do not block: if the pipe is full, the report is dropped."""
    if _pipe is not None:
        with suppress(OSError):
            os.write(_pipe[1], json.dumps([kind, reason[:MAX_REASON]]).encode()[:_SIZE])


def send_counts() -> None:
    """Hand the counts of this process to the parent, as many as the pipe has room for. Do not block."""
    counts = kept()
    while counts and _pipe is not None:
        part = counts[:_MAX_COUNTS]
        try:
            os.write(_pipe[1], json.dumps([_COUNTS, part]).encode())
        except OSError:  # it is full: they go with the next ones
            return
        del counts[: len(part)]


def wait_fd() -> int:
    """Return the descriptor that can be read when there are reports."""
    assert _pipe is not None
    return _pipe[0]


def read_reports() -> Iterator[Report]:
    """Yield the reports that nobody has read yet. Counts are added to those of this worker."""
    while _pipe is not None:
        try:
            data = os.read(_pipe[0], _SIZE)
        except BlockingIOError:
            return
        with suppress(ValueError):
            kind, content = json.loads(data)
            if kind == _COUNTS:
                add(content)
            else:
                yield Report(Kind(kind), content)


class Condition:
    """What the reports say about the worker.

    Attributes:
        unfit: Number of processes that could not work since a scan was finished.
        failed: Number of attempts since then that failed for reasons of the machine or a service.
        reason: Of the last of both.
    """

    def __init__(self) -> None:
        self.unfit = 0
        self.failed = 0
        self.reason = ""

    def add(self, report: Report) -> None:
        """Take one report into account."""
        match report.kind:
            case Kind.DONE:
                self.unfit = self.failed = 0
                self.reason = ""
            case Kind.UNFIT:
                self.unfit += 1
                self.reason = report.reason
            case Kind.FAILED:
                self.failed += 1
                self.reason = report.reason

    @property
    def problem(self) -> str | None:
        """Why the worker is not ready, for a person to read; None if it is."""
        if self.unfit >= MAX_UNFIT:
            return f"it takes no scans: {self.unfit} processes could not work, the last one: {self.reason}"
        if self.failed >= MAX_FAILED:
            return f"its last {self.failed} attempts failed: {self.reason}"
        return None


condition: Final = Condition()  # of this worker, kept by its parent process
