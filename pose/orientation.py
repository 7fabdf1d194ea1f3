"""Between the sensor's orientation and upright, for pictures and for points.

A phone is held upright and its sensors lie across, so both artefacts of a frame arrive as landscape. How
far a picture must be turned to bring the head up follows from the scan's step alone.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose.errors import InvalidManifest

STANDING_STEPS: Final = (100, 101, 102, 103, 104)
LYING_STEPS: Final = (200, 201, 202, 203, 204)

_STANDING_TURNS: Final = 1
_LYING_TURNS: Final = 3


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
