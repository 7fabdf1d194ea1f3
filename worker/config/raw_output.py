"""Make log events of what is written to standard output and error without the logging.

Celery prints a banner, C libraries print warnings, Python prints tracebacks of threads. Where the log is
JSON, a program that reads it could not parse their lines.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

MAX_LINE: Final = 16 * 1024
FLUSH_S: Final = 1.0

Emit = Callable[[str, str], None]  # takes the name of the stream and a line


class RawOutput:
    """Replaces the descriptors 1 and 2 of this process, and of the processes that it starts, by pipes.

    A thread reads them. Lines that a process writes just before it crashes are kept, as this process reads
    them.

    Args:
        emit: Called for each line that is not empty, with "stdout" or "stderr".

    Attributes:
        stream: What was standard error before. The log goes there.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._saved = {1: os.dup(1), 2: os.dup(2)}
        self.stream: TextIO = io.TextIOWrapper(
            io.FileIO(self._saved[2], "w", closefd=False),
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        _flush()
        self._threads = [self._replace(1, "stdout"), self._replace(2, "stderr")]
        atexit.register(self.stop)

    def _replace(self, descriptor: int, name: str) -> threading.Thread:
        reader, writer = os.pipe()
        os.dup2(writer, descriptor)
        os.close(writer)
        # A child must not hold the reading end: it would wait for ever to write if this process was killed.
        os.register_at_fork(after_in_child=lambda: os.close(reader))
        thread = threading.Thread(target=self._read, args=(reader, name), name=f"raw-{name}", daemon=True)
        thread.start()
        return thread

    def _read(self, reader: int, name: str) -> None:
        with open(reader, "rb", closefd=False) as lines:
            while line := lines.readline(MAX_LINE):
                text = line.decode(errors="backslashreplace").strip()
                if text:
                    self._emit(name, text)

    def stop(self) -> None:
        """Give the descriptors back, after all that was written is told. A second call does nothing."""
        _flush()
        saved, self._saved = self._saved, {}
        for descriptor, before in saved.items():
            os.dup2(before, descriptor)
        if saved:
            for thread in self._threads:
                # A child that still runs keeps the pipe open.
                thread.join(FLUSH_S)


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
