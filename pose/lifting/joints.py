"""From the surface of the body to the joints inside it, for all joints together.

Behind each surface layer at a keypoint, the joint can be at the usual depth below the surface, or deeper if
another part of the body occludes it. One of these candidates is chosen for each joint, such that the bones
between them have plausible lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.camera import Intrinsics
from pose.lifting import body_tree
from pose.lifting.anatomy import Build, fit_build
from pose.lifting.surface import SurfaceDepth

# Metres, unless said otherwise.
_STEP: Final = 0.025  # between the candidates of an occluded joint
_MAX_OCCLUDED: Final = 0.40  # the most that an occluded joint lies behind the usual depth
_OCCLUDED_COST: Final = 2.0
_OCCLUDED_COST_PER_METRE: Final = 3.0
_SEARCH: Final = 0.45  # a joint without depth is searched this far in front of and behind its neighbours
# The head turns as a whole, so its keypoints do not occlude each other unnoticed: see `depth_below_surface`.
_CAN_BE_OCCLUDED: Final = frozenset(range(kp.LEFT_SHOULDER, kp.COUNT))
_LENGTH_SIGMA: Final = 0.13  # of a bone's length, as a share of the usual length
_KEYPOINT_SIGMA: Final = 0.012  # of a keypoint's position
_MAX_PENALTY: Final = 9.0  # in squared sigmas
# A bone of less or more than these shares of its usual length is impossible: its outer joint is elsewhere.
_MIN_LENGTH: Final = 0.5
_MAX_LENGTH: Final = 1.5
_MIN_BELOW: Final = 0.003  # a joint is never in front of the surface


def joint_depth(
    camera: Intrinsics, uv: NDArray[np.float64], surface: SurfaceDepth
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return the depth of the joints.

    Args:
        camera: the depth camera.
        uv: (17, 2) keypoints in pixels of the depth map.
        surface: the surface at these keypoints.

    Returns:
        depth: (17,) float64 metres.
        observed: (17,) bool. False for a joint without depth, for one that another part of the body occludes,
            and for one whose bone would have an impossible length.
        distance: (17,) float64, in depth pixels, from the keypoint to the chosen layer; inf if there is none.
    """
    rays = camera.unproject(uv[:, 0], uv[:, 1], 1.0)
    points = rays * surface.depth[:, None]
    build = fit_build(points, surface.observed)
    # Depth is measured along the camera's axis, the depth below the surface along the ray.
    below = depth_below_surface(points, build) / np.linalg.norm(rays, axis=1)
    extra = np.arange(0, _MAX_OCCLUDED, _STEP)
    extra_cost = np.where(extra > 0, _OCCLUDED_COST + _OCCLUDED_COST_PER_METRE * extra, 0.0)

    # One array a joint, with a value for each candidate.
    depths, costs, visible, distances = [], [], [], []
    for joint, layers in enumerate(surface.layers):
        if layers:
            behind = extra if joint in _CAN_BE_OCCLUDED else extra[:1]
            depth = (np.array([[layer.depth + below[joint]] for layer in layers]) + behind).ravel()
            cost = (np.array([[layer.cost] for layer in layers]) + extra_cost[: behind.size]).ravel()
            visible.append(np.tile(behind == 0, len(layers)))
            distances.append(np.repeat([layer.distance for layer in layers], behind.size))
        else:
            depth = surface.depth[joint] + np.arange(-_SEARCH, _SEARCH, _STEP)
            cost = 0.5 * np.abs(depth - surface.depth[joint])
            visible.append(np.zeros(depth.size, bool))
            distances.append(np.full(depth.size, np.inf))
        depths.append(depth)
        costs.append(cost)
    candidates = [rays[joint] * depth[:, None] for joint, depth in enumerate(depths)]

    def length_cost(joint: int, parent: int) -> NDArray[np.float64]:
        usual = _usual_length(build, joint, parent)
        length = np.linalg.norm(candidates[joint][:, None] - candidates[parent], axis=-1)
        return np.minimum(((length - usual) / (_LENGTH_SIGMA * usual + _KEYPOINT_SIGMA)) ** 2, _MAX_PENALTY)

    chosen = [choice or 0 for choice in body_tree.choose(costs, length_cost)]
    observed = np.array([of_joint[choice] for of_joint, choice in zip(visible, chosen, strict=True)])
    found = np.array([of_joint[choice] for of_joint, choice in zip(candidates, chosen, strict=True)])
    for joint, parent in body_tree.PARENTS:
        if joint in _BONES:
            share = float(np.linalg.norm(found[joint] - found[parent])) / _usual_length(build, joint, parent)
            observed[joint] &= _MIN_LENGTH < share < _MAX_LENGTH
    return (
        np.array([of_joint[choice] for of_joint, choice in zip(depths, chosen, strict=True)]),
        observed,
        np.array([of_joint[choice] for of_joint, choice in zip(distances, chosen, strict=True)]),
    )


# The measure of `Build` that is the distance between a joint and its parent in the tree.
_BONES: Final = {
    kp.LEFT_ELBOW: "upper_arm", kp.RIGHT_ELBOW: "upper_arm",
    kp.LEFT_WRIST: "forearm", kp.RIGHT_WRIST: "forearm",
    kp.LEFT_KNEE: "thigh", kp.RIGHT_KNEE: "thigh",
    kp.LEFT_ANKLE: "shank", kp.RIGHT_ANKLE: "shank",
    kp.LEFT_HIP: "trunk", kp.RIGHT_HIP: "trunk",
    kp.RIGHT_SHOULDER: "shoulders",
}  # fmt: skip


def _usual_length(build: Build, joint: int, parent: int) -> float:
    """Return the usual distance between a joint and its parent in the tree."""
    if joint in _BONES:
        return build[_BONES[joint]]
    if joint == kp.NOSE:  # its parent, the left shoulder, is to the side; the nose is in front of the head
        return float(
            np.hypot(np.hypot(0.9 * build["neck"], build["shoulders"] / 2), 0.7 * build["head_depth"])
        )
    if parent == kp.NOSE:
        return 0.6 * build["head_breadth"]
    return float(np.hypot(0.88 * build["head_depth"], 0.57 * build["head_breadth"]))


_LIMB_RADII: Final = {
    kp.LEFT_ELBOW: "elbow", kp.RIGHT_ELBOW: "elbow", kp.LEFT_WRIST: "wrist", kp.RIGHT_WRIST: "wrist",
    kp.LEFT_KNEE: "knee", kp.RIGHT_KNEE: "knee", kp.LEFT_ANKLE: "ankle", kp.RIGHT_ANKLE: "ankle",
}  # fmt: skip


@dataclass(frozen=True)
class _Cylinder:
    """An upright elliptic cylinder, and the positions of joints in it: metres (left, front) of its axis."""

    half_breadth: float
    half_depth: float
    joints: dict[int, tuple[float, float]]


def depth_below_surface(points: NDArray[np.float64], build: Build) -> NDArray[np.float64]:
    """Return how far below the surface each joint is along its ray, (17,) float64 metres.

    A limb is as deep as its radius. Shoulders, hips and head are elliptic cylinders, turned as the person is.

    Args:
        points: (17, 3) metres, the surface at each keypoint in camera axes. Only x and y are used.
        build: the person's body measures.
    """
    below = np.zeros(kp.COUNT)
    for joint, radius in _LIMB_RADII.items():
        below[joint] = build[radius]
    right = _right_of_body(points)
    nose = 1.06 * build["head_depth"]
    body = _yaw(points, right, (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), build["shoulders"], nose)
    head = _yaw(points, right, (kp.LEFT_EAR, kp.RIGHT_EAR), 2 * build["head_breadth"], nose)
    for cylinder, yaw in zip(_cylinders(build), (body, body, head), strict=True):
        for joint, position in cylinder.joints.items():
            below[joint] = _below_cylinder(cylinder, position, yaw)
    return below


def _cylinders(build: Build) -> tuple[_Cylinder, _Cylinder, _Cylinder]:
    """Return shoulders, hips and head."""
    shoulder, hip = build["shoulders"] / 2, build["hips"] / 2
    b, d = build["head_breadth"], build["head_depth"]
    head = {
        kp.NOSE: (0.0, 1.06 * d),
        kp.LEFT_EYE: (0.43 * b, 0.88 * d), kp.RIGHT_EYE: (-0.43 * b, 0.88 * d),
        kp.LEFT_EAR: (1.0 * b, 0.0), kp.RIGHT_EAR: (-1.0 * b, 0.0),
    }  # fmt: skip
    shoulders = {kp.LEFT_SHOULDER: (shoulder, 0.0), kp.RIGHT_SHOULDER: (-shoulder, 0.0)}
    hips = {kp.LEFT_HIP: (hip, 0.0), kp.RIGHT_HIP: (-hip, 0.0)}
    return (
        _Cylinder(build["chest_breadth"], build["chest_depth"], shoulders),
        _Cylinder(build["pelvis_breadth"], build["pelvis_depth"], hips),
        _Cylinder(b, d, head),
    )


def _right_of_body(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit vector to the right of a viewer who sees the body upright, in the picture's plane."""
    up = points[[*kp.HEAD[:3], kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(axis=0)
    up = up - points[[kp.LEFT_HIP, kp.RIGHT_HIP]].mean(axis=0)
    right = np.array([up[1], -up[0], 0.0])
    length = np.linalg.norm(right)
    return right / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])


def _yaw(
    points: NDArray[np.float64],
    right: NDArray[np.float64],
    pair: tuple[int, int],
    breadth: float,
    nose: float,
) -> tuple[float, float]:
    """Return cosine and sine of the angle by which a body is turned from the camera to the viewer's right.

    The left and the right joint of the pair are `breadth` apart. Seen from the front, the left one is to the
    viewer's right; seen from behind, it is to the left; seen from the side, both coincide and the nose tells
    which side it is. Both values are 0 if the angle is unknown.
    """
    left, other = points[list(pair)] @ right
    ears = points[[kp.LEFT_EAR, kp.RIGHT_EAR]] @ right
    cos = float(np.clip((left - other) / breadth, -1, 1))
    sin = float(np.clip((points[kp.NOSE] @ right - ears.mean()) / nose, -1, 1))
    # The breadth that is seen limits the angle. The nose, which also moves by itself, only gives its sign.
    limit = float(np.sqrt(1 - cos**2))
    sin = float(np.clip(sin, -limit, limit))
    length = float(np.hypot(cos, sin))
    return (cos / length, sin / length) if length > 0.1 else (0.0, 0.0)


def _below_cylinder(cylinder: _Cylinder, position: tuple[float, float], yaw: tuple[float, float]) -> float:
    """Return the metres from the cylinder's surface, as the camera sees it, to the joint behind it."""
    cos, sin = yaw
    if cos == sin == 0:
        return cylinder.half_depth
    left, front = position
    # The joint in the viewer's axes: x to the right, y towards the camera.
    x, y = left * cos + front * sin, -left * sin + front * cos
    # The ray through x meets the ellipse at the larger root of a y^2 + b y + c = 0.
    a2, b2 = cylinder.half_breadth**2, cylinder.half_depth**2
    a = sin * sin / a2 + cos * cos / b2
    b = 2 * x * cos * sin * (1 / b2 - 1 / a2)
    c = x * x * (cos * cos / a2 + sin * sin / b2) - 1
    surface = (-b + np.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    return max(float(surface - y), _MIN_BELOW)
