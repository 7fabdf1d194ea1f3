"""How long the stages of an analysis take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Lap:
    """One run of a stage; its time is there when it has ended."""

    milliseconds: float = 0.0


class Stopwatch:
    """Adds up the milliseconds of named stages.

        watch = Stopwatch()
        with watch("lift"):
            ...
        watch.timings()  # {"lift": 4.1, "total": 5.0}

    Args:
        before: milliseconds of stages that were measured before; they count in the total.
        clock: seconds, of any origin.
    """

    def __init__(
        self, before: Mapping[str, float] | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._stages = dict(before or {})
        self._before = sum(self._stages.values())
        self._clock = clock
        self._started = clock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Lap]:
        """Measure a stage. One that is measured again is added up."""
        lap, started = Lap(), self._clock()
        yield lap
        lap.milliseconds = (self._clock() - started) * 1000
        self._stages[stage] = self._stages.get(stage, 0.0) + lap.milliseconds

    def timings(self) -> dict[str, float]:
        """Milliseconds of each stage, and the total since the watch was made."""
        total = (self._clock() - self._started) * 1000 + self._before
        return {name: round(value, 3) for name, value in {**self._stages, "total": total}.items()}
