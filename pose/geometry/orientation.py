"""Turn pictures and points between sensor orientation and upright.

The phone is held upright but its sensors lie across, so pictures and depth maps arrive in landscape format.
How far a picture must be turned is told by the scan's step, and by gravity if the phone's pose is known. Both
can be wrong: a step can be chosen by mistake, and a child who lies can have the head on any side. So
`expected_turns` says which turn to try first and whether it is confirmed. If it is not, an estimator
compares other turns (`pose.estimators.upright`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose import keypoints as kp
from pose.errors import InvalidManifest
from pose.geometry.depthmap import DepthMap

# Steps above 104 and 204 occur in old records.
STANDING_STEPS: Final = tuple(range(100, 111))
LYING_STEPS: Final = tuple(range(200, 211))

_STANDING_TURNS: Final = 1
_LYING_TURNS: Final = 3

# Of the angle of the camera's axis to the horizontal. In a steeper view, gravity does not tell the turn.
_STEEP: Final = math.cos(math.radians(60))
# In a more level view, a person who is seen head up or head down is upright. Rendered children who lie are
# seen from at least 35 degrees above the horizontal.
_LEVEL: Final = math.cos(math.radians(25))
# Quarter turns (20 degrees): a smaller tilt of the phone is left as it is.
_MAX_TILT: Final = 20 / 90

_UPPER: Final = (*kp.HEAD, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER)
_LOWER: Final = tuple(range(kp.LEFT_HIP, kp.COUNT))  # hips, knees, ankles


def is_known_step(step: int) -> bool:
    """Return whether the step is a known one, that means a posture and a way to hold the phone.

    >>> is_known_step(104), is_known_step(111)
    (True, False)
    """
    return step in STANDING_STEPS or step in LYING_STEPS


def posture_for_step(step: int) -> Literal["standing", "lying"] | None:
    """Return the posture of the child that a step means; None if the step is unknown.

    >>> posture_for_step(200)
    'lying'
    """
    if not is_known_step(step):
        return None
    return "standing" if step in STANDING_STEPS else "lying"


def turns_for_step(step: int) -> int:
    """Return how many quarter turns clockwise bring a picture of this step upright: 1 standing, 3 lying.

    Raises:
        InvalidManifest: the step is unknown.

    >>> turns_for_step(100), turns_for_step(200)
    (1, 3)
    """
    if step in STANDING_STEPS:
        return _STANDING_TURNS
    if step in LYING_STEPS:
        return _LYING_TURNS
    raise InvalidManifest("scan", "step", f"unknown step {step!r:.20}", "100 to 110 or 200 to 210")


@dataclass(frozen=True)
class ExpectedTurns:
    """What step and gravity say about how a frame must be turned.

    Attributes:
        turns: quarter turns clockwise, at least 0 and less than 4. It is a fraction if a phone that looks
            straight ahead was held aslant.
        confirmed: whether the phone's pose and the step say the same.
    """

    turns: float
    confirmed: bool


def expected_turns(step: int, depthmap: DepthMap) -> ExpectedTurns:
    """Return which turn is the most likely to bring a frame upright.

    Gravity decides, except where the camera looks steeply down, or down at a child who lies according to the
    step: then gravity does not tell on which side the head is. Without both, a standing child is expected.

    Args:
        step: of the frame; it need not be known.
        depthmap: with the phone's pose.
    """
    by_step = turns_for_step(step) if is_known_step(step) else None
    by_gravity = gravity_turns(depthmap)
    level = _horizontal_share(depthmap) >= _LEVEL
    if by_gravity is not None and (level or step not in LYING_STEPS):
        agree = by_step is not None and turns_between(by_step, by_gravity) <= 0.5
        nearest = round(by_gravity)
        aslant = level and abs(by_gravity - nearest) > _MAX_TILT
        return ExpectedTurns((by_gravity if aslant else nearest) % 4, confirmed=level and agree)
    return ExpectedTurns(_STANDING_TURNS if by_step is None else by_step, confirmed=False)


def gravity_turns(depthmap: DepthMap) -> float | None:
    """Return how many quarter turns clockwise bring the direction against gravity upwards, 0 to 4.

    None if the phone's pose is unknown, or if the camera looks so steeply up or down that gravity does not
    tell.

    >>> from pose.geometry.camera import Intrinsics
    >>> camera = Intrinsics(100, 100, 32, 24, 64, 48)
    >>> up_is_left = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    >>> gravity_turns(DepthMap(np.ones((48, 64), np.float32), None, camera, up_is_left, pose_known=True))
    1.0
    """
    if not depthmap.pose_known or _horizontal_share(depthmap) < _STEEP:
        return None
    right, up = depthmap.rotation[1, :2].tolist()  # of the world's y axis, in the picture
    return math.atan2(-right, up) / (math.pi / 2) % 4


def turns_between(a: float, b: float) -> float:
    """Return how far two turns are apart, in quarter turns: 0 to 2.

    >>> turns_between(3.5, 0)
    0.5
    """
    return abs((a - b + 2) % 4 - 2)


def _horizontal_share(depthmap: DepthMap) -> float:
    """Return the cosine of the angle of the camera's axis to the horizontal; 0 if the pose is unknown."""
    return math.hypot(*depthmap.rotation[1, :2].tolist()) if depthmap.pose_known else 0.0


def turns_of_person(keypoints: ArrayLike, scores: ArrayLike) -> int:
    """Return how many quarter turns clockwise bring a person's head up, as far as quarter turns can.

    The axis of the body goes from the mean of hips, knees and ankles to the mean of head and shoulders, both
    weighted by the scores.

    Args:
        keypoints: (17, 2), u and v.
        scores: (17,); keypoints of a score of 0 or less are ignored.

    Returns:
        0 to 3; also 0 if only one half of the body has scores.
    """
    uv, weights = np.asarray(keypoints, np.float64), np.maximum(np.asarray(scores, np.float64), 0)
    upper, lower = list(_UPPER), list(_LOWER)
    if not weights[upper].any() or not weights[lower].any():
        return 0
    middles = [np.average(uv[half], axis=0, weights=weights[half]) for half in (upper, lower)]
    right, down = middles[0] - middles[1]
    if abs(down) >= abs(right):
        return 0 if down <= 0 else 2
    return 1 if right < 0 else 3


def turn_picture(picture: NDArray[Any], turns: int) -> NDArray[Any]:
    """Return an (H, W, ...) array turned by `turns` quarter turns clockwise. This is a view, not a copy.

    Turn by `-turns` to undo it.

    >>> turn_picture(np.array([[1, 2], [3, 4]]), 1)
    array([[3, 1],
           [4, 2]])
    """
    return np.rot90(picture, -turns)


def turn_points(points: ArrayLike, turns: int, width: int, height: int) -> NDArray[np.float64]:
    """Return where points of a picture are after `turn_picture(picture, turns)`.

    Args:
        points: (..., 2), u (column) and v (row), with pixel centres at integers.
        turns: quarter turns clockwise.
        width, height: size of the picture before it is turned (sensor orientation).

    Returns:
        (..., 2) float64, in the turned picture.

    >>> turn_points([0, 0], 1, width=64, height=48)
    array([47.,  0.])
    """
    uv = np.asarray(points, np.float64)
    u, v = uv[..., 0], uv[..., 1]
    right, bottom = width - 1, height - 1
    turned = ((u, v), (bottom - v, u), (right - u, bottom - v), (v, right - u))[turns % 4]
    return np.stack(turned, axis=-1)


def unturn_points(points: ArrayLike, turns: int, width: int, height: int) -> NDArray[np.float64]:
    """Return where points of a turned picture were before: the exact inverse of `turn_points`.

    Args:
        points: (..., 2), in the turned picture.
        turns, width, height: the same as for `turn_points`.

    Returns:
        (..., 2) float64, in the picture before it was turned.

    >>> unturn_points([47, 0], 1, width=64, height=48)
    array([0., 0.])
    """
    turned_size = (height, width) if turns % 2 else (width, height)
    return turn_points(points, -turns, *turned_size)
