"""The soft time limit of an attempt: it is heard wherever it strikes, and it is known what took the time.

Celery signals the limit, and its own handler raises an Exception. Libraries catch that: botocore takes it for
a broken connection and sends the request again, and the scan runs on until its process is killed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

SIGNAL: Final = signal.SIGUSR1


class TimeLimitReached(BaseException):
    """Raised when the soft time limit strikes. It is no Exception, so no library takes it for one of its own.

    Attributes:
        storage: The name of the storage that was being used; None if the scan was being analysed.
    """

    def __init__(self, storage: str | None = None) -> None:
        self.storage = storage
        super().__init__(storage)


class TimeLimit:
    """Hears the signal of the soft time limit, in a `with` block.

    It raises TimeLimitReached inside `interrupting()` only. A limit that strikes outside is raised when
    `interrupting()` or `check()` is next called, so it never strikes between a lock and its release.

    In a thread that is not the main one no signal can be heard, and Celery sends none.
    """

    def __init__(self) -> None:
        self._reached = False
        self._interrupting = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(SIGNAL, self._on_signal)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(SIGNAL, self._previous)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let the limit interrupt the block."""
        self._interrupting = True
        try:
            self.check()
            yield
        finally:
            self._interrupting = False

    def check(self) -> None:
        """Raise TimeLimitReached if the limit has struck.

        An exception of a signal handler can get lost, as Python drops what is raised in a destructor.
        """
        if self._reached:
            raise TimeLimitReached

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self._reached = True
        if self._interrupting:
            raise TimeLimitReached


@contextmanager
def blamed_on(storage: str) -> Iterator[None]:
    """Name the storage that is used in the block if the time limit strikes there."""
    try:
        yield
    except TimeLimitReached:
        raise TimeLimitReached(storage) from None
