"""What the `pose` command writes to: two streams, and files that take their place once complete."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, cast

from rich.console import Console


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that prints texts as they are, each in one line."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters.

    >>> one_line("two\\nlines")
    'two lines'
    """
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))


def error_text(error: Exception) -> str:
    """Return an error's text in one line, without the number at the beginning of an OSError's.

    >>> error_text(OSError(28, "No space left on device"))
    'No space left on device'
    """
    if isinstance(error, OSError) and error.strerror:
        return one_line(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return one_line(str(error) or type(error).__name__)


class GuardedStream:
    """Standard output or error that does not stop the work when nobody reads it or its disk is full.

    Text after the first failure is dropped. A character that the encoding lacks is written as an escape.

    Attributes:
        error: why the stream could not be written, None if it could.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    @property
    def errors(self) -> str | None:
        return self._stream.errors

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> int:
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # What is still buffered must not fail again when Python ends.
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), self._stream.fileno())
        if sys.stdout is cast(Any, self):
            reason = error.strerror or type(error).__name__
            make_console(stderr=True).print(f"pose: standard output cannot be written: {reason}")


def guard_streams() -> None:
    """Guard standard output and error of this process. One that is closed becomes the null device."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
        setattr(sys, name, GuardedStream(stream))


class OutputFile:
    """A file that is written beside its place, under a hidden name, and takes its place at the end.

    Until then the file that was there before remains. It also remains if not all could be written, or if
    nothing was. A device or a pipe is written at once.

    Attributes:
        parts: the number of texts that were given to `write`.
        problem: one line on what could not be written, after `close`; None if all was.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be written there.
        """
        self._given = path
        self.parts = 0
        self.problem: str | None = None
        self._error: OSError | None = None
        self._pending = b""
        self._written = 0  # bytes
        self._whole = 0  # of them, those of texts that are written completely
        self._mode = path.stat().st_mode if path.exists() else None
        self._in_place = self._mode is not None and not stat.S_ISREG(self._mode)
        self._path = Path(os.path.realpath(path))  # a symbolic link remains one
        self._draft = path if self._in_place else self._path.with_name(f".{self._path.name}.{os.getpid()}")
        if self._mode is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        try:
            flags = os.O_WRONLY if self._in_place else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            self._file = os.open(self._draft, flags, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        if self._mode is not None and not self._in_place:
            with suppress(OSError):
                os.fchmod(self._file, stat.S_IMODE(self._mode))

    def write(self, text: str) -> None:
        """Write a text. What cannot be written now is tried again with the next one and at the end."""
        self.parts += 1
        self._pending += text.encode("utf-8", "backslashreplace")
        self._flush()

    def _flush(self) -> None:
        self._error = None
        try:
            while self._pending:
                count = os.write(self._file, self._pending)
                self._pending = self._pending[count:]
                self._written += count
            self._whole = self._written
        except OSError as error:
            self._error = error

    def close(self) -> None:
        """Put the file in its place."""
        self._flush()
        try:
            if not self._in_place:
                if self._pending:
                    os.ftruncate(self._file, self._whole)
                os.fsync(self._file)
        except OSError as error:
            self._error = error
        finally:
            os.close(self._file)
        if not self._in_place:
            self._put_in_place()
        elif self._error is not None:
            self.problem = f"{self._given}: {self._error.strerror}"

    def _put_in_place(self) -> None:
        rest = "nothing of it was written"
        try:
            if self._whole == 0 or (self._error is not None and self._mode is not None):
                if self._whole:
                    rest = f"it is as before, and what was written is in {self._draft.name}"
                else:
                    self._draft.unlink()
            else:
                rest = "it is not complete"
                os.replace(self._draft, self._path)
        except OSError as error:
            self._error = self._error or error
            rest = f"what was written is in {self._draft.name}"
        if self._error is not None:
            self.problem = one_line(f"{self._given}: {self._error.strerror}; {rest}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
