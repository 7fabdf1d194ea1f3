"""The lifting method of the original system, kept as a baseline: the nearest depth pixel of each keypoint."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap

# `nearest` works on the picture at this width, which is also what `distance_px` counts in.
NEAREST_WIDTH: Final = 640
_MIN_DEPTH: Final = 0.2
_COST_PER_METRE: Final = 10.0
MAX_DISTANCE_PX: Final = 20.0  # pixels; beyond, the depth that was found belongs to something else
_FIRST_WINDOW: Final = 32


def nearest_depth(
    depthmap: DepthMap, at: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World points (17, 3), and their distances in pixels (17,), inf where there is no depth at all."""
    scale = NEAREST_WIDTH / depthmap.width
    resized = depthmap.resized(NEAREST_WIDTH, max(1, round(depthmap.height * scale)))
    depth = resized.depth
    usable = depth >= _MIN_DEPTH
    if not usable.any():
        return np.full((len(at), 3), np.nan), np.full(len(at), np.inf)
    # What a pixel costs by its depth alone. The least of it bounds how far a better one can be.
    cost = np.where(usable, _COST_PER_METRE * depth, np.float32(np.inf))
    least = float(cost.min())
    target = depthmap.intrinsics.reproject(at, resized.intrinsics)
    best = np.array([_search(cost, least, u, v) for u, v in target])  # (17, 2) row, column
    rows, columns = best[:, 0], best[:, 1]
    distance = np.abs(columns - target[:, 0]) + np.abs(rows - target[:, 1])
    return resized.unproject(columns, rows, depth[rows, columns]), distance


def _search(cost: NDArray[np.float32], least: float, u: float, v: float) -> tuple[int, int]:
    """Row and column of the pixel with the least cost + |Δu| + |Δv|; the first of equals, row by row.

    Searched in a window that grows until nothing outside of it can be better: exact, and seldom more than
    a hundredth of the picture.
    """
    height, width = cost.shape
    reach = _FIRST_WINDOW
    while True:
        top, bottom = _span(v, reach, height)
        left, right = _span(u, reach, width)
        window = cost[top:bottom, left:right] + np.abs(np.arange(left, right) - u)
        window += np.abs(np.arange(top, bottom) - v)[:, None]
        whole = top == 0 and left == 0 and bottom == height and right == width
        if window.size:
            index = int(np.argmin(window))
            row, column = divmod(index, right - left)
            if whole or window[row, column] <= least + reach:
                return top + row, left + column
        reach *= 4


def _span(centre: float, reach: int, size: int) -> tuple[int, int]:
    """First and end of the indices within `reach` of a centre that may be outside."""
    return int(np.clip(np.floor(centre) - reach, 0, size)), int(np.clip(np.ceil(centre) + reach + 1, 0, size))
