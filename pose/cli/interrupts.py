"""Ctrl-C and SIGTERM end the command between two steps, never within one that writes results."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread when a signal asks the command to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


class Interrupts:
    """While entered, the first SIGINT, SIGTERM or SIGHUP raises `Interrupted`; later ones are ignored.

    A signal that the process ignores (as under `nohup`) remains ignored.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._held = False
        self._came: int | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # the only one that can set handlers
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                before = signal.getsignal(number)
                if before in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let the block end before a signal that comes within it is answered."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came is not None:
            raise Interrupted(self._came)

    def held(self, step: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does a step in `hold`."""

        def do() -> None:
            with self.hold():
                step()

        return do

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._came is None:
            self._came = number
            if not self._held:
                raise Interrupted(number)
