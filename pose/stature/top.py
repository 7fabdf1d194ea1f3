"""The top of what stands on the floor: of a person's head, or of an object."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import MAX_STEP, DepthMap

_ABOVE_FLOOR: Final = 0.03  # metres: noise of the floor is lower
_MIN_SHARE: Final = 0.005  # of all pixels: a smaller object is none
_HEAD_RADIUS: Final = 0.16  # metres around the axis of the head
_HEAD_BELOW, _HEAD_ABOVE = 0.20, 0.12  # metres below and above the crown
_BEHIND: Final = 0.10  # metres: a board behind the head is farther away than this
_STRAY: Final = 4  # pixels: the highest ones may be noise


def head_top(depthmap: DepthMap, floor: float, crown: NDArray[np.float64]) -> float | None:
    """Return the height above the floor, in metres, of the highest surface of a head, with hair and hat.

    Args:
        depthmap: with its pose.
        floor: world y of the floor.
        crown: (3,) world point about where the crown of the head is.

    Returns:
        None if no surface is seen there.
    """
    points = depthmap.points()
    off = points - crown
    flat = crown - depthmap.translation
    flat = flat * (1.0, 0.0, 1.0) / max(float(np.hypot(flat[0], flat[2])), 1e-9)
    near = (depthmap.depth > 0) & (np.hypot(off[..., 0], off[..., 2]) < _HEAD_RADIUS)
    near &= (off[..., 1] > -_HEAD_BELOW) & (off[..., 1] < _HEAD_ABOVE) & (off @ flat < _BEHIND)
    return _highest(points[..., 1][near] - floor)


def object_top(depthmap: DepthMap, floor: float) -> float | None:
    """Return the height above the floor, in metres, of the object nearest to the middle of the depth map.

    Returns:
        None if nothing stands on the floor whose top is in the depth map.
    """
    height = depthmap.points()[..., 1] - floor
    depth = depthmap.depth
    above = (depth > 0) & (height > _ABOVE_FLOOR)
    # Separate an object from what is behind it: at a step in depth, the farther pixel belongs to neither.
    for axis in (0, 1):
        near, far = (np.moveaxis(depth, axis, 0)[part] for part in (np.s_[:-1], np.s_[1:]))
        first, second = (np.moveaxis(above, axis, 0)[part] for part in (np.s_[:-1], np.s_[1:]))
        first &= near - far < MAX_STEP
        second &= far - near < MAX_STEP
    _, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=4)
    rows, columns = np.indices(depth.shape)
    away = np.hypot(rows - (depthmap.height - 1) / 2, columns - (depthmap.width - 1) / 2)
    border = (rows % (depthmap.height - 1) == 0) | (columns % (depthmap.width - 1) == 0)
    best, least = None, np.inf
    for k in range(1, len(stats)):
        own = labels == k
        highest = int(np.where(own, height, -np.inf).argmax())
        large = stats[k, cv2.CC_STAT_AREA] >= _MIN_SHARE * depth.size
        # What is highest at the border, as a wall is, goes on beyond it.
        if large and not border.flat[highest] and (nearest := float(away[own].min())) < least:
            best, least = _highest(height[own]), nearest
    return best


def _highest(heights: NDArray[np.float64]) -> float | None:
    """Return the greatest of these heights, without stray ones; None if there are too few."""
    if heights.size < 2 * _STRAY:
        return None
    return float(np.partition(heights, -_STRAY)[-_STRAY])
