"""From the surface of the body to the joints inside it, for all joints together.

Behind each surface layer at a keypoint, the joint can be at the usual depth below the surface, or deeper if
another part of the body occludes it. Where the depth map has a hole, or shows only what is behind the body,
the joint can be anywhere near the body. One of these candidates is chosen for each joint, such that the bones
between them have plausible lengths. A second choice knows the first: the size of the body from its joints,
and the length of a bone from that on the other side.
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
from pose.lifting.below_surface import depth_below_surface, visible_below_surface
from pose.lifting.surface import SurfaceDepth

# Metres, unless said otherwise.
_STEP: Final = 0.025  # between the candidates of an occluded joint
_MAX_OCCLUDED: Final = 0.40  # the most that an occluded joint lies behind the usual depth
_OCCLUDED_COST: Final = 2.0
_OCCLUDED_COST_PER_METRE: Final = 3.0
_REACH: Final = 0.6  # a joint that no layer shows is searched this far in front of and behind the body
_UNSEEN_COST: Final = 8.0  # of a joint that no layer shows, although one is at the keypoint
_BESIDE: Final = 0.02  # a layer that ends so far outside the limb does not show it
_BESIDE_COST: Final = 3.0  # of such a layer, and of a joint that no layer shows if there are only such layers
_UNSEEN_COST_PER_METRE: Final = 0.5  # from the depth that its neighbours have
# The head turns as a whole, so its keypoints do not occlude each other unnoticed: see `depth_below_surface`.
_CAN_BE_OCCLUDED: Final = frozenset(range(kp.LEFT_SHOULDER, kp.COUNT))
_LENGTH_SIGMA: Final = 0.13  # of a bone's length, as a share of the usual length
_KEYPOINT_SIGMA: Final = 0.012  # of a keypoint's position
_MAX_PENALTY: Final = 6.0  # in squared sigmas
# A bone of less or more than these shares of its usual length is impossible: its outer joint is elsewhere.
_MIN_LENGTH: Final = 0.5
_MAX_LENGTH: Final = 1.5
_TOO_LONG_PER_METRE: Final = 40.0  # cost of what is above it: so far away is the background


@dataclass(frozen=True)
class FloorPlane:
    """The floor as the camera sees it.

    Attributes:
        up: (3,) unit vector in camera axes.
        camera_height: metres from the floor up to the camera.
    """

    up: NDArray[np.float64]
    camera_height: float


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Where a joint can be: depths in metres, costs, whether it is seen there, and `Layer.distance`."""

    depth: NDArray[np.float64]
    cost: NDArray[np.float64]
    visible: NDArray[np.bool_]
    distance: NDArray[np.float64]


def joint_depth(
    camera: Intrinsics, uv: NDArray[np.float64], surface: SurfaceDepth, floor: FloorPlane | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return the depth of the joints.

    Args:
        camera: the depth camera.
        uv: (17, 2) keypoints in pixels of the depth map.
        surface: the surface at these keypoints.
        floor: no joint is put below it; None if it is unknown.

    Returns:
        depth: (17,) float64 metres.
        observed: (17,) bool. False for a joint without depth, for one that another part of the body occludes,
            for one on the far side of head or trunk, and for one whose bone would have an impossible length.
        distance: (17,) float64, in depth pixels, from the keypoint to the chosen layer; inf if there is none.
    """
    rays = camera.unproject(uv[:, 0], uv[:, 1], 1.0)
    points = rays * surface.depth[:, None]
    build = fit_build(points, surface.observed)
    usual = usual_lengths(points, np.zeros(kp.COUNT, bool), build)
    chosen, observed, _ = _choose(rays, surface, points, build, usual, floor, 1 / camera.fx)

    points = rays * chosen[:, None]
    build = fit_build(points, observed)
    usual = usual_lengths(points, observed, build)
    return _choose(rays, surface, points, build, usual, floor, 1 / camera.fx)


def _choose(
    rays: NDArray[np.float64],
    surface: SurfaceDepth,
    points: NDArray[np.float64],
    build: Build,
    usual: NDArray[np.float64],
    floor: FloorPlane | None,
    pixel: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return what `joint_depth` does.

    Args:
        rays: (17, 3) of the keypoints, for a depth of 1 m, in camera axes.
        points: (17, 3) about where the joints are: they tell how the body is turned.
        usual: of the bones of `body_tree.PARENTS`, metres.
        pixel: the width of a pixel in metres at a depth of 1 m.
    """
    below = depth_below_surface(points, build)
    # Depth is measured along the camera's axis, the depth below the surface along the ray.
    candidates = _candidates(surface, below / np.linalg.norm(rays, axis=1), pixel)
    highest = np.full(kp.COUNT, np.inf) if floor is None else _depth_at_floor(rays, build, floor)
    depths = [np.minimum(of_joint.depth, highest[joint]) for joint, of_joint in enumerate(candidates)]
    along = rays @ rays.T
    usual_of = dict(zip(body_tree.PARENTS, usual.tolist(), strict=True))

    def length_cost(joint: int, parent: int) -> NDArray[np.float64]:
        a, b = depths[joint][:, None], depths[parent]
        # The law of cosines: |a r - b s|^2 for the rays r and s.
        squared = (
            a * a * along[joint, joint] + b * b * along[parent, parent] - 2 * a * b * along[joint, parent]
        )
        length = np.sqrt(np.maximum(squared, 0))
        bone = usual_of[joint, parent]
        misfit = ((length - bone) / (_LENGTH_SIGMA * bone + _KEYPOINT_SIGMA)) ** 2
        return np.minimum(misfit, _MAX_PENALTY) + _TOO_LONG_PER_METRE * np.maximum(
            length - _MAX_LENGTH * bone, 0
        )

    choices = [choice or 0 for choice in body_tree.choose([each.cost for each in candidates], length_cost)]
    both = list(zip(candidates, choices, strict=True))
    depth = np.array([of_joint[choice] for of_joint, choice in zip(depths, choices, strict=True)])
    observed = np.array([of_joint.visible[choice] for of_joint, choice in both])
    observed &= below < visible_below_surface(build)
    found = rays * depth[:, None]
    for joint, parent in body_tree.PARENTS:
        if joint in _BONES:
            share = float(np.linalg.norm(found[joint] - found[parent])) / _usual_length(build, joint, parent)
            observed[joint] &= _MIN_LENGTH < share < _MAX_LENGTH
    return depth, observed, np.array([of_joint.distance[choice] for of_joint, choice in both])


def _candidates(surface: SurfaceDepth, below: NDArray[np.float64], pixel: float) -> list[_Candidates]:
    """Return where each joint can be.

    Args:
        below: (17,) metres of depth from the surface to each joint.
        pixel: the width of a pixel in metres at a depth of 1 m.
    """
    behind = np.arange(0, _MAX_OCCLUDED, _STEP)
    behind_cost = np.where(behind > 0, _OCCLUDED_COST + _OCCLUDED_COST_PER_METRE * behind, 0.0)
    body = float(np.median(surface.depth))
    unseen = np.arange(body - _REACH, body + _REACH, 2 * _STEP)
    unseen = unseen[unseen > 0]
    found = []
    for joint, layers in enumerate(surface.layers):
        shows = [layer.distance * layer.depth * pixel < below[joint] + _BESIDE for layer in layers]
        size = behind.size if joint in _CAN_BE_OCCLUDED else 1
        near = [layer.depth + below[joint] + behind[:size] for layer in layers]
        near_cost = [
            layer.cost + behind_cost[:size] + (0.0 if shown else _BESIDE_COST)
            for layer, shown in zip(layers, shows, strict=True)
        ]
        visible = [(behind[:size] == 0) & shown for shown in shows]
        cost = _UNSEEN_COST_PER_METRE * np.abs(unseen - surface.depth[joint])
        if layers:
            cost += _UNSEEN_COST if any(shows) else _BESIDE_COST
        distance = [np.full(size, layer.distance) for layer in layers]
        found.append(
            _Candidates(
                np.concatenate([*near, unseen]),
                np.concatenate([*near_cost, cost]),
                np.concatenate([*visible, np.zeros(unseen.size, bool)]),
                np.concatenate([*distance, np.full(unseen.size, np.inf)]),
            )
        )
    return found


def _depth_at_floor(rays: NDArray[np.float64], build: Build, floor: FloorPlane) -> NDArray[np.float64]:
    """Return the depth (17,) at which each ray is as high above the floor as a limb that rests on it.

    Feet melt into the floor in depth maps: the surface at an ankle is then that of the floor.
    """
    fall = -(rays @ floor.up)  # metres down for each metre of depth
    high = floor.camera_height - build["ankle"]
    return np.where((fall > 0) & (high > 0), high / np.where(fall > 0, fall, 1.0), np.inf)


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


def usual_lengths(
    points: NDArray[np.float64], observed: NDArray[np.bool_], build: Build
) -> NDArray[np.float64]:
    """Return the usual length of each bone of `body_tree.PARENTS`, (16,) metres.

    Where the bone on the other side was observed, it is the mean of that one's length and that of the build.

    Args:
        points: (17, 3) metres, about where the joints are.
        observed: (17,) bool.
        build: the person's body measures.
    """
    usual = []
    for joint, parent in body_tree.PARENTS:
        length = _usual_length(build, joint, parent)
        other = [kp.MIRRORED[joint], kp.MIRRORED[parent]]
        if joint in _BONES and kp.MIRRORED[joint] != parent and observed[other].all():
            share = float(np.linalg.norm(points[other[0]] - points[other[1]])) / length
            length *= (1 + float(np.clip(share, _MIN_LENGTH, _MAX_LENGTH))) / 2
        usual.append(length)
    return np.array(usual)
