"""Between the sensor's orientation and upright, for pictures and for points.

A phone is held upright and its sensors lie across, so both artefacts of a frame arrive as landscape. How
far a picture must be turned to bring the head up follows from the scan's step, if that is a known one, or
else from a person in it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose import keypoints as kp
from pose.errors import InvalidManifest

STANDING_STEPS: Final = (100, 101, 102, 103, 104)
LYING_STEPS: Final = (200, 201, 202, 203, 204)

_STANDING_TURNS: Final = 1
_LYING_TURNS: Final = 3

_UPPER: Final = (*kp.HEAD, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER)
_LOWER: Final = tuple(range(kp.LEFT_HIP, kp.COUNT))  # hips, knees, ankles


def is_known_step(step: int) -> bool:
    """Whether a step says which way is up and which posture the child was in."""
    return step in STANDING_STEPS or step in LYING_STEPS


def turns_for_step(step: int) -> int:
    """How many quarter turns clockwise bring a picture of this step upright: 1 standing, 3 lying.

    Raises:
        InvalidManifest: no such step.
    """
    if step in STANDING_STEPS:
        return _STANDING_TURNS
    if step in LYING_STEPS:
        return _LYING_TURNS
    raise InvalidManifest("scan", "step", f"unknown step {step!r:.20}", "100 to 104 or 200 to 204")


def turns_of_person(keypoints: ArrayLike, scores: ArrayLike) -> int:
    """How many quarter turns clockwise bring a person's head up, as far as quarter turns can.

    The body's axis runs from the middle of hips, knees and ankles to that of head and shoulders, where each
    keypoint weighs as much as its score.

    Args:
        keypoints: (17, 2), u and v.
        scores: (17,); what is not above 0 does not count.

    Returns:
        0 to 3; 0 too where only one half of the body is seen.
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
    """Turn an (H, W, ...) array by `turns` quarter turns clockwise; a view, not a copy.

    Turn by `-turns` to undo it.
    """
    return np.rot90(picture, -turns)


def turn_points(points: ArrayLike, turns: int, width: int, height: int) -> NDArray[np.float64]:
    """Where points of a picture lie after `turn_picture(picture, turns)`.

    Args:
        points: (..., 2), u (column) and v (row); pixel centres are at integers.
        turns: quarter turns clockwise.
        width, height: size of the picture before it is turned (sensor orientation).

    Returns:
        (..., 2) float64, in the turned picture.
    """
    uv = np.asarray(points, np.float64)
    u, v = uv[..., 0], uv[..., 1]
    right, bottom = width - 1, height - 1
    turned = ((u, v), (bottom - v, u), (right - u, bottom - v), (v, right - u))[turns % 4]
    return np.stack(turned, axis=-1)


def unturn_points(points: ArrayLike, turns: int, width: int, height: int) -> NDArray[np.float64]:
    """The exact inverse of `turn_points`, with the same arguments.

    Args:
        points: (..., 2), in the turned picture.
        turns: quarter turns clockwise that had been made.
        width, height: size of the picture before it was turned (sensor orientation).

    Returns:
        (..., 2) float64, in the picture as it was.
    """
    uv = np.asarray(points, np.float64)
    u, v = uv[..., 0], uv[..., 1]
    right, bottom = width - 1, height - 1
    back = ((u, v), (v, bottom - u), (right - u, bottom - v), (right - v, u))[turns % 4]
    return np.stack(back, axis=-1)
