"""Turn pictures and points between sensor orientation and upright.

The phone is held upright but its sensors lie across, so pictures and depth maps arrive in landscape format.
How far a picture must be turned follows from the scan's step, or from a person in it if the step is unknown.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose import keypoints as kp
from pose.errors import InvalidManifest

# Steps above 104 and 204 occur in old records.
STANDING_STEPS: Final = tuple(range(100, 111))
LYING_STEPS: Final = tuple(range(200, 211))

_STANDING_TURNS: Final = 1
_LYING_TURNS: Final = 3

_UPPER: Final = (*kp.HEAD, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER)
_LOWER: Final = tuple(range(kp.LEFT_HIP, kp.COUNT))  # hips, knees, ankles


def is_known_step(step: int) -> bool:
    """Whether the step is a known one: it then tells the posture, and which way is up in the picture.

    >>> is_known_step(104), is_known_step(111)
    (True, False)
    """
    return step in STANDING_STEPS or step in LYING_STEPS


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
