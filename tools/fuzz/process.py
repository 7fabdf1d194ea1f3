"""Run a target in its own process with a memory limit. If the process ends early, it crashed."""

from __future__ import annotations

import os
import random
import resource
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as hypothesis_seed

from tools.fuzz.examine import MIB, Outcome, digest, examine
from tools.fuzz.mutations import make_input
from tools.fuzz.targets import TOKENS, Target

TRACED_EVERY: Final = 40
_REPORT_EVERY: Final = 500
_MAX_FAULTS: Final = 20
_STARTS_WITHIN_S: Final = 120.0
# In addition to the cost of an input: allocator arenas and caches of libraries.
_ROOM_MIB: Final = 64
_size = os.open("/proc/self/statm", os.O_RDONLY)


@dataclass
class Tally:
    """Outcomes of a target's inputs.

    Attributes:
        inputs: their number.
        made_by_hypothesis: how many of them hypothesis made.
        numbered: the next number of those made from seeds.
        kinds: outcomes by kind.
        faults: for each kind of fault, a text and the file with the input.
        slowest: processor seconds, and the input.
        traced_mib: the largest peak among the inputs whose memory was traced.
    """

    inputs: int = 0
    made_by_hypothesis: int = 0
    numbered: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")
    traced_mib: float = 0.0


def inputs_of(target: Target, seed: int, numbers: range) -> Iterator[tuple[str, bytes]]:
    """The numbered inputs of a seed. Each depends on its number alone, so it can be made again."""
    for number in numbers:
        rng = random.Random(f"{seed}/{target.name}/{number}")
        yield str(number), make_input(rng, target.seeds, TOKENS)


@dataclass(frozen=True)
class Work:
    """The work of one process.

    Attributes:
        target: the reader's name.
        seed: equal seeds give equal inputs.
        mutated, invented: how many inputs from the target's seeds, and how many by hypothesis.
        keep_in: folder for inputs that find something.
        module: whose `TARGETS` has the target; each process imports it.
        hangs_after_s: without a report from the process, which reports every 500 inputs.
    """

    target: str
    seed: int
    mutated: int
    invented: int
    keep_in: Path
    module: str = "tools.fuzz.worker_targets"
    hangs_after_s: float = 120.0

    def load(self) -> Target:
        target: Target = import_module(self.module).TARGETS[self.target]
        return target


def run_target(work: Work, progress: Callable[[int], Any] = lambda done: None) -> Tally:
    """Examine all inputs of a target; call `progress` with the number done.

    An input that ends the process is a fault. A new process then continues from the last report, without that
    input.
    """
    context = get_context("spawn")
    number = context.Value("q", 0)
    tally, fatal = Tally(), set[int]()
    while True:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(work, tally, fatal, theirs, number), daemon=True)
        child.start()
        theirs.close()
        whole, wait_s = False, _STARTS_WITHIN_S
        try:
            while ours.poll(wait_s):
                tally, whole = ours.recv()
                progress(tally.inputs)
                wait_s = work.hangs_after_s
            child.kill()
            end = "hung"
        except EOFError:
            child.join()
            end = f"ended with code {child.exitcode}"
        child.join()
        if whole:
            return tally
        fatal.add(number.value)
        tally.inputs += 1
        made = inputs_of(work.load(), work.seed, range(number.value, min(number.value + 1, work.mutated)))
        data = b"".join(data for _, data in made)
        note_fault(tally, work, Outcome("crash", f"the process {end}", 0.0), data)
        if number.value >= work.mutated:  # made by hypothesis, so it cannot be skipped
            return tally


def note_fault(tally: Tally, work: Work, outcome: Outcome, data: bytes) -> None:
    """Count a fault, and keep the first input of its kind."""
    tally.kinds[f"! {outcome.kind}"] += 1
    text = outcome.fault or ""
    signature = outcome.kind if outcome.kind in ("time", "memory") else text.partition(": ")[0]
    if signature in tally.faults or len(tally.faults) >= _MAX_FAULTS:
        return
    path = work.keep_in / work.target / digest(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    tally.faults[signature] = f"{text} ({path})"


def _child(work: Work, tally: Tally, fatal: set[int], out: Connection, current: Any) -> None:
    _be_quiet()
    target = work.load()
    for each in target.seeds:  # libraries load and cache now, so that no input pays for it
        examine(target, each.data)
    out.send((tally, False))

    def take(which: str, data: bytes) -> None:
        tally.inputs += 1
        with _at_most(target.limit_mib + _ROOM_MIB):
            outcome = examine(target, data, traced=tally.inputs % TRACED_EVERY == 0)
        if outcome.mib is None:
            tally.slowest = max(tally.slowest, (outcome.seconds, which))
        else:
            tally.traced_mib = max(tally.traced_mib, outcome.mib)
        if outcome.fault is None:
            tally.kinds[outcome.kind] += 1
        else:
            note_fault(tally, work, outcome, data)
        if tally.inputs % _REPORT_EVERY == 0:
            out.send((tally, False))

    def take_invented(data: bytes) -> None:
        tally.made_by_hypothesis += 1
        take("hypothesis", data)

    numbers = [number for number in range(tally.numbered, work.mutated) if number not in fatal]
    for number in numbers:
        current.value = number
        tally.numbered = number + 1
        for which, data in inputs_of(target, work.seed, range(number, number + 1)):
            take(which, data)
    current.value = work.mutated
    _invent(target, work.seed, work.invented, take_invented)
    out.send((tally, True))
    out.close()


def _invent(target: Target, seed: int, count: int, take: Callable[[bytes], None]) -> None:
    if not count:
        return

    @hypothesis_seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(target.strategy)
    def each(data: bytes) -> None:
        take(data)

    each()


def _be_quiet() -> None:
    """Silence decoders, which write about each broken picture. Make each warning of NumPy a fault."""
    warnings.simplefilter("error")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    import cv2

    cv2.setNumThreads(1)


@contextmanager
def _at_most(mib: int) -> Iterator[None]:
    """Limit the growth of this process meanwhile; allocating more raises MemoryError."""
    pages = int(os.pread(_size, 32, 0).split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + mib * MIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
