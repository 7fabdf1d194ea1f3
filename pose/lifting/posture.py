"""Classify the posture, standing or lying, from a 3D skeleton.

The original system compares the eyes' height above the floor with the body's length. That needs the floor,
and classifies a child who lies on a bed as standing. Here each segment of the body votes with how steeply it
rises, and the head's height above the floor can lower the confidence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.checks import check_type
from pose.lifting.skeleton import Skeleton


class Posture(StrEnum):
    """The posture of a child in a scan."""

    STANDING = "standing"
    LYING = "lying"
    UNKNOWN = "unknown"


# Segments: the lower joints, the upper joints, and the weight of the segment between their means.
_SEGMENTS: Final = (
    ((kp.LEFT_ANKLE, kp.RIGHT_ANKLE), kp.HEAD, 1.0),
    ((kp.LEFT_HIP, kp.RIGHT_HIP), (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), 1.0),
    ((kp.LEFT_HIP, kp.RIGHT_HIP), kp.HEAD, 1.0),
    ((kp.LEFT_KNEE,), (kp.LEFT_HIP,), 0.5),
    ((kp.RIGHT_KNEE,), (kp.RIGHT_HIP,), 0.5),
    ((kp.LEFT_ANKLE,), (kp.LEFT_KNEE,), 0.5),
    ((kp.RIGHT_ANKLE,), (kp.RIGHT_KNEE,), 0.5),
)  # fmt: skip
_TOTAL_WEIGHT: Final = sum(weight for *_, weight in _SEGMENTS)

# The mean rise of the segments, as a share of their length: 0.9 or more for a child held upright, below 0.3
# for a lying one. A sitting child, whose trunk rises but not the legs, is in between: its posture is unknown.
_MIN_STANDING: Final = 0.62
_MAX_LYING: Final = 0.45
_UNDECIDED: Final = (_MIN_STANDING + _MAX_LYING) / 2
_FULL_CONFIDENCE: Final = 0.3  # distance of the rise from undecided at which the confidence is 1
_MIN_OBSERVED: Final = 0.3  # share of the segments' weight


class PostureEstimate(str):
    """A posture with its confidence. It is also a `str`: "standing", "lying" or "unknown".

    Attributes:
        posture: a `Posture`.
        confidence: 0..1: how far the rise is from undecided, times the share of the body that was observed.
            0 for `unknown`.
        rise: the mean rise of the segments of the body as a share of their length, -1..1; None if too few
            were observed.

    >>> PostureEstimate(Posture.LYING, 0.8) == "lying"
    True
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
    """Return whether a person stands or lies.

    Only observed joints count. The floor and a complete body are not needed, but the direction of gravity is.
    The posture is `unknown` if the camera's pose is unknown, if less than a third of the body was observed,
    or if the body is neither upright nor flat, for example sitting.

    Raises:
        ValueError: this is no Skeleton.
    """
    check_type(skeleton, Skeleton, "skeleton", "lift returns one")
    if not skeleton.gravity_known:
        return _UNKNOWN
    votes: list[tuple[float, float]] = []  # rise and weight
    for lower, upper, weight in _SEGMENTS:
        bottom, top = _middle(skeleton, lower), _middle(skeleton, upper)
        if bottom is None or top is None:
            continue
        length = float(np.linalg.norm(top - bottom))
        if length > 0.02:
            votes.append((float(top[1] - bottom[1]) / length, weight))
    weight = sum(weight for _, weight in votes)
    if weight < _MIN_OBSERVED * _TOTAL_WEIGHT:
        return _UNKNOWN
    rise = sum(vote * weight for vote, weight in votes) / weight
    if _MAX_LYING < rise < _MIN_STANDING:
        return PostureEstimate(Posture.UNKNOWN, 0.0, rise)
    posture = Posture.STANDING if rise >= _MIN_STANDING else Posture.LYING
    decided = min(1.0, abs(rise - _UNDECIDED) / _FULL_CONFIDENCE)
    confidence = decided * min(1.0, weight / (0.9 * _TOTAL_WEIGHT))
    return PostureEstimate(posture, confidence * _agreement(skeleton, posture), rise)


def _agreement(skeleton: Skeleton, posture: Posture) -> float:
    """Return 1, or less if the head's height above the floor contradicts the posture."""
    head = _middle(skeleton, kp.HEAD)
    length = skeleton.body_length
    if skeleton.floor is None or head is None or not length > 0:
        return 1.0
    high = float(head[1]) / length > 0.5
    # The head of a standing child is never low. That of a lying child can be high: on a bed.
    if posture is Posture.STANDING:
        return 1.0 if high else 0.5
    return 0.8 if high else 1.0


def _middle(skeleton: Skeleton, joints: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return the mean of those joints that were observed, or None if none was."""
    index = [joint for joint in joints if skeleton.observed[joint]]
    return skeleton.joints[index].mean(axis=0) if index else None
