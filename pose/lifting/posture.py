"""Standing or lying, from a skeleton in 3D.

The original system compares the eyes' height above the floor with the body's length. That needs the floor,
and calls a child who lies on a bed standing. Here every segment of the body votes with how steeply it
rises, and the head's height above the floor confirms or doubts them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.lifting.skeleton import Skeleton


class Posture(StrEnum):
    """How a child is placed in a scan."""

    STANDING = "standing"
    LYING = "lying"
    UNKNOWN = "unknown"


# A lower and an upper set of joints, and the weight of the segment between their middles.
_SEGMENTS: Final = (
    ((kp.LEFT_ANKLE, kp.RIGHT_ANKLE), kp.HEAD, 1.0),
    ((kp.LEFT_HIP, kp.RIGHT_HIP), (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), 1.0),
    ((kp.LEFT_HIP, kp.RIGHT_HIP), kp.HEAD, 1.0),
    ((kp.LEFT_KNEE,), (kp.LEFT_HIP,), 0.5),
    ((kp.RIGHT_KNEE,), (kp.RIGHT_HIP,), 0.5),
    ((kp.LEFT_ANKLE,), (kp.LEFT_KNEE,), 0.5),
    ((kp.RIGHT_ANKLE,), (kp.RIGHT_KNEE,), 0.5),
)  # fmt: skip
_ALL_WEIGHT: Final = sum(weight for *_, weight in _SEGMENTS)

# The share of its length by which a segment rises. A child held upright scores 0.9 and more, a lying one
# under 0.3; a sitting one, whose trunk rises and whose legs do not, falls between and is not told.
_STANDING_FROM: Final = 0.62
_LYING_TO: Final = 0.45
_MIDDLE: Final = (_STANDING_FROM + _LYING_TO) / 2
_SURE: Final = 0.3  # this far from the middle, nothing is left to doubt
_ENOUGH: Final = 0.3  # share of the segments' weight that must be observed


class PostureEstimate(str):
    """A posture and how sure it is. It is a `str` too, equal to "standing", "lying" or "unknown".

    Attributes:
        posture: a `Posture`.
        confidence: 0..1: the distance of the vote from undecided, times the share of the body that was
            observed. 0 for `unknown`.
        rise: mean share of its length by which a segment of the body rises, -1..1; None where too little
            was observed.
    """

    posture: Posture
    confidence: float
    rise: float | None

    def __new__(cls, posture: Posture, confidence: float = 0.0, rise: float | None = None) -> PostureEstimate:
        self = super().__new__(cls, posture.value)
        self.posture, self.confidence, self.rise = posture, confidence, rise
        return self

    def __repr__(self) -> str:
        return f"PostureEstimate({self.posture.value!r}, confidence={self.confidence:.2f}, rise={self.rise})"

    def __reduce__(self) -> tuple[type[PostureEstimate], tuple[Posture, float, float | None]]:
        return type(self), (self.posture, self.confidence, self.rise)


_UNKNOWN: Final = PostureEstimate(Posture.UNKNOWN)


def classify_posture(skeleton: Skeleton) -> PostureEstimate:
    """Whether a person stands or lies.

    Only observed joints vote. Neither the floor nor a complete body is needed, but the direction of
    gravity is: `unknown` where the camera's pose is, where less than a third of the body is observed, and
    where the body neither rises nor lies flat, as when a child sits.
    """
    if not skeleton.gravity_known:
        return _UNKNOWN
    votes: list[tuple[float, float]] = []
    for lower, upper, weight in _SEGMENTS:
        bottom, top = _middle(skeleton, lower), _middle(skeleton, upper)
        if bottom is None or top is None:
            continue
        length = float(np.linalg.norm(top - bottom))
        if length > 0.02:
            votes.append((float(top[1] - bottom[1]) / length, weight))
    weight = sum(weight for _, weight in votes)
    if weight < _ENOUGH * _ALL_WEIGHT:
        return _UNKNOWN
    rise = sum(vote * weight for vote, weight in votes) / weight
    if _LYING_TO < rise < _STANDING_FROM:
        return PostureEstimate(Posture.UNKNOWN, 0.0, rise)
    posture = Posture.STANDING if rise >= _STANDING_FROM else Posture.LYING
    sure = min(1.0, abs(rise - _MIDDLE) / _SURE) * min(1.0, weight / (0.9 * _ALL_WEIGHT))
    return PostureEstimate(posture, sure * _agreement(skeleton, posture), rise)


def _agreement(skeleton: Skeleton, posture: Posture) -> float:
    """1, or less where the head's height above the floor speaks against the vote."""
    head = _middle(skeleton, kp.HEAD)
    length = skeleton.body_length
    if skeleton.floor is None or head is None or not length > 0:
        return 1.0
    high = float(head[1]) / length > 0.5
    # A standing child's head is never low; a lying one's may be high, on a bed.
    if posture is Posture.STANDING:
        return 1.0 if high else 0.5
    return 0.8 if high else 1.0


def _middle(skeleton: Skeleton, joints: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Mean of those joints that were observed; None without any."""
    index = [joint for joint in joints if skeleton.observed[joint]]
    return skeleton.joints[index].mean(axis=0) if index else None
