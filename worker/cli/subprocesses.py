"""Commands that run beside this process. None of them outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, NoReturn, Self

GRACE_S: Final = 10.0
POLL_S: Final = 0.05


class CommandFailed(Exception):
    """Raised when a command ended with an error, or too early. The text names it and shows its last lines."""


class Stopped(Exception):
    """Raised after Ctrl-C, when the terminal was closed, or when this process is asked to end."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"Stopped by {signal.Signals(signum).name}")


class StopRequests:
    """Notes a request to stop. `check` raises it as `Stopped`.

    A handler that raised at once could strike after a process was started and before its id is known. And a
    second Ctrl-C would interrupt the clean-up.
    """

    SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._signum: int | None = None

    def __enter__(self) -> Self:
        # Set SIGINT too: a shell starts its background jobs with SIGINT ignored.
        self._before = {signum: signal.signal(signum, self._note) for signum in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._signum = signum

    def check(self) -> None:
        """Raise `Stopped` if a signal came."""
        if self._signum is not None:
            raise Stopped(self._signum)


@dataclass(frozen=True)
class Command:
    """A command that was started. Its output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check_alive(self) -> None:
        """Raise `CommandFailed` if the command has ended."""
        code = self._exit_code()
        if code is not None:
            self._fail(code)

    def ended_well(self) -> bool:
        """Return whether the command has ended. Raise `CommandFailed` if it ended with an error."""
        code = self._exit_code()
        if code:
            self._fail(code)
        return code == 0

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End the command and all processes that it started: with SIGTERM, after `grace_s` with SIGKILL."""
        if self._exit_code() is None:
            # Only the command gets SIGTERM. It ends its children itself, in the order that they need.
            os.kill(self.process.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace_s
            while self._exit_code() is None and time.monotonic() < deadline:
                time.sleep(POLL_S)
        if self.process.returncode is None:
            # Its children may still run, even if the command has ended.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _exit_code(self) -> int | None:
        """Return the exit code, or None while the command runs.

        Do not reap the process, as `Popen.poll` does: another process could get its id, and `stop` would kill
        that one.
        """
        if self.process.returncode is not None:
            return self.process.returncode
        info = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return None
        return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status

    def _fail(self, code: int) -> NoReturn:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        shown = "\n".join(f"  {line}" for line in lines)
        raise CommandFailed(f"`{self.name}` ended with exit code {code}:\n{shown}")


class Commands:
    """Starts commands in `folder`. At the end of the `with` block all are ended, the last one first."""

    def __init__(self, folder: Path, environment: Mapping[str, str], stop_requests: StopRequests) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._stop_requests = stop_requests
        self._running: list[Command] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for command in reversed(self._running):
            command.stop()

    def start(self, name: str, arguments: list[str], log: str) -> Command:
        """Start a program. Its output goes to the file `log` in the folder.

        The program gets a session of its own. Without that, Ctrl-C would go to all processes of the terminal
        at once; so this process ends them itself, in order.
        """
        path = self._folder / log
        with path.open("ab") as output:
            process = subprocess.Popen(
                arguments,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        command = Command(name, process, path)
        self._running.append(command)
        return command

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until `until()` is true. Raise `Stopped` after a signal, and what `until` raises."""
        while not until():
            self._stop_requests.check()
            time.sleep(POLL_S)
        self._stop_requests.check()
