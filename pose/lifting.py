"""2D keypoints and a depth map → a skeleton in metres.

`nearest` is the method of the original system: it takes a point of the skin near each keypoint, one joint
at a time. `inside`, the default, looks for the depth of the person at each keypoint, with the whole body
in view, and goes on from the skin to the joint inside. `surface` stops at the skin.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose import keypoints as kp
from pose import skin
from pose.calibration import Intrinsics, through
from pose.depthmap import DepthMap
from pose.floor import floor_height
from pose.joints import place
from pose.skeleton import Skeleton

__all__ = ["METHODS", "Method", "Skeleton", "lift"]

Method = Literal["inside", "surface", "nearest"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)

# `nearest` works on the picture at this width, which is also what `distance_px` counts in.
NEAREST_WIDTH: Final = 640
_NEAREST_MIN_DEPTH: Final = 0.2
_NEAREST_PER_METRE: Final = 10.0
_NEAREST_OBSERVED: Final = 20.0  # pixels; beyond, the depth that was found belongs to something else
_FIRST_WINDOW: Final = 32


def lift(
    depthmap: DepthMap,
    keypoints: ArrayLike,
    scores: ArrayLike,
    picture_size: tuple[int, int],
    method: Method = "inside",
    floor: float | None = None,
    color: Intrinsics | None = None,
) -> Skeleton:
    """Lift one person's keypoints into the world.

    Args:
        depthmap: that covers the picture's view, of any size.
        keypoints: (17, 2), u and v in pixels of the picture, which may lie outside of it.
        scores: (17,), 0..1.
        picture_size: width, height of the picture.
        method: "inside" (the default): joints inside the body. "surface": on the skin, found the same way.
            "nearest": as the original system does, on the skin: the depth pixel that minimises
            |Δu| + |Δv| + 10 · depth, among those with 0.2 m and more, at a picture width of 640.
        floor: world y of the floor in metres. Sought in the depth map if not given (for "nearest" with the
            original's method).
        color: the colour camera, for a picture of this size (`Frame.color`). Not needed on most devices,
            where both cameras share one view.

    Returns:
        A Skeleton; its `floor` is None where the floor could not be found, and its joints are NaN where
        there is no depth at any of the keypoints.

    Raises:
        ValueError: an array has another shape or is not finite, or there is no such method.
    """
    uv = np.asarray(keypoints, np.float64)
    score = np.asarray(scores, np.float64)
    _check(uv, score, picture_size, method)
    if floor is None:
        floor = floor_height(depthmap, method="median" if method == "nearest" else "lowest")
    width, height = picture_size
    at = to_depth_pixels(uv, picture_size, depthmap, color)
    inside = ((uv > -0.5) & (uv < (width - 0.5, height - 0.5))).all(axis=1)

    if method == "nearest":
        joints, distance = _nearest(depthmap, at)
        observed = np.isfinite(distance) & (distance <= _NEAREST_OBSERVED)
    else:
        found = skin.find(depthmap, at, score)
        depth, observed, distance = found.depth, found.observed, found.distance
        if method == "inside" and observed.any():
            depth, observed, distance = place(depthmap, at, found)
        joints = depthmap.world(at[:, 0], at[:, 1], depth)
        distance = distance * NEAREST_WIDTH / depthmap.width
    observed = observed & inside
    if not observed.any():
        joints = np.full((len(uv), 3), np.nan)
    joints[:, 1] -= floor or 0.0
    distance = np.where(np.isfinite(distance), distance, width + height)
    return Skeleton(joints, score, distance, observed, floor, depthmap.pose_known)


def to_depth_pixels(
    points: NDArray[np.float64],
    picture_size: tuple[int, int],
    depthmap: DepthMap,
    color: Intrinsics | None = None,
) -> NDArray[np.float64]:
    """Where the rays of points (..., 2) of a picture meet the depth map, (..., 2), not rounded."""
    camera = color or depthmap.intrinsics.resized(*picture_size)
    return through(points, camera, depthmap.intrinsics)


def to_picture_pixels(
    points: NDArray[np.float64],
    picture_size: tuple[int, int],
    depthmap: DepthMap,
    color: Intrinsics | None = None,
) -> NDArray[np.float64]:
    """The exact inverse of `to_depth_pixels`, with the same arguments but for the points."""
    camera = color or depthmap.intrinsics.resized(*picture_size)
    return through(points, depthmap.intrinsics, camera)


def _nearest(depthmap: DepthMap, at: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World points (17, 3), and their distances in pixels (17,), inf where there is no depth at all."""
    scale = NEAREST_WIDTH / depthmap.width
    resized = depthmap.resized(NEAREST_WIDTH, max(1, round(depthmap.height * scale)))
    depth = resized.depth
    usable = depth >= _NEAREST_MIN_DEPTH
    if not usable.any():
        return np.full((len(at), 3), np.nan), np.full(len(at), np.inf)
    # What a pixel costs by its depth alone. The least of it bounds how far a better one can be.
    cost = np.where(usable, _NEAREST_PER_METRE * depth, np.float32(np.inf))
    least = float(cost.min())
    target = through(at, depthmap.intrinsics, resized.intrinsics)
    best = np.array([_search(cost, least, u, v) for u, v in target])  # (17, 2) row, column
    rows, columns = best[:, 0], best[:, 1]
    distance = np.abs(columns - target[:, 0]) + np.abs(rows - target[:, 1])
    return resized.world(columns, rows, depth[rows, columns]), distance


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


def _check(
    uv: NDArray[np.float64], scores: NDArray[np.float64], picture_size: tuple[int, int], method: str
) -> None:
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    if uv.shape != (kp.COUNT, 2) or scores.shape != (kp.COUNT,):
        raise ValueError(f"keypoints {uv.shape} and scores {scores.shape}, expected (17, 2) and (17,)")
    if not (np.isfinite(uv).all() and np.isfinite(scores).all()):
        raise ValueError("keypoints or scores are not finite")
    if min(picture_size) < 1:
        raise ValueError(f"picture size is {picture_size}, expected width and height")
