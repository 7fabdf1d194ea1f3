"""A target's inputs in a process of its own, with a limit to its memory; its end tells of a crash."""

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
# Beside what the input may cost: arenas, and what libraries keep from one call to the next.
_ROOM_MIB: Final = 64
_size = os.open("/proc/self/statm", os.O_RDONLY)


@dataclass
class Tally:
    """What came of a target's inputs.

    Attributes:
        inputs: how many there were.
        made_by_hypothesis: how many of these hypothesis made.
        numbered: the number that comes next of those that were made from seeds.
        kinds: outcomes by kind.
        faults: a text, and the file with the input, for each kind of fault.
        slowest: processor seconds, and which input it was.
        traced_mib: largest peak of an input of those whose memory was looked at.
    """

    inputs: int = 0
    made_by_hypothesis: int = 0
    numbered: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")
    traced_mib: float = 0.0


def inputs_of(target: Target, seed: int, numbers: range) -> Iterator[tuple[str, bytes]]:
    """The numbered inputs of a seed. Each depends on its number alone, so that one can be made again."""
    for number in numbers:
        rng = random.Random(f"{seed}/{target.name}/{number}")
        yield str(number), make_input(rng, target.seeds, TOKENS)


@dataclass(frozen=True)
class Work:
    """What is to be examined.

    Attributes:
        target: the reader's name.
        seed: equal seeds give equal inputs.
        mutated, invented: how many inputs from the target's seeds, and how many by hypothesis.
        keep_in: folder for inputs that find something.
        module: whose `TARGETS` has the target; each process imports it.
        hangs_after_s: without word from the process, which speaks after each 500 inputs.
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
    """Examine all inputs of a target; `progress` is told how many there have been.

    An input that ends the process is a fault. Another process then goes on, without that input, from the last
    word of the one before.
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
        if number.value >= work.mutated:  # one of hypothesis, which cannot be left out
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
    for each in target.seeds:  # what libraries load and keep is none of an input's cost
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
    """Decoders write about each broken picture. A warning of NumPy is a fault: a number went wrong."""
    warnings.simplefilter("error")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    import cv2

    cv2.setNumThreads(1)


@contextmanager
def _at_most(mib: int) -> Iterator[None]:
    """Let this process grow by no more meanwhile: what asks for more gets a MemoryError."""
    pages = int(os.pread(_size, 32, 0).split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + mib * MIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
