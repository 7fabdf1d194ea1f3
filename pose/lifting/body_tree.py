"""The body as a tree of its 17 joints: choose one of a few candidates for each joint at the least total cost.

The solution is exact, by dynamic programming from the leaves to the root. Felzenszwalb and Huttenlocher,
"Pictorial structures for object recognition", 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp

# Each joint with its parent, from the leaves to the root.
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


def choose(unary: Sequence[Costs], pairwise: Callable[[int, int], Costs]) -> list[int | None]:
    """Return the candidate of each joint such that the sum of all costs is the least.

    Args:
        unary: for each of the 17 joints the cost of each of its n candidates, (n,); n may be 0.
        pairwise: called with a joint and its parent, returns the cost of each pair of their candidates,
            (n of the joint, n of the parent).

    Returns:
        The index of the candidate of each joint, None for a joint without candidates. Such a joint splits
        the tree into parts that are independent of each other.

    >>> unary = [np.array([0.1, 0.2])] * 17
    >>> apart = np.array([[0, 10], [10, 0]])  # it costs 10 if a joint and its parent choose differently
    >>> unary[kp.NOSE] = np.array([9.0, 0.0])
    >>> set(choose(unary, lambda joint, parent: apart))
    {1}
    """
    total = [cost.copy() for cost in unary]
    best: dict[int, NDArray[np.intp]] = {}
    for joint, parent in PARENTS:
        if total[joint].size and total[parent].size:
            both = total[joint][:, None] + pairwise(joint, parent)
            best[joint] = both.argmin(axis=0)  # for each candidate of the parent
            total[parent] += both.min(axis=0)
    chosen: list[int | None] = [None] * kp.COUNT
    for joint, parent in ((ROOT, ROOT), *reversed(PARENTS)):
        if total[joint].size:
            of_parent = chosen[parent]
            linked = joint in best and of_parent is not None
            chosen[joint] = int(best[joint][of_parent]) if linked else int(total[joint].argmin())
    return chosen


def fill_missing(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values (17,) in which each NaN is replaced by the mean of its nearest neighbours in the tree.

    >>> fill_missing(np.array([1.0] + [np.nan] * 16)).tolist() == [1.0] * 17
    True
    """
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
