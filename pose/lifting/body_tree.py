"""The body as a tree of 17 joints: of a few choices for each, those that cost the least together.

Exact, by dynamic programming from the outside inwards (Felzenszwalb and Huttenlocher, "Pictorial structures
for object recognition", 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp

# A joint and the one that it hangs on, from the outside inwards.
PARENTS: Final = (
    (kp.LEFT_EAR, kp.LEFT_EYE), (kp.RIGHT_EAR, kp.RIGHT_EYE),
    (kp.LEFT_EYE, kp.NOSE), (kp.RIGHT_EYE, kp.NOSE), (kp.NOSE, kp.LEFT_SHOULDER),
    (kp.LEFT_WRIST, kp.LEFT_ELBOW), (kp.LEFT_ELBOW, kp.LEFT_SHOULDER),
    (kp.RIGHT_WRIST, kp.RIGHT_ELBOW), (kp.RIGHT_ELBOW, kp.RIGHT_SHOULDER),
    (kp.LEFT_ANKLE, kp.LEFT_KNEE), (kp.LEFT_KNEE, kp.LEFT_HIP), (kp.LEFT_HIP, kp.LEFT_SHOULDER),
    (kp.RIGHT_ANKLE, kp.RIGHT_KNEE), (kp.RIGHT_KNEE, kp.RIGHT_HIP), (kp.RIGHT_HIP, kp.RIGHT_SHOULDER),
    (kp.RIGHT_SHOULDER, kp.LEFT_SHOULDER),
)  # fmt: skip
ROOT: Final = kp.LEFT_SHOULDER

Costs = NDArray[np.float64]


def choose(costs: Sequence[Costs], of_pair: Callable[[int, int], Costs]) -> list[int | None]:
    """The choice of each joint, so that the sum of all costs is the least.

    Args:
        costs: for each joint that of each of its choices, (n,); n may be 0.
        of_pair: of_pair(joint, parent) gives (n of joint, n of parent), what both together cost more.

    Returns:
        The index of each joint's choice; None for joints without any. Those cut the tree.
    """
    total = [cost.copy() for cost in costs]
    best: dict[int, NDArray[np.intp]] = {}
    for joint, parent in PARENTS:
        if total[joint].size and total[parent].size:
            both = total[joint][:, None] + of_pair(joint, parent)
            best[joint] = both.argmin(axis=0)  # for each choice of the parent
            total[parent] += both.min(axis=0)
    chosen: list[int | None] = [None] * kp.COUNT
    for joint, parent in ((ROOT, ROOT), *reversed(PARENTS)):
        if total[joint].size:
            above = chosen[parent]
            linked = joint in best and above is not None
            chosen[joint] = int(best[joint][above]) if linked else int(total[joint].argmin())
    return chosen


def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (17,) with those that are NaN taken from their neighbours in the tree, the nearest first."""
    values = values.copy()
    while (missing := np.isnan(values)).any() and not missing.all():
        total, count = np.zeros(kp.COUNT), np.zeros(kp.COUNT)
        for a, b in PARENTS:
            for joint, other in ((a, b), (b, a)):
                if missing[joint] and not missing[other]:
                    total[joint] += values[other]
                    count[joint] += 1
        values = np.where(count > 0, total / np.maximum(count, 1), values)
    return values
