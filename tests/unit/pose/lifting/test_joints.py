"""Joints are found behind the surface, with plausible bones, from all sides."""

from dataclasses import replace

import numpy as np
import pytest

from pose import keypoints as kp
from pose.lifting import body_tree
from pose.lifting.anatomy import Build
from pose.lifting.joints import FloorPlane, joint_depth, usual_lengths
from pose.lifting.surface import surface_depth
from tests.support.rendered import rendered, with_face


def lifted(truth):
    depthmap = truth.frame.depthmap
    uv = truth.frame.view.to_depth(truth.people[0].keypoints)
    found = surface_depth(depthmap, uv, np.ones(17))
    return (*joint_depth(depthmap.intrinsics, uv, found), found)


def test_joints_are_behind_the_surface():
    depth, observed, _, found = lifted(with_face())
    assert (depth[observed] > found.depth[observed]).all()
    assert (depth[observed] - found.depth[observed]).max() < 0.35


def test_an_occluded_joint_counts_as_not_observed():
    occluded: list[bool] = []
    visible: list[bool] = []
    for seed in range(900_000, 900_016):
        truth = rendered(seed, "standing")
        _, observed, _, _ = lifted(truth)
        joints = [kp.LEFT_ELBOW, kp.RIGHT_ELBOW, kp.LEFT_KNEE, kp.RIGHT_KNEE]
        for joint in joints:
            (visible if truth.visible[0][joint] else occluded).append(observed[joint])
    assert np.mean(visible) > 0.9
    assert np.mean(occluded) < np.mean(visible)


def test_a_joint_of_an_impossible_bone_counts_as_not_observed():
    truth = with_face()
    uv = truth.frame.view.to_depth(truth.people[0].keypoints)
    ankle, knee = uv[kp.LEFT_ANKLE].copy(), uv[kp.LEFT_KNEE].copy()
    uv[kp.LEFT_ANKLE] = knee + 2.2 * (ankle - knee) * (1, 0) + 0.5 * (ankle - knee)[::-1]
    found = surface_depth(truth.frame.depthmap, uv, np.ones(17))
    _, observed, _ = joint_depth(truth.frame.depthmap.intrinsics, uv, found)
    assert not observed[kp.LEFT_ANKLE]
    assert observed[kp.LEFT_HIP]


def test_joints_without_depth_still_get_one():
    truth = with_face()
    uv = truth.frame.view.to_depth(truth.people[0].keypoints)
    uv[kp.LEFT_ANKLE] = (-50, -50)
    found = surface_depth(truth.frame.depthmap, uv, np.ones(17))
    depth, observed, distance = joint_depth(truth.frame.depthmap.intrinsics, uv, found)
    assert np.isfinite(depth).all()
    assert not observed[kp.LEFT_ANKLE]
    assert np.isinf(distance[kp.LEFT_ANKLE])
    # It is searched within 0.6 m of the body, in steps of 5 cm.
    assert depth == pytest.approx(np.median(found.depth), abs=0.61)


def without_depth_around(truth, joint, radius=9):
    """Return the depth map with a hole around a joint, through which only the wall is seen at its rim."""
    depthmap = truth.frame.depthmap
    depth = depthmap.depth.copy()
    u, v = np.rint(truth.frame.view.to_depth(truth.people[0].keypoints)[joint]).astype(int)
    rows, columns = np.s_[max(v - radius, 0) : v + radius + 1], np.s_[max(u - radius, 0) : u + radius + 1]
    depth[rows, columns] = 0
    rim = depth[rows, columns]
    rim[[0, -1]], rim[:, [0, -1]] = 3.0, 3.0
    return replace(depthmap, depth=depth)


@pytest.mark.parametrize("joint", [kp.LEFT_WRIST, kp.RIGHT_ANKLE])
def test_a_joint_in_a_hole_is_near_the_body_and_not_at_the_wall_behind(joint):
    truth = with_face()
    uv = truth.frame.view.to_depth(truth.people[0].keypoints)
    holed = without_depth_around(truth, joint)
    depth, observed, _ = joint_depth(holed.intrinsics, uv, surface_depth(holed, uv, np.ones(17)))
    whole, seen, _, _ = lifted(truth)
    assert seen[joint]
    assert not observed[joint]
    assert depth[joint] == pytest.approx(whole[joint], abs=0.2)  # the length of a forearm


def test_no_joint_is_put_below_the_floor():
    truth = with_face()
    depthmap = truth.frame.depthmap
    uv = truth.frame.view.to_depth(truth.people[0].keypoints)
    found = surface_depth(depthmap, uv, np.ones(17))
    raised = 0.1  # the floor is given 10 cm too high, above the ankles
    floor = FloorPlane(depthmap.rotation[1], float(depthmap.translation[1]) - raised)
    depth, _, _ = joint_depth(depthmap.intrinsics, uv, found, floor)
    heights = depthmap.unproject(uv[:, 0], uv[:, 1], depth)[:, 1] - raised
    assert heights.min() > 0.015
    free, _, _, _ = lifted(truth)
    above = depthmap.unproject(uv[:, 0], uv[:, 1], free)[:, 1] > raised + 0.15
    assert depth[above] == pytest.approx(free[above], abs=0.03)


def test_a_bone_that_is_not_seen_is_as_long_as_that_on_the_other_side():
    points, build = np.zeros((17, 3)), Build(0.9)
    points[kp.RIGHT_ANKLE] = (0, 1.2 * build["shank"], 0)
    at = [joint for joint, _ in body_tree.PARENTS].index(kp.LEFT_ANKLE)
    unseen = usual_lengths(points, np.zeros(17, bool), build)
    seen = usual_lengths(points, np.ones(17, bool), build)
    assert unseen[at] == pytest.approx(build["shank"])
    assert seen[at] == pytest.approx(1.1 * build["shank"])
