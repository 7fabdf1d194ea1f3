"""Workers and beat of a chaos run: start, watch, restart and measure them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.running import Running
from tools.chaos.settings import broken_file

LOOK_EVERY_S: Final = 0.25
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MIB: Final = 1024 * 1024


@dataclass
class Member:
    """A program that must always run, and its current process."""

    name: str
    command: tuple[str, ...]
    running: Running | None = None
    ended_by_us: bool = False
    all_of_it: list[Running] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """Memory of a process in MiB, `age_s` seconds after it was first seen."""

    process: str
    child: bool
    age_s: float
    mib: float


class Fleet:
    """`with Fleet(folder, environment) as fleet:`. A thread restarts members that end.

    Attributes:
        exits: names and exit codes of members that ended by themselves.
        samples: of memory, one every `sample_every_s` seconds.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], sample_every_s: float) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._sample_every_s = sample_every_s
        self._members: dict[str, Member] = {}
        self._born: dict[int, float] = {}
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self.exits: list[str] = []
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._stack.close()

    def add(self, name: str, *command: str) -> None:
        """Start `python -m …`."""
        with self._lock:
            self._members[name] = Member(name, command)
            self._start(self._members[name])

    def _start(self, member: Member) -> None:
        member.running = Running(member.command, self._folder, self._environment)
        member.all_of_it.append(self._stack.enter_context(member.running))
        member.ended_by_us = False
        self.counts["started"] += 1

    def children(self, name: str) -> list[int]:
        """Return the process ids of a member's children, without those of its earlier processes."""
        with self._lock:
            running = self._members[name].running
            return running.children() if running else []

    def kill_child(self, name: str, pid: int) -> None:
        """Kill a child with SIGKILL. A worker whose child ends before its model is loaded ends as well."""
        with self._lock, suppress(ProcessLookupError):
            self._members[name].ended_by_us |= not self.ready(name)
            os.kill(pid, signal.SIGKILL)

    def break_child(self, pid: int, fault: str) -> None:
        """Give a child a fault of the machine (`tools.chaos.app`) from its next scan on, until it ends."""
        (self._folder / broken_file(pid)).write_text(fault)

    def kill(self, name: str, whole: bool) -> None:
        """Kill a member with SIGKILL: the parent alone, or all its processes, as when a container ends."""
        self._end(name, signal.SIGKILL, whole)

    def terminate(self, name: str) -> None:
        """Stop a member with SIGTERM, as a rollout does."""
        self._end(name, signal.SIGTERM, whole=False)

    def _end(self, name: str, signum: int, whole: bool) -> None:
        with self._lock, suppress(ProcessLookupError):
            member = self._members[name]
            if member.running is not None and member.running.process.poll() is None:
                member.ended_by_us = True
                pid = member.running.process.pid
                (os.killpg if whole else os.kill)(pid, signum)

    def told(self, event: str) -> int:
        """Return how often all members together have logged an event."""
        logs = (each.log() for member in self._members.values() for each in member.all_of_it)
        return sum(log.count(f'"event": "{event}"') for log in logs)

    def ready(self, name: str) -> bool:
        """Return whether the member's current process has logged that it is ready."""
        running = self._members[name].running
        return running is not None and bool(running.events("worker_ready"))

    def alive(self) -> list[int]:
        """Return all processes of the members, including those of earlier starts."""
        return [pid for member in self._members.values() for each in member.all_of_it for pid in each.alive()]

    def finish(self, name: str, patience_s: float) -> int | None:
        """Stop a member for good. Return its exit code, or None if it did not end in time."""
        with self._lock:
            member = self._members[name]
            running, member.running = member.running, None
        if running is None:
            return 0
        running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while running.process.poll() is None and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        code = running.process.poll()
        if code is None:
            running.process.send_signal(signal.SIGABRT)  # then its log has a traceback of each thread
            running.process.wait()
        return code

    def _supervise(self) -> None:
        next_sample = 0.0
        while not self._stop.wait(LOOK_EVERY_S):
            with self._lock:
                for member in self._members.values():
                    self._look(member)
                if time.monotonic() >= next_sample:
                    next_sample = time.monotonic() + self._sample_every_s
                    self._measure()

    def _look(self, member: Member) -> None:
        if member.running is None or member.running.process.poll() is None:
            return
        if not member.ended_by_us:
            code = member.running.process.returncode
            lines = member.running.log().splitlines()[-3:]
            self.exits.append(f"{member.name} ended by itself with {code}: " + " | ".join(lines)[-1500:])
        self._start(member)

    def _measure(self) -> None:
        now = time.monotonic()
        for member in self._members.values():
            if member.running is None:
                continue
            parent = member.running.process.pid
            for pid in member.running.alive():
                mib = resident_mib(pid)
                born = self._born.setdefault(pid, now)
                self.samples.append(Sample(f"{member.name}:{pid}", pid != parent, now - born, mib))


def resident_mib(pid: int) -> float:
    """Return the MiB in memory; 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MIB
    except (OSError, IndexError):
        return 0.0
