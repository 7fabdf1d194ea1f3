"""Whether memory grows: the slope of all processes' memory over their lives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tools.chaos.fleet import Sample
from tools.chaos.judge import Check

# Of a process's life: until then its model is loaded, and libraries take what they keep. A child's memory
# grows for longer, to what its first failures leave to be used again.
PARENTS_WARM_UP_S: Final = 30.0
CHILDREN_WARM_UP_S: Final = 90.0
LEAST_S: Final = 30.0  # after that, below which a process tells nothing
LEAST_MINUTES: Final = 1.5  # of all processes together, below which there is no verdict
MAX_SLOPE: Final = 2.0  # MiB a minute
NOISE: Final = 16.0  # MiB, by which a process may go up and down: a slope that comes to less is none
MAX_GROWTH: Final = 48.0  # MiB, of the one process that grew most


@dataclass(frozen=True)
class Memory:
    """Of one sort of processes.

    Attributes:
        processes: that lived for long enough to be counted.
        minutes: of all of them together.
        slope: MiB a minute, common to all.
        growth: MiB, the largest difference of a process's last third to its first.
        peak: MiB, of one process.
    """

    processes: int
    minutes: float
    slope: float
    growth: float
    peak: float


def measure(samples: Sequence[Sample]) -> Memory | None:
    """None where no process lived for long enough."""
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
        # Each process has a size of its own; what they have in common is how it changes.
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
    """A line of the table for parents, or for children."""
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
    """One line a sample, for whoever wants to look closer."""
    rows = (f"{each.process},{int(each.child)},{each.age_s:.1f},{each.mib:.1f}\n" for each in samples)
    return "process,child,age_s,mib\n" + "".join(rows)
