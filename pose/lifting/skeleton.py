"""A person's joints in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.checks import check_shape

_CHAINS: Final = (kp.LEFT_CHAIN, kp.RIGHT_CHAIN)


@dataclass(frozen=True, eq=False)
class Skeleton:
    """The 17 COCO joints in 3D, in the order of `keypoints.NAMES`.

    Attributes:
        joints: (17, 3) float64 metres, x, y, z in the world, y up and 0 at the floor. All are NaN if
            `measured` is False.
        scores: (17,) float64, of the 2D keypoints.
        distance_px: (17,) float64, |Δu| + |Δv| from the keypoint to the depth pixel that was used, in pixels
            of a picture 640 wide.
        observed: (17,) bool. False if there is no depth of the person at the keypoint, if another part of the
            body occludes the joint, if it is on the side of head or trunk that the camera does not see, if
            its bone would have an impossible length, or if the keypoint is outside the picture. The joint's
            position is then an estimate.
        floor: world y of the floor, or None if it is unknown. Then y counts from the origin of the world;
            lengths do not depend on it.
        gravity_known: whether y is up. False if the camera's pose is unknown; the axes are then the camera's.

    Raises:
        ValueError: an array is none, or has another shape.
    """

    joints: NDArray[np.float64]
    scores: NDArray[np.float64]
    distance_px: NDArray[np.float64]
    observed: NDArray[np.bool_]
    floor: float | None = 0.0
    gravity_known: bool = True

    def __post_init__(self) -> None:
        check_shape(self.joints, (kp.COUNT, 3), "joints")
        for name in ("scores", "distance_px", "observed"):
            check_shape(getattr(self, name), (kp.COUNT,), name)

    @property
    def measured(self) -> bool:
        """Whether any joint was observed."""
        return bool(self.observed.any())

    def lengths(self) -> tuple[float, float]:
        """Return the lengths in metres of the left and the right chain: eye, hip, knee, ankle."""
        return self._length(kp.LEFT_CHAIN), self._length(kp.RIGHT_CHAIN)

    @property
    def body_length(self) -> float:
        """The length of the longer chain in metres: the child's size without the top of the head."""
        return max(self.lengths())

    @property
    def reliable_length(self) -> float:
        """The length in metres of the longer chain, of those whose joints were all observed.

        If there is no such chain, it is the sum over both sides' segments: of each the mean of the observed
        ones, or of both if none was observed.
        """
        whole = [self._length(chain) for chain in _CHAINS if self.observed[list(chain)].all()]
        if whole:
            return max(whole)
        total = 0.0
        for (a, b), (c, d) in zip(*map(pairwise, _CHAINS), strict=True):
            sides = np.linalg.norm(self.joints[[a, c]] - self.joints[[b, d]], axis=1)
            observed = sides[self.observed[[a, c]] & self.observed[[b, d]]]
            total += float(observed.mean() if observed.size else sides.mean())
        return total

    @property
    def chain_observed(self) -> bool:
        """Whether all joints of at least one chain were observed."""
        return any(bool(self.observed[list(chain)].all()) for chain in _CHAINS)

    def _length(self, chain: Sequence[int]) -> float:
        points = self.joints[list(chain)]
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
