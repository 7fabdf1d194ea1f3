"""Measure how long the stages of an analysis take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Lap:
    """One run of a stage; its time is set when the stage ends."""

    milliseconds: float = 0.0


class Stopwatch:
    """Adds up the milliseconds of named stages.

    Args:
        earlier: milliseconds of stages that were measured before; the total includes them.
        clock: returns seconds, of any origin.

    >>> watch = Stopwatch({"estimate": 5.0}, clock=iter([0, 1, 3, 4]).__next__)
    >>> with watch("lift"):
    ...     pass
    >>> watch.timings()
    {'estimate': 5.0, 'lift': 2000.0, 'total': 4005.0}
    """

    def __init__(
        self, earlier: Mapping[str, float] | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._stages = dict(earlier or {})
        self._earlier = sum(self._stages.values())
        self._clock = clock
        self._started = clock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Lap]:
        """Measure a stage. Times of a repeated stage are added up."""
        lap, started = Lap(), self._clock()
        yield lap
        lap.milliseconds = (self._clock() - started) * 1000
        self._stages[stage] = self._stages.get(stage, 0.0) + lap.milliseconds

    def timings(self) -> dict[str, float]:
        """Return the milliseconds of each stage, and the total since the watch was made."""
        total = (self._clock() - self._started) * 1000 + self._earlier
        return {name: round(value, 3) for name, value in {**self._stages, "total": total}.items()}
