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
from pose.checks import check_choice, check_numbers, check_size, check_type
from pose.geometry.camera import MAX_STRETCH, Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.geometry.view import View
from pose.lifting.joints import FloorPlane, joint_depth
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
        ValueError: an array has the wrong shape or unit or is not finite, the picture's sides do not have the
            ratio of those of the depth map, or there is no such method.
    """
    check_type(depthmap, DepthMap, "depthmap")
    check_choice(method, METHODS, "method")
    size = check_size(picture_size, "picture_size")
    if color is None:
        _check_ratio(depthmap, size)
    uv, score = _check(keypoints, scores)
    if not -0.5 <= score.min() <= score.max() <= 1.5:  # maxima of heatmaps may be slightly outside 0 to 1
        raise ValueError(f"scores are from {score.min():g} to {score.max():g}, expected 0 to 1")
    if uv.any() and uv.min() >= 0 and uv.max() <= 1:
        raise ValueError("keypoints are from 0 to 1, expected u and v in pixels of the picture")
    if floor is None:
        floor = floor_height(depthmap, method="median" if method == "nearest" else "lowest")
    else:
        check_numbers(floor, (), "floor, metres above the world's zero,")
    return lift_in_view(View.of(depthmap, size, color), uv, score, method, floor)


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
    uv, score = _check(keypoints, scores)
    depthmap, (width, height) = view.depthmap, view.picture_size
    depth_uv = view.to_depth(uv)
    in_picture = view.in_picture(uv)

    if method == "nearest":
        joints, distance = nearest_points(depthmap, depth_uv)
        observed = np.isfinite(distance) & (distance <= MAX_DISTANCE_PX)
    else:
        found = surface_depth(depthmap, depth_uv, score)
        depth, observed, distance = found.depth, found.observed, found.distance
        if method == "inside" and observed.any():
            depth, observed, distance = joint_depth(
                depthmap.intrinsics, depth_uv, found, _floor_plane(depthmap, floor)
            )
        joints = depthmap.unproject(depth_uv[:, 0], depth_uv[:, 1], depth)
        distance = distance * NEAREST_WIDTH / depthmap.width
    observed = observed & in_picture
    if not observed.any():
        joints = np.full((len(uv), 3), np.nan)
    joints[:, 1] -= floor or 0.0
    distance = np.where(np.isfinite(distance), distance, width + height)
    return Skeleton(joints, score, distance, observed, floor, depthmap.pose_known)


def _floor_plane(depthmap: DepthMap, floor: float | None) -> FloorPlane | None:
    """Return the floor in camera axes; None if it is unknown."""
    if floor is None or not depthmap.pose_known:
        return None
    return FloorPlane(depthmap.rotation[1], float(depthmap.translation[1]) - floor)


def _check(keypoints: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (
        check_numbers(keypoints, (kp.COUNT, 2), "keypoints"),
        check_numbers(scores, (kp.COUNT,), "scores"),
    )


def _check_ratio(depthmap: DepthMap, picture_size: tuple[int, int]) -> None:
    width, height = picture_size
    stretch = width / height / (depthmap.width / depthmap.height)
    if not 1 / MAX_STRETCH < stretch < MAX_STRETCH:
        raise ValueError(
            f"picture_size is ({width}, {height}), expected (width, height) of the view of the depth map, "
            f"which has {depthmap.width} x {depthmap.height} pixels; for another view give color"
        )
