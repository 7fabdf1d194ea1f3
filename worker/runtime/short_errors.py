"""Keep what a process tells its parent about a failed scan so short that it is written in one step.

Billiard sends an error with its frames: 50 to 60 kB for each retry. The parent reads such a message in parts.
If the process is killed meanwhile, or the connection to the broker is lost, Celery forgets the parts that
were read and takes the middle of the message for the begin of the next one. The worker ends with an
UnpicklingError. A message of up to PIPE_BUF bytes is written as a whole, so it is read as a whole.
"""

from __future__ import annotations

from typing import Any, Final

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback

MAX_TEXT: Final = 1000


def shorten_errors() -> None:
    """Let billiard send no frames from now on. The log of the process has the traceback."""
    ExceptionInfo.__getstate__ = _state


def _state(info: Any) -> dict[str, Any]:
    """Return what is sent of an error: the exception, its type, and the last line of the traceback."""
    error = info.exception.exc if isinstance(info.exception, ExceptionWithTraceback) else info.exception
    last_line = str(info.traceback or "").strip().rpartition("\n")[2]
    return {**info.__dict__, "exception": error, "tb": None, "traceback": last_line[:MAX_TEXT]}
