"""A person's joints in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp

_CHAINS: Final = (kp.LEFT_CHAIN, kp.RIGHT_CHAIN)


@dataclass(frozen=True, eq=False)
class Skeleton:
    """The 17 COCO joints in 3D, in the order of `keypoints.NAMES`.

    Attributes:
        joints: (17, 3) float64 metres, x, y, z of the world, y up and counted from the floor. NaN only
            where `measured` is False.
        scores: (17,) float64, of the 2D keypoints.
        distance_px: (17,) float64, |Δu| + |Δv| from the keypoint to the depth that was used, in pixels of
            a picture 640 wide.
        observed: (17,) bool. False where there is no depth of the person at the keypoint, where another
            part of the body hides the joint, where its bone would be of a length that nobody has, and
            where the keypoint lies outside the picture. The joint is then a guess.
        floor: world y of the floor; None where it is not known. Then y is the height above the world's
            origin, and lengths are right all the same.
        gravity_known: whether y is up. False where the camera's pose is unknown; axes are the camera's.
    """

    joints: NDArray[np.float64]
    scores: NDArray[np.float64]
    distance_px: NDArray[np.float64]
    observed: NDArray[np.bool_]
    floor: float | None = 0.0
    gravity_known: bool = True

    @property
    def measured(self) -> bool:
        """Whether any joint was observed. All are NaN otherwise."""
        return bool(self.observed.any())

    def lengths(self) -> tuple[float, float]:
        """Lengths in metres of the chains eye, hip, knee, ankle, left and right, as straight segments."""
        return self._length(kp.LEFT_CHAIN), self._length(kp.RIGHT_CHAIN)

    @property
    def body_length(self) -> float:
        """The longer chain in metres. What stands for a child's size, without the top of the head."""
        return max(self.lengths())

    @property
    def reliable_length(self) -> float:
        """The longer of those chains that were wholly observed.

        Where neither was, the chain is made of the segments of both sides: the mean of those that were
        observed, else the shorter one. A joint that was guessed can make its chain far too long, and the
        longer of two would take the errors of both.
        """
        whole = [self._length(chain) for chain in _CHAINS if self.observed[list(chain)].all()]
        if whole:
            return max(whole)
        total = 0.0
        for (a, b), (c, d) in zip(*map(pairwise, _CHAINS), strict=True):
            sides = np.linalg.norm(self.joints[[a, c]] - self.joints[[b, d]], axis=1)
            seen = sides[self.observed[[a, c]] & self.observed[[b, d]]]
            total += float(seen.mean() if seen.size else sides.min())
        return total

    @property
    def chain_observed(self) -> bool:
        """Whether all joints of at least one of the two chains were observed."""
        return any(bool(self.observed[list(chain)].all()) for chain in _CHAINS)

    def _length(self, chain: Sequence[int]) -> float:
        points = self.joints[list(chain)]
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
