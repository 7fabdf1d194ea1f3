"""Give one input to a reader: it is accepted, refused correctly, or finds a fault."""

from __future__ import annotations

import hashlib
import time
import traceback
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.fuzz.targets import Target, check_text

CORPUS: Final = Path(__file__).parent / "corpus"
MAX_SECONDS: Final = 1.0  # of this process's own time, so that a busy machine does not count
MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Outcome:
    """An input's outcome.

    Attributes:
        kind: "taken", the type of the error that refused it, or the type of the fault.
        fault: what is wrong with the reader; None if nothing is.
        seconds: of processor time.
        mib: peak of what Python and NumPy allocated, if traced.
    """

    kind: str
    fault: str | None
    seconds: float
    mib: float | None = None


def examine(target: Target, data: bytes, *, traced: bool = False) -> Outcome:
    """Give an input to its reader.

    Args:
        target: the reader.
        data: the input.
        traced: whether to trace its memory, which is several times slower.
    """
    if traced:
        tracemalloc.start()
    before = time.process_time()
    try:
        kind, fault = _read(target, data)
        seconds = time.process_time() - before
        mib = tracemalloc.get_traced_memory()[1] / MIB if traced else None
    finally:
        tracemalloc.stop()
    if fault is None and mib is not None and mib > target.limit_mib:
        kind, fault = "memory", f"{mib:.0f} MiB, at most {target.limit_mib}"
    if fault is None and seconds > MAX_SECONDS and not traced:
        kind, fault = "time", f"{seconds:.1f} s, at most {MAX_SECONDS:g}"
    return Outcome(kind, fault, seconds, mib)


def _read(target: Target, data: bytes) -> tuple[str, str | None]:
    try:
        try:
            target.read(data)
        except target.refusals as error:
            check_text(error)
            return type(error).__name__, None
    except KeyboardInterrupt:
        raise
    # Everything else: a library in another language may raise something that is not an Exception.
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return type(error).__name__, f"{type(error).__name__} at {where}: {str(error)[:200]!a}"
    return "taken", None


def kept_inputs() -> list[tuple[str, Path]]:
    """Return targets and files of the inputs that found a fault."""
    return sorted((path.parent.name, path) for path in CORPUS.glob("*/*") if path.is_file())


def digest(data: bytes) -> str:
    """Return a short name for an input."""
    return hashlib.sha256(data).hexdigest()[:12]
