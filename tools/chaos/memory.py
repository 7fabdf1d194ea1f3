"""Check whether memory grows: the common slope of all processes over their lives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tools.chaos.fleet import Sample
from tools.chaos.judge import Check

# Seconds of a process's life that are left out: it loads its model, and libraries fill their caches. A child
# needs longer: memory that its first failures free is used again later.
PARENTS_WARM_UP_S: Final = 30.0
CHILDREN_WARM_UP_S: Final = 90.0
LEAST_S: Final = 30.0  # a process that lives for less after that is not counted
LEAST_MINUTES: Final = 1.5  # of all processes together; with less there is no verdict
MAX_SLOPE: Final = 2.0  # MiB a minute
NOISE: Final = 16.0  # MiB; a slope that comes to less counts as none
MAX_GROWTH: Final = 48.0  # MiB, of the process that grew most


@dataclass(frozen=True)
class Memory:
    """Memory of the parents or of the children.

    Attributes:
        processes: how many lived long enough to be counted.
        minutes: of all of them together.
        slope: MiB a minute, the same for all.
        growth: MiB, the largest difference between the last and the first third of a process's life.
        peak: MiB, of the largest process.
    """

    processes: int
    minutes: float
    slope: float
    growth: float
    peak: float


def measure(samples: Sequence[Sample]) -> Memory | None:
    """Return None if no process lived long enough."""
    series: dict[str, list[Sample]] = defaultdict(list)
    for each in samples:
        warm_up_s = CHILDREN_WARM_UP_S if each.child else PARENTS_WARM_UP_S
        if each.age_s >= warm_up_s and each.mib > 0:
            series[each.process].append(each)
    times, sizes, minutes, growths = [], [], 0.0, []
    long_enough = [
        lives for lives in series.values() if len(lives) >= 3 and lives[-1].age_s - lives[0].age_s >= LEAST_S
    ]
    for lives in long_enough:
        age = np.array([each.age_s for each in lives]) / 60
        mib = np.array([each.mib for each in lives])
        # Each process has its own size. The slope is common to all.
        times.append(age - age.mean())
        sizes.append(mib - mib.mean())
        minutes += float(age[-1] - age[0])
        third = len(lives) // 3
        growths.append(float(np.median(mib[-third:]) - np.median(mib[:third])))
    if not times:
        return None
    x, y = np.concatenate(times), np.concatenate(sizes)
    peak = max(each.mib for lives in long_enough for each in lives)
    return Memory(len(times), minutes, float(x @ y / (x @ x)), max(growths), peak)


def check_memory(samples: Sequence[Sample], child: bool) -> Check:
    """Return the check for the parents or for the children."""
    what = f"memory of {'children' if child else 'parents'}, MiB a minute"
    found = measure([each for each in samples if each.child is child])
    wanted = f"at most {MAX_SLOPE:g}"
    if found is None:
        return Check(what, wanted, "none lived for long enough")
    shown = (
        f"{found.slope:+.2f} over {found.minutes:.1f} min of {found.processes} processes,"
        f" at most {found.growth:+.0f} MiB, peak {found.peak:.0f} MiB"
    )
    if found.minutes < LEAST_MINUTES:
        return Check(what, wanted, f"too short to tell: {shown}")
    grows = found.slope > MAX_SLOPE and found.growth > NOISE
    wrong = grows or found.growth > MAX_GROWTH
    return Check(what, wanted, shown, (f"it grows: {shown}",) if wrong else ())


def as_csv(samples: Sequence[Sample]) -> str:
    """Return one line for each sample."""
    rows = (f"{each.process},{int(each.child)},{each.age_s:.1f},{each.mib:.1f}\n" for each in samples)
    return "process,child,age_s,mib\n" + "".join(rows)
