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
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.geometry.view import to_depth_pixels
from pose.lifting import surface as skin
from pose.lifting.joints import place
from pose.lifting.nearest import MAX_DISTANCE_PX, NEAREST_WIDTH, nearest_depth
from pose.lifting.skeleton import Skeleton

Method = Literal["inside", "surface", "nearest"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)


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
        joints, distance = nearest_depth(depthmap, at)
        observed = np.isfinite(distance) & (distance <= MAX_DISTANCE_PX)
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
