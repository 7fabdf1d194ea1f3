"""From the skin to the joints inside, with the whole body in view.

Behind each layer of skin that a keypoint may mean, its joint lies at the usual depth; or deeper, where
another part of the body hides it. Of these places those are taken that make bones of fitting lengths.
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

_HIDDEN_STEP: Final = 0.025  # metres between the places tried behind what hides a joint
_HIDDEN_MOST: Final = 0.40
_HIDDEN_COST: Final = 2.0
_HIDDEN_PER_METRE: Final = 3.0
_AROUND: Final = 0.45  # a joint without any depth is sought this far before and behind its neighbours
_CAN_HIDE: Final = frozenset(range(kp.LEFT_SHOULDER, kp.COUNT))  # a head turns as a whole, see `inside`
_SPREAD: Final = 0.13  # of bones' lengths about the usual
_SLACK: Final = 0.012  # metres that a keypoint errs
_MAX_PENALTY: Final = 9.0
# A bone shorter or longer than the usual by these factors is nobody's: its outer joint is somewhere else.
_SHORTEST: Final = 0.5
_LONGEST: Final = 1.5


def joint_depth(
    camera: Intrinsics, at: NDArray[np.float64], skin: SurfaceDepth
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Depth of the joints.

    Args:
        camera: the depth camera.
        at: (17, 2) u, v of the keypoints in pixels of the depth map.
        skin: as it was found at them.

    Returns:
        depth (17,) float64 metres; observed (17,) bool, False where there is no depth, another part of the
        body hides the joint, or it makes a bone that nobody has; and the distance (17,) in depth pixels to
        the layer taken, inf without.
    """
    rays = camera.unproject(at[:, 0], at[:, 1], 1.0)
    build = fit_build(rays * skin.depth[:, None], skin.observed)
    # Depth is along the camera's axis, and what lies under the skin is along the ray.
    under = depth_under_skin(rays * skin.depth[:, None], build) / np.linalg.norm(rays, axis=1)
    behind = np.arange(0, _HIDDEN_MOST, _HIDDEN_STEP)
    behind_cost = np.where(behind > 0, _HIDDEN_COST + _HIDDEN_PER_METRE * behind, 0.0)

    depths, costs, shown, distances = [], [], [], []
    for joint, layers in enumerate(skin.layers):
        if not layers:
            depth = skin.depth[joint] + np.arange(-_AROUND, _AROUND, _HIDDEN_STEP)
            cost = 0.5 * np.abs(depth - skin.depth[joint])
            own, distance = np.zeros(depth.size, bool), np.full(depth.size, np.inf)
        else:
            more = behind if joint in _CAN_HIDE else behind[:1]
            depth = (np.array([[layer.depth + under[joint]] for layer in layers]) + more).ravel()
            cost = (np.array([[layer.cost] for layer in layers]) + behind_cost[: more.size]).ravel()
            own = np.tile(more == 0, len(layers))
            distance = np.repeat([layer.distance for layer in layers], more.size)
        depths.append(depth)
        costs.append(cost)
        shown.append(own)
        distances.append(distance)
    points = [rays[joint] * depth[:, None] for joint, depth in enumerate(depths)]

    def of_pair(joint: int, parent: int) -> NDArray[np.float64]:
        usual = _usual_length(build, joint, parent)
        length = np.linalg.norm(points[joint][:, None] - points[parent], axis=-1)
        return np.minimum(((length - usual) / (_SPREAD * usual + _SLACK)) ** 2, _MAX_PENALTY)

    chosen = [0 if choice is None else choice for choice in body_tree.choose(costs, of_pair)]
    pick = range(kp.COUNT)
    observed = np.array([shown[joint][chosen[joint]] for joint in pick])
    found = np.array([points[joint][chosen[joint]] for joint in pick])
    for joint, parent in body_tree.PARENTS:
        if joint in _BONE_NAMES:
            share = float(np.linalg.norm(found[joint] - found[parent])) / _usual_length(build, joint, parent)
            observed[joint] &= _SHORTEST < share < _LONGEST
    return (
        np.array([depths[joint][chosen[joint]] for joint in pick]),
        observed,
        np.array([distances[joint][chosen[joint]] for joint in pick]),
    )


_BONE_NAMES: Final = {
    kp.LEFT_ELBOW: "upper_arm", kp.RIGHT_ELBOW: "upper_arm",
    kp.LEFT_WRIST: "forearm", kp.RIGHT_WRIST: "forearm",
    kp.LEFT_KNEE: "thigh", kp.RIGHT_KNEE: "thigh",
    kp.LEFT_ANKLE: "shank", kp.RIGHT_ANKLE: "shank",
    kp.LEFT_HIP: "trunk", kp.RIGHT_HIP: "trunk",
    kp.RIGHT_SHOULDER: "shoulders",
}  # fmt: skip


def _usual_length(build: Build, joint: int, parent: int) -> float:
    """Of the bone between a joint and the one it hangs on in the tree."""
    if joint in _BONE_NAMES:
        return build[_BONE_NAMES[joint]]
    if joint == kp.NOSE:  # the shoulder is aside, the nose in front of the head's middle
        return float(
            np.hypot(np.hypot(0.9 * build["neck"], build["shoulders"] / 2), 0.7 * build["head_depth"])
        )
    if parent == kp.NOSE:
        return 0.6 * build["head_breadth"]
    return float(np.hypot(0.88 * build["head_depth"], 0.57 * build["head_breadth"]))


_LIMBS: Final = {
    kp.LEFT_ELBOW: "elbow", kp.RIGHT_ELBOW: "elbow", kp.LEFT_WRIST: "wrist", kp.RIGHT_WRIST: "wrist",
    kp.LEFT_KNEE: "knee", kp.RIGHT_KNEE: "knee", kp.LEFT_ANKLE: "ankle", kp.RIGHT_ANKLE: "ankle",
}  # fmt: skip
_LEAST: Final = 0.003  # a joint is never in front of the skin


@dataclass(frozen=True)
class _Column:
    """An elliptic column, and the joints in it as metres (to the left, to the front) of its axis."""

    half_breadth: float
    half_depth: float
    joints: dict[int, tuple[float, float]]


def depth_under_skin(points: NDArray[np.float64], build: Build) -> NDArray[np.float64]:
    """How far behind the skin each joint is along its ray, (17,) float64 metres.

    Args:
        points: (17, 3) of the skin at each keypoint in the camera's axes (x right, y up, looking along -z);
            only where they lie across the view counts.
        build: the body's measures.
    """
    inside = np.zeros(kp.COUNT)
    for joint, radius in _LIMBS.items():
        inside[joint] = build[radius]
    right = _viewers_right(points)
    nose = 1.06 * build["head_depth"]
    body = _facing(points, right, (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), build["shoulders"], nose)
    head = _facing(points, right, (kp.LEFT_EAR, kp.RIGHT_EAR), 2 * build["head_breadth"], nose)
    for column, facing in zip(_columns(build), (body, body, head), strict=True):
        for joint, place in column.joints.items():
            inside[joint] = _behind(column, place, facing)
    return inside


def _columns(build: Build) -> tuple[_Column, _Column, _Column]:
    """Shoulders, hips and head."""
    shoulder, hip = build["shoulders"] / 2, build["hips"] / 2
    b, d = build["head_breadth"], build["head_depth"]
    face = {kp.NOSE: (0.0, 1.06 * d), kp.LEFT_EYE: (0.43 * b, 0.88 * d), kp.RIGHT_EYE: (-0.43 * b, 0.88 * d)}
    ears = {kp.LEFT_EAR: (1.0 * b, 0.0), kp.RIGHT_EAR: (-1.0 * b, 0.0)}
    return (
        _Column(
            build["chest_breadth"],
            build["chest_depth"],
            {kp.LEFT_SHOULDER: (shoulder, 0.0), kp.RIGHT_SHOULDER: (-shoulder, 0.0)},
        ),
        _Column(
            build["pelvis_breadth"],
            build["pelvis_depth"],
            {kp.LEFT_HIP: (hip, 0.0), kp.RIGHT_HIP: (-hip, 0.0)},
        ),
        _Column(b, d, face | ears),
    )


def _viewers_right(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vector to the right of someone who sees the body upright, in the picture's plane."""
    up = points[[*kp.HEAD[:3], kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(axis=0)
    up = up - points[[kp.LEFT_HIP, kp.RIGHT_HIP]].mean(axis=0)
    right = np.array([up[1], -up[0], 0.0])
    length = np.linalg.norm(right)
    return right / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])


def _facing(
    points: NDArray[np.float64],
    right: NDArray[np.float64],
    pair: tuple[int, int],
    breadth: float,
    nose: float,
) -> tuple[float, float]:
    """Cosine and sine of the angle by which a body turns from the camera towards the viewer's right.

    Its left and right joint are `breadth` apart and lie as they are seen from the front, crossed from
    behind, and one upon the other from the side; then the nose tells to which side.
    """
    left, other = points[list(pair)] @ right
    ears = points[[kp.LEFT_EAR, kp.RIGHT_EAR]] @ right
    ahead = float(np.clip((left - other) / breadth, -1, 1))
    aside = float(np.clip((points[kp.NOSE] @ right - ears.mean()) / nose, -1, 1))
    # What is seen of the breadth says how much is turned; the nose, which moves on its own, says where.
    turned = float(np.sqrt(1 - ahead**2))
    aside = float(np.clip(aside, -turned, turned))
    length = float(np.hypot(ahead, aside))
    return (ahead / length, aside / length) if length > 0.1 else (0.0, 0.0)


def _behind(column: _Column, place: tuple[float, float], facing: tuple[float, float]) -> float:
    """Metres from the column's skin that is seen to the joint that lies behind it."""
    cos, sin = facing
    if cos == sin == 0:
        return column.half_depth
    left, front = place
    # In the viewer's axes: to the right, and towards the camera.
    aside, near = left * cos + front * sin, -left * sin + front * cos
    a2, b2 = column.half_breadth**2, column.half_depth**2
    a = sin * sin / a2 + cos * cos / b2
    b = 2 * aside * cos * sin * (1 / b2 - 1 / a2)
    c = aside * aside * (cos * cos / a2 + sin * sin / b2) - 1
    surface = (-b + np.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    return max(float(surface - near), _LEAST)
