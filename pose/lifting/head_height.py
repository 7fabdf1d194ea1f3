"""The height above the floor of a head, or of the object in a frame without people."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import MAX_STEP, DepthMap
from pose.lifting.anatomy import fit_build
from pose.lifting.skeleton import Skeleton

_ABOVE_FLOOR: Final = 0.03  # metres: noise of the floor is lower
_MIN_SHARE: Final = 0.005  # of all pixels: a smaller object is none
_EYES_TO_CROWN: Final = 1.15  # in half heights of the head
_HEAD_RADIUS: Final = 0.16  # metres around the axis of the head
_HEAD_BELOW, _HEAD_ABOVE = 0.20, 0.12  # metres below and above the crown
_BEHIND: Final = 0.10  # metres: a board behind the head is farther away than this
_STRAY: Final = 4  # pixels: the highest ones may be noise
_BORDER: Final = 2  # pixels: a top that is so near to the border may be cut off


def head_height(depthmap: DepthMap, skeleton: Skeleton) -> float | None:
    """Return the height above the floor, in metres, of the top of an upright head, with hair and hat.

    Args:
        depthmap: shows the person.
        skeleton: of a person who stands.

    Returns:
        None if no floor or no keypoint of the head was observed, or if the picture cuts the head off.
    """
    seen = [joint for joint in kp.HEAD if skeleton.observed[joint]]
    floor = skeleton.floor
    if floor is None or not seen:
        return None
    build = fit_build(skeleton.joints, skeleton.observed)
    crown = np.array(np.median(skeleton.joints[seen], axis=0))
    crown[1] += floor + _EYES_TO_CROWN * build["head_height"]
    points = depthmap.points()
    off = points - crown
    view = (crown - depthmap.translation) * (1.0, 0.0, 1.0)
    view = view / max(float(np.linalg.norm(view)), 1e-9)
    near = (depthmap.depth > 0) & (np.hypot(off[..., 0], off[..., 2]) < _HEAD_RADIUS)
    near &= (off[..., 1] > -_HEAD_BELOW) & (off[..., 1] < _HEAD_ABOVE) & (off @ view < _BEHIND)
    return _top(points[..., 1] - floor, near)


def object_height(depthmap: DepthMap, floor: float) -> float | None:
    """Return the height above the floor, in metres, of the object nearest to the middle of the depth map.

    Args:
        depthmap: with its pose.
        floor: world y of the floor.

    Returns:
        None if nothing stands on the floor, or if the picture cuts its top off.
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
    _, labels, stats, centres = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=4)
    large = [k for k in range(1, len(stats)) if stats[k, cv2.CC_STAT_AREA] >= _MIN_SHARE * depth.size]
    if not large:
        return None
    middle = np.array([depthmap.width - 1, depthmap.height - 1]) / 2
    nearest = min(large, key=lambda k: float(np.linalg.norm(centres[k] - middle)))
    return _top(height, labels == nearest)


def _top(heights: NDArray[np.float64], which: NDArray[np.bool_]) -> float | None:
    """Return the greatest height of the pixels in `which`, without stray ones; None if it may be cut off."""
    rows, columns = np.nonzero(which)
    if rows.size < 2 * _STRAY:
        return None
    found = heights[rows, columns]
    highest = np.argpartition(found, -_STRAY)[-_STRAY:]
    rows, columns = rows[highest], columns[highest]
    edge = np.minimum.reduce([rows, columns, heights.shape[0] - 1 - rows, heights.shape[1] - 1 - columns])
    if np.median(edge) < _BORDER:
        return None
    return float(found[highest].min())
