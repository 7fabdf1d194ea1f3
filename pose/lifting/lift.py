"""Lift 2D keypoints to a 3D skeleton in metres, with a depth map.

There are three methods. "inside", the default, finds the depth of the body's surface at all keypoints
together, and from there the joints inside the body. "surface" stops at the surface. "nearest" is the method
of the original system: for each joint by itself, it takes a depth pixel near the keypoint.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose import keypoints as kp
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.geometry.view import View
from pose.lifting.joints import joint_depth
from pose.lifting.nearest import MAX_DISTANCE_PX, NEAREST_WIDTH, nearest_points
from pose.lifting.skeleton import Skeleton
from pose.lifting.surface import surface_depth

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
        depthmap: a depth map of any size that shows the same view as the picture.
        keypoints: (17, 2), u and v in pixels of the picture, possibly outside it.
        scores: (17,), 0..1.
        picture_size: width, height of the picture.
        method: "inside" (the default) gives the joints inside the body. "surface" gives the points on the
            body's surface in front of them. "nearest" is the method of the original system: the depth pixel
            that minimises |Δu| + |Δv| + 10 · depth, among those of at least 0.2 m, at a picture width of 640.
        floor: world y of the floor in metres. If it is None, the floor is searched for in the depth map (for
            "nearest", with the method of the original system).
        color: the colour camera, for a picture of this size (`Frame.color`). Most devices do not need it:
            their two cameras have one view.

    Returns:
        A Skeleton. Its `floor` is None if no floor was found. Its joints are NaN if there is no depth at any
        keypoint.

    Raises:
        ValueError: an array has the wrong shape or is not finite, or there is no such method.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    if min(picture_size) < 1:
        raise ValueError(f"picture size is {picture_size}, expected width and height")
    if floor is None:
        floor = floor_height(depthmap, method="median" if method == "nearest" else "lowest")
    return lift_in_view(View.of(depthmap, picture_size, color), keypoints, scores, method, floor)


def lift_in_view(
    view: View, keypoints: ArrayLike, scores: ArrayLike, method: Method, floor: float | None
) -> Skeleton:
    """Lift one person's keypoints into the world, given a frame's view and floor.

    Args:
        view: the picture, by its camera, and the depth map.
        keypoints, scores, method: as of `lift`.
        floor: world y of the floor in metres; None if the frame shows no floor.

    Raises:
        ValueError: an array has the wrong shape or is not finite.
    """
    uv = np.asarray(keypoints, np.float64)
    score = np.asarray(scores, np.float64)
    _check(uv, score)
    depthmap, (width, height) = view.depthmap, view.picture_size
    depth_uv = view.to_depth(uv)
    in_picture = ((uv > -0.5) & (uv < (width - 0.5, height - 0.5))).all(axis=1)

    if method == "nearest":
        joints, distance = nearest_points(depthmap, depth_uv)
        observed = np.isfinite(distance) & (distance <= MAX_DISTANCE_PX)
    else:
        found = surface_depth(depthmap, depth_uv, score)
        depth, observed, distance = found.depth, found.observed, found.distance
        if method == "inside" and observed.any():
            depth, observed, distance = joint_depth(depthmap.intrinsics, depth_uv, found)
        joints = depthmap.unproject(depth_uv[:, 0], depth_uv[:, 1], depth)
        distance = distance * NEAREST_WIDTH / depthmap.width
    observed = observed & in_picture
    if not observed.any():
        joints = np.full((len(uv), 3), np.nan)
    joints[:, 1] -= floor or 0.0
    distance = np.where(np.isfinite(distance), distance, width + height)
    return Skeleton(joints, score, distance, observed, floor, depthmap.pose_known)


def _check(uv: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    if uv.shape != (kp.COUNT, 2) or scores.shape != (kp.COUNT,):
        raise ValueError(f"keypoints {uv.shape} and scores {scores.shape}, expected (17, 2) and (17,)")
    if not (np.isfinite(uv).all() and np.isfinite(scores).all()):
        raise ValueError("keypoints or scores are not finite")
