"""From the skin to the joints inside, with the whole body in view.

Behind each layer of skin that a keypoint may mean, its joint lies at the usual depth; or deeper, where
another part of the body hides it. Of these places those are taken that make bones of fitting lengths.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import bodytree, inside
from pose import keypoints as kp
from pose.anatomy import Build, fit_build
from pose.depthmap import DepthMap
from pose.skin import Skin

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


def place(
    depthmap: DepthMap, at: NDArray[np.float64], skin: Skin
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Depth of the joints.

    Args:
        depthmap: for its camera only.
        at: (17, 2) u, v of the keypoints in pixels of the depth map.
        skin: as it was found at them.

    Returns:
        depth (17,) float64 metres; observed (17,) bool, False where there is no depth, another part of the
        body hides the joint, or it makes a bone that nobody has; and the distance (17,) in depth pixels to
        the layer taken, inf without.
    """
    rays = _rays(depthmap, at)
    build = fit_build(rays * skin.depth[:, None], skin.observed)
    # Depth is along the camera's axis, and what lies under the skin is along the ray.
    under = inside.depth_under_skin(rays * skin.depth[:, None], build) / np.linalg.norm(rays, axis=1)
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

    chosen = [0 if choice is None else choice for choice in bodytree.choose(costs, of_pair)]
    pick = range(kp.COUNT)
    observed = np.array([shown[joint][chosen[joint]] for joint in pick])
    found = np.array([points[joint][chosen[joint]] for joint in pick])
    for joint, parent in bodytree.PARENTS:
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


def _rays(depthmap: DepthMap, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """(17, 3) directions in the camera's axes, of length 1 along its axis."""
    camera = depthmap.intrinsics
    x = (at[:, 0] - camera.cx) / camera.fx
    y = ((depthmap.height - 1 - at[:, 1]) - camera.cy) / camera.fy  # cy counts from the bottom row
    return np.column_stack((x, y, np.full(len(at), -1.0)))
