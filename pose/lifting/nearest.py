"""The lifting method of the original system, kept as a baseline: a near depth pixel for each keypoint."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap

# The method scales the depth map to this width. `Skeleton.distance_px` is in these pixels for all methods.
NEAREST_WIDTH: Final = 640
_MIN_DEPTH: Final = 0.2  # metres
_COST_PER_METRE: Final = 10.0  # of depth, in pixels
MAX_DISTANCE_PX: Final = 20.0  # a depth pixel farther from the keypoint does not count as the joint
_FIRST_RADIUS: Final = 32  # pixels


def nearest_points(
    depthmap: DepthMap, uv: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the world points (17, 3) in metres of the depth pixels that are chosen for keypoints.

    Args:
        depthmap: a depth map of any size.
        uv: (17, 2) keypoints in pixels of the depth map.

    Returns:
        The points, and their distances from the keypoints in pixels, (17,). Without any depth the points are
        NaN and the distances inf.
    """
    scale = NEAREST_WIDTH / depthmap.width
    resized = depthmap.resized(NEAREST_WIDTH, max(1, round(depthmap.height * scale)))
    depth = resized.depth
    usable = depth >= _MIN_DEPTH
    if not usable.any():
        return np.full((len(uv), 3), np.nan), np.full(len(uv), np.inf)
    # The cost of a pixel for its depth alone. The least of these bounds how far away a better pixel can be.
    cost = np.where(usable, _COST_PER_METRE * depth, np.float32(np.inf))
    least = float(cost.min())
    target = depthmap.intrinsics.reproject(uv, resized.intrinsics)
    best = np.array([_search(cost, least, u, v) for u, v in target])  # (17, 2) row, column
    rows, columns = best[:, 0], best[:, 1]
    distance = np.abs(columns - target[:, 0]) + np.abs(rows - target[:, 1])
    return resized.unproject(columns, rows, depth[rows, columns]), distance


def _search(cost: NDArray[np.float32], least: float, u: float, v: float) -> tuple[int, int]:
    """Return row and column of the pixel with the least cost + |Δu| + |Δv|, the first one of equals.

    The window grows until no pixel outside it can be better. This is exact, and rarely looks at more than a
    hundredth of the picture.
    """
    height, width = cost.shape
    radius = _FIRST_RADIUS
    while True:
        top, bottom = _span(v, radius, height)
        left, right = _span(u, radius, width)
        window = cost[top:bottom, left:right] + np.abs(np.arange(left, right) - u)
        window += np.abs(np.arange(top, bottom) - v)[:, None]
        whole = top == 0 and left == 0 and bottom == height and right == width
        if window.size:
            index = int(np.argmin(window))
            row, column = divmod(index, right - left)
            if whole or window[row, column] <= least + radius:
                return top + row, left + column
        radius *= 4


def _span(centre: float, radius: int, size: int) -> tuple[int, int]:
    """Return start and stop of the indices within `radius` of a centre, which may be outside 0..size."""
    start, stop = np.floor(centre) - radius, np.ceil(centre) + radius + 1
    return int(np.clip(start, 0, size)), int(np.clip(stop, 0, size))
