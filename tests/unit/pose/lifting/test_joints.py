"""Joints are found behind the surface, with plausible bones, from all sides."""

import numpy as np
import pytest

from pose import keypoints as kp
from pose.lifting.anatomy import Build
from pose.lifting.joints import depth_below_surface, joint_depth
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
    assert depth == pytest.approx(found.depth, abs=0.6)


BUILD = Build(0.9)


def turned_body(degrees):
    """Return the joints of a standing body that is turned from the camera to the viewer's right."""
    left = np.zeros((17, 3))  # x: to the person's left, y: up, z: to the front
    shoulder, hip = BUILD["shoulders"] / 2, BUILD["hips"] / 2
    b, d = BUILD["head_breadth"], BUILD["head_depth"]
    left[kp.NOSE] = (0, 0.8, 1.06 * d)
    for side, sign in (("left", 1), ("right", -1)):
        for name, position in {
            "eye": (0.43 * b, 0.82, 0.88 * d), "ear": (b, 0.8, 0), "shoulder": (shoulder, 0.68, 0),
            "elbow": (shoulder, 0.5, 0), "wrist": (shoulder, 0.4, 0), "hip": (hip, 0.37, 0),
            "knee": (hip, 0.21, 0), "ankle": (hip, 0.04, 0),
        }.items():  # fmt: skip
            left[kp.INDEX[f"{side}_{name}"]] = (sign * position[0], *position[1:])
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # The camera sees the person's left on its right; it looks along its -z.
    turned = left @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return turned - (0, 0.4, 1.0)


def test_from_the_front_a_nose_is_at_the_surface_and_a_hip_is_inside():
    below = depth_below_surface(turned_body(0), BUILD)
    assert below[kp.NOSE] < 0.01
    assert below[kp.LEFT_HIP] == pytest.approx(below[kp.RIGHT_HIP], abs=1e-6)
    assert 0.04 < below[kp.LEFT_HIP] < 0.1


def test_from_behind_the_nose_is_on_the_other_side_of_the_head():
    below = depth_below_surface(turned_body(180), BUILD)
    assert 0.15 < below[kp.NOSE] < 0.2


@pytest.mark.parametrize(("degrees", "near", "far"), [(90, "right", "left"), (-90, "left", "right")])
def test_from_the_side_the_far_joints_are_behind_the_near_ones(degrees, near, far):
    below = depth_below_surface(turned_body(degrees), BUILD)
    for joint, breadth in (("shoulder", BUILD["shoulders"]), ("hip", BUILD["hips"])):
        apart = below[kp.INDEX[f"{far}_{joint}"]] - below[kp.INDEX[f"{near}_{joint}"]]
        assert apart == pytest.approx(breadth, rel=0.1)


@pytest.mark.parametrize("degrees", range(-180, 180, 15))
def test_no_joint_is_in_front_of_the_surface_or_outside_the_body(degrees):
    below = depth_below_surface(turned_body(degrees), BUILD)
    assert (below > 0).all()
    assert (below < 0.3).all()


def test_points_that_coincide_give_finite_depths():
    below = depth_below_surface(np.zeros((17, 3)), BUILD)
    assert np.isfinite(below).all()
