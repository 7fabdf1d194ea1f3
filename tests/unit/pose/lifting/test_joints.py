"""Placing joints behind the skin, with bones of fitting lengths."""

import numpy as np
import pytest

from pose import keypoints as kp
from pose.lifting import joints
from pose.lifting.surface import surface_depth
from tests.support.rendered import rendered, with_face


def place(truth):
    depthmap = truth.frame.depthmap
    at = truth.frame.view.to_depth(truth.people[0].keypoints)
    found = surface_depth(depthmap, at, np.ones(17))
    return (*joints.joint_depth(depthmap.intrinsics, at, found), found)


def test_joints_are_behind_the_skin():
    depth, observed, _, found = place(with_face())
    assert (depth[observed] > found.depth[observed]).all()
    assert (depth[observed] - found.depth[observed]).max() < 0.35


def test_a_joint_behind_another_part_of_the_body_counts_as_not_observed():
    hidden: list[bool] = []
    shown: list[bool] = []
    for seed in range(900_000, 900_016):
        truth = rendered(seed, "standing")
        _, observed, _, _ = place(truth)
        arms = [kp.LEFT_ELBOW, kp.RIGHT_ELBOW, kp.LEFT_KNEE, kp.RIGHT_KNEE]
        for joint in arms:
            (shown if truth.visible[0][joint] else hidden).append(observed[joint])
    assert np.mean(shown) > 0.9
    assert np.mean(hidden) < np.mean(shown)


def test_a_joint_that_makes_a_bone_that_nobody_has_counts_as_not_observed():
    truth = with_face()
    at = truth.frame.view.to_depth(truth.people[0].keypoints)
    ankle, knee = at[kp.LEFT_ANKLE].copy(), at[kp.LEFT_KNEE].copy()
    at[kp.LEFT_ANKLE] = knee + 2.2 * (ankle - knee) * (1, 0) + 0.5 * (ankle - knee)[::-1]
    found = surface_depth(truth.frame.depthmap, at, np.ones(17))
    _, observed, _ = joints.joint_depth(truth.frame.depthmap.intrinsics, at, found)
    assert not observed[kp.LEFT_ANKLE]
    assert observed[kp.LEFT_HIP]


def test_joints_without_depth_are_still_placed():
    truth = with_face()
    at = truth.frame.view.to_depth(truth.people[0].keypoints)
    at[kp.LEFT_ANKLE] = (-50, -50)
    found = surface_depth(truth.frame.depthmap, at, np.ones(17))
    depth, observed, distance = joints.joint_depth(truth.frame.depthmap.intrinsics, at, found)
    assert np.isfinite(depth).all()
    assert not observed[kp.LEFT_ANKLE]
    assert np.isinf(distance[kp.LEFT_ANKLE])
    assert depth == pytest.approx(found.depth, abs=0.6)
